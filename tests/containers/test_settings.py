"""What a run is told, the archives it is sent, and the user's code: errors a person understands."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest

from headrace_tabular import usercode
from headrace_tabular.archives import extract
from headrace_tabular.errors import ArtifactError, DataError, ProjectError
from headrace_tabular.labels import classes_of, to_numbers
from headrace_tabular.run import parse_run, read_run
from tests.containers.jobs import settings


def test_hyperparameters_of_the_job_override_the_projects(tmp_path):
    config, given = tmp_path / "run.json", tmp_path / "hyperparameters.json"
    training = {"entrypoint": None, "hyperparameters": {"eta": 0.1, "max_depth": 3}}
    config.write_text(json.dumps(settings(training=training)))
    given.write_text(
        json.dumps(
            {
                "max_depth": "5",
                "grow_policy": '"lossguide"',
                "tree_method": "hist",
                "sagemaker_program": '"train.py"',
                "_tuning_objective_metric": "roc_auc",
            }
        )
    )
    run = read_run(config, given)
    expected = {"eta": 0.1, "max_depth": 5, "grow_policy": "lossguide", "tree_method": "hist"}
    assert run.hyperparameters == expected
    assert run.not_learned == ("defaulted", "id", "timestamp")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"problem": "ranking"}, "problem 'ranking' is not one of"),
        ({"data": {"label": "y", "holdout": 1.5}}, r"data\.holdout is 1\.5"),
        (
            {"evaluation": {"metric": "f1", "cost": {"false_positive": -1, "false_negative": 1}}},
            r"evaluation\.cost",
        ),
    ],
)
def test_a_wrong_setting_is_named(changed, said):
    with pytest.raises(ProjectError, match=said):
        parse_run(settings(**changed), {})


@pytest.mark.parametrize(
    ("text", "said"), [(None, "is missing"), ("{", "is not JSON"), ("{}", "lacks 'data'")]
)
def test_a_damaged_run_json_is_named(tmp_path, text, said):
    config = tmp_path / "run.json"
    if text is not None:
        config.write_text(text)
    with pytest.raises(ProjectError, match=said):
        read_run(config, tmp_path / "none.json")


def archive(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name, content=b"", **changed):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in changed.items():
        setattr(info, field, value)
    return info, content


@pytest.mark.parametrize(
    "unsafe",
    [
        member("../outside", b"x"),
        member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("hard", type=tarfile.LNKTYPE, linkname="../../outside"),
        member("device", type=tarfile.CHRTYPE),
    ],
    ids=["parent", "symlink", "hardlink", "device"],
)
def test_an_unsafe_archive_writes_nothing_outside(tmp_path, unsafe):
    with pytest.raises(ArtifactError, match=r"a\.tar\.gz cannot be unpacked"):
        extract(archive(tmp_path / "a.tar.gz", unsafe), tmp_path / "in")
    assert {path.name for path in tmp_path.iterdir()} <= {"a.tar.gz", "in"}


def test_a_bomb_stops_at_the_cap_before_anything_is_written(tmp_path):
    bomb = archive(tmp_path / "a.tar.gz", member("zeros", bytes(2_000_000)))
    with pytest.raises(ArtifactError, match="holds more than"):
        extract(bomb, tmp_path / "in", max_bytes=1_000_000)
    many = archive(tmp_path / "b.tar.gz", *(member(f"f{number}") for number in range(11)))
    with pytest.raises(ArtifactError, match="holds more than 10 files"):
        extract(many, tmp_path / "in", max_files=10)
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("damage", [b"", b"not an archive", b"\x1f\x8b\x08cut"])
def test_a_damaged_archive_is_named(tmp_path, damage):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(damage)
    with pytest.raises(ArtifactError, match=r"model\.tar\.gz cannot be unpacked"):
        extract(path, tmp_path / "in")


def test_two_projects_with_modules_of_one_name_do_not_mix(tmp_path):
    answers = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "helper.py").write_text(f"NUMBER = {number}\n")
        (folder / "features.py").write_text(
            "import helper\ndef features(columns): return helper.NUMBER\n"
        )
        answers.append(
            usercode.function(usercode.load(folder, "features.py"), "features", "features.py")
        )
    assert [answer({}) for answer in answers] == [1, 2]


@pytest.mark.parametrize(
    ("entrypoint", "code", "said"),
    [
        ("features.py", "def features(c):\n    return 1 / 0\n", r"line 2: ZeroDivisionError"),
        ("features.py", "import nothing_of_that_name\n", r"line 1: ModuleNotFoundError"),
        ("features.py", "def features(:\n", "SyntaxError"),
        ("features.py", "x = 1\n", r"does not define the function features\(\)"),
        ("other.py", "", "not a file of the project"),
        ("../secret.py", "", "not a file of the project"),
    ],
)
def test_errors_of_the_users_code_say_where(tmp_path, entrypoint, code, said):
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "secret.py").write_text("")
    (folder / "features.py").write_text(code)
    with pytest.raises(ProjectError, match=said):
        usercode.function(usercode.load(folder, entrypoint), "features", entrypoint)({})


def test_labels_keep_their_type_and_the_positive_class_is_last():
    numbers = np.array([1.0, 0.0, np.nan])
    assert classes_of("binary", "y", numbers, "number") == [0, 1]
    assert classes_of("binary", "y", numbers, "boolean") == [False, True]
    words = np.array(["no", "yes", None], dtype=object)
    assert classes_of("binary", "y", words, "text") == ["no", "yes"]
    found = to_numbers(["no", "yes"], words, "text")
    assert found[:2].tolist() == [0, 1]
    assert np.isnan(found[2])


@pytest.mark.parametrize(
    ("problem", "values", "kind", "said"),
    [
        ("binary", [1.0, 1.0], "number", "always 1"),
        ("binary", [1.0, 2.0, 3.0], "number", "has 3 values .* say `multiclass`"),
        ("binary", [np.nan], "number", "no values at all"),
        ("regression", [1.0, 0.0], "boolean", "a regression needs numbers"),
        ("regression", [1.0, np.inf], "number", "infinite"),
    ],
)
def test_a_label_that_does_not_fit_the_problem_is_explained(problem, values, kind, said):
    with pytest.raises(DataError, match=said):
        classes_of(problem, "y", np.array(values), kind)
