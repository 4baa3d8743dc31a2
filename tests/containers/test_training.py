"""Training jobs, run as SageMaker runs them: folders in, folders out."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import duckdb
import jsonschema
import pytest

from headrace_tabular.columns import read_parquet
from headrace_tabular.contributions import Explainer
from headrace_tabular.errors import DataError, ProjectError, RequestError
from headrace_tabular.rows import Rows, load_rows, prepare
from headrace_tabular.run import parse_run
from headrace_tabular.split import row_keys, share_of
from tests.containers import jobs
from tests.containers.conftest import FIRST, SECOND, WATCHED, succeeded

SCHEMA = json.loads((jobs.PACKAGE / "evaluation.schema.json").read_text())


def check_schema(job: jobs.Job) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(job.evaluation)


def test_a_first_model_is_trained_and_evaluated(champion):
    check_schema(champion)
    evaluation = champion.evaluation
    assert evaluation["champion"] is None
    assert evaluation["comparison"] is None
    assert evaluation["candidate"]["metrics"]["roc_auc"] > 0.95
    assert evaluation["baselines"]["trivial"]["metrics"]["roc_auc"] == 0.5
    assert evaluation["baseline_comparison"]["ci_low"] > 0
    assert evaluation["warnings"] == []
    assert f"headrace metric roc_auc={evaluation['candidate']['metrics']['roc_auc']:.6g}" in (
        champion.log
    )


def test_costs_choose_the_threshold(champion):
    cost = champion.evaluation["candidate"]["cost"]
    assert cost["threshold"] == champion.contract["threshold"] < 0.5  # a miss costs more
    assert cost["total"] == pytest.approx(cost["per_row"] * champion.evaluation["rows"]["holdout"])
    assert cost["per_row"] < champion.evaluation["baselines"]["simple"]["cost"]["per_row"]


def test_the_artifact_says_where_it_came_from_and_has_no_pickle(champion):
    names = {path.name for path in champion.model.rglob("*") if path.is_file()}
    assert names == {
        "model.ubj",
        "model.onnx",
        "model.json",
        "features.py",
        "model.yaml",
        "README.md",
    }
    contract = champion.contract
    assert contract["datasets"] == [{"version": "v1", "role": "new"}]
    assert contract["onnx"]["used"]
    assert contract["onnx"]["max_difference"] <= 1e-5
    inputs = {item["name"] for item in contract["inputs"]}
    learned = {item["name"] for item in contract["features"]}
    assert not (inputs | learned) & {"id", "timestamp", "defaulted"}
    assert {"xgboost-cpu", "onnxruntime", "python"} <= set(contract["libraries"])


def test_the_champion_is_scored_on_the_same_held_out_rows(champion, challenger):
    check_schema(challenger)
    evaluation = challenger.evaluation
    known, new = evaluation["datasets"]
    # What the champion did not learn from in its own run is held out here too, row for row.
    assert known["rows"] == champion.evaluation["rows"]["holdout"]
    assert known["champion"] == pytest.approx(champion.evaluation["candidate"]["metrics"])
    assert known["rows"] + new["rows"] == evaluation["rows"]["holdout"]
    assert evaluation["comparison"]["difference"] == pytest.approx(
        evaluation["candidate"]["metrics"]["roc_auc"] - evaluation["champion"]["metrics"]["roc_auc"]
    )
    assert evaluation["champion"]["cost"]["threshold"] == champion.contract["threshold"]
    slices = evaluation["slices"]
    assert sum(one["rows"] for one in slices) == evaluation["rows"]["holdout"]
    assert {one["column"] for one in slices} == {"salary_range"}


def test_the_held_out_rows_are_those_of_the_documented_hash(champion):
    table = read_parquet(FIRST)
    held = share_of(row_keys(table.columns, "id", []), "headrace") < 0.2
    assert int(held.sum()) == champion.evaluation["rows"]["holdout"]


def test_flipped_labels_are_worse_on_what_the_champion_knows(champion, base, tmp_path):
    query = f"""
        select * replace (id + 1000000 as id, 1 - defaulted as defaulted)
        from read_parquet({[str(file) for file in FIRST + SECOND]})
    """
    flipped = jobs.parquet(tmp_path / "flipped.parquet", query)
    datasets = {"v1": ("known", FIRST), "bad": ("new", [flipped])}
    job = succeeded(jobs.train(base, datasets, champion=champion.model))
    known, new = job.evaluation["datasets"]
    assert known["candidate"]["roc_auc"] < known["champion"]["roc_auc"] - 0.2
    assert new["champion"]["roc_auc"] < 0.1  # the champion is right, so the labels are not


def test_the_same_run_gives_the_same_model(champion, base):
    datasets = {"v1": ("new", FIRST)}
    again = succeeded(jobs.train(base, datasets, run="run-1", monitoring=WATCHED))
    assert (again.model / "model.ubj").read_bytes() == ((champion.model / "model.ubj").read_bytes())
    changing = ("latency_ms", "seconds")
    first, second = champion.evaluation, again.evaluation
    assert {key: value for key, value in first.items() if key not in changing} == {
        key: value for key, value in second.items() if key not in changing
    }
    assert again.baseline == champion.baseline


def test_a_champion_that_cannot_be_scored_wins_and_loses_nothing(champion, base, tmp_path):
    query = f"select * exclude (driver_tenure) from read_parquet('{FIRST[0]}')"
    changed = jobs.parquet(tmp_path / "changed.parquet", query)
    job = succeeded(
        jobs.train(
            base,
            {"v2": ("new", [changed])},
            champion=champion.model,
            project={"model.yaml": "name: credit-risk\n"},
            features={"entrypoint": None},
            hyperparameters={"num_boost_round": "5"},
        )
    )
    check_schema(job)
    evaluation = job.evaluation
    assert set(evaluation["champion"]["metrics"].values()) == {None}
    assert "driver_tenure" in evaluation["champion"]["error"]
    assert evaluation["comparison"] is None
    assert "champion could not be scored" in evaluation["warnings"][0]


def test_the_minimal_example_needs_no_code(minimal):
    check_schema(minimal)
    evaluation = minimal.evaluation
    assert evaluation["candidate"]["metrics"]["roc_auc"] > 0.97
    assert evaluation["candidate"]["cost"] is None
    assert minimal.contract["threshold"] == 0.5
    assert not (minimal.model / "code").exists()
    assert evaluation["slices"] == []


IRIS = """
    select (i * 37 % 101)::double as width, i % 7 as length, ['a', 'b', 'c'][1 + i % 3] as species,
        case when i % 50 = 0 then null else (i % 3) * 10 + (i * 37 % 101) / 50 end as shade,
        i % 2 = 0 as wild, i as entity
    from range(600) r(i)
"""


def test_several_classes(base, tmp_path):
    file = jobs.parquet(tmp_path / "iris.parquet", IRIS)
    job = succeeded(
        jobs.train(
            base,
            {"v1": ("new", [file])},
            project={"model.yaml": "name: iris\n"},
            problem="multiclass",
            data={"label": "species", "entity": "entity"},
            features={"entrypoint": None},
            evaluation={"metric": "f1", "slices": ["wild", "width"]},
            hyperparameters={"num_boost_round": "30"},
        )
    )
    check_schema(job)
    assert job.evaluation["candidate"]["metrics"]["f1"] > 0.95
    assert job.contract["classes"] == ["a", "b", "c"]
    assert job.contract["onnx"]["used"]
    first = job.smoke["predictions"][0]
    assert first["scores"][first["label"]] == first["score"] == max(first["scores"].values())
    assert {one["value"] for one in job.evaluation["slices"] if one["column"] == "wild"} == {
        "true",
        "false",
    }
    assert sum(one["column"] == "width" for one in job.evaluation["slices"]) == 4


OWN_TRAIN = """
import numpy as np
from onnx import TensorProto, helper

def train(x, y, x_val, y_val, hyperparameters, feature_names):
    '''The mean of the nearest: a line through the column named by a hyperparameter.'''
    column = feature_names.index(hyperparameters["column"])
    weights = np.zeros((x.shape[1], 1), dtype=np.float32)
    weights[column] = np.nanmean(y * x[:, column]) / np.nanmean(x[:, column] ** 2)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "line",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, x.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
"""


def test_the_users_own_training_may_return_onnx(base, tmp_path):
    query = "select i % 10 as a, i % 7 as b, 3.0 * (i % 10) as y, i as id from range(500) r(i)"
    file = jobs.parquet(tmp_path / "line.parquet", query)
    job = succeeded(
        jobs.train(
            base,
            {"v1": ("new", [file])},
            project={"train.py": OWN_TRAIN},
            problem="regression",
            data={"label": "y", "entity": "id"},
            features={"entrypoint": None},
            training={"entrypoint": "train.py", "hyperparameters": {"column": "b"}},
            evaluation={"metric": "rmse"},
            hyperparameters={"column": "a"},
        )
    )
    check_schema(job)
    assert job.evaluation["candidate"]["metrics"]["rmse"] < 1e-4
    assert job.evaluation["greater_is_better"] is False
    assert job.contract["engine"] == "onnx"
    assert not (job.model / "model.ubj").exists()
    assert "feature 'a' alone predicts 'y'" in job.evaluation["warnings"][0]
    assert job.baseline["attribution"] is None
    assert set(job.baseline["predictions"]["columns"]) == {"score"}
    assert job.baseline["quality"]["kind"] == "regression"
    with pytest.raises(RequestError, match=r"train\(\) returned an ONNX model"):
        Explainer(SimpleNamespace(), job.model).predict({})


NOT_ROW_WISE = """
def features(columns):
    ratio = columns["debt_to_income_ratio"]
    return {"centred": ratio - ratio.mean(), "tenure": columns["driver_tenure"]}
"""


@pytest.mark.parametrize(
    ("changed", "hyperparameters", "said"),
    [
        (
            {"data": {"label": "repaid", "entity": "id"}},
            {},
            "label column 'repaid' is not in dataset v1: columns are id, timestamp, car_value",
        ),
        ({}, {"max_depth": "deep"}, "XGBoost refused the hyperparameters {'max_depth': 'deep'}"),
        ({}, {"num_boost_round": "3"}, "a row scores "),
    ],
    ids=["before training", "in training", "in evaluation"],
)
def test_a_failure_is_told_in_words(changed, hyperparameters, said, base):
    job = jobs.train(
        base,
        {"v1": ("new", FIRST[:1])},
        project={"features.py": NOT_ROW_WISE},
        hyperparameters=hyperparameters,
        **changed,
    )
    assert job.code == 1
    assert job.failure.startswith(said)
    assert len(job.failure) <= 1024
    assert not [*job.model.glob("*")]
    assert "Traceback" not in job.log


def load(folder: Path, **changed) -> Rows:
    (folder / "v1").mkdir()
    shutil.copy(FIRST[0], folder / "v1")
    datasets = [{"version": "v1", "role": "new"}]
    return load_rows(parse_run(jobs.settings(**{"datasets": datasets} | changed), {}), folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"evaluation": jobs.EVALUATION | {"slices": ["region"]}}, "slice column 'region' is not"),
        ({"data": jobs.DATA | {"entity": "customer"}}, "entity column 'customer' is not"),
        (
            {"data": jobs.DATA | {"label": "car_value"}},
            "has .* values .* but the problem is binary",
        ),
        ({"data": jobs.DATA | {"holdout": 0.9999}}, "labelled rows leave . to train: more rows"),
        ({"datasets": [{"version": "v9", "role": "new"}]}, "dataset v9 has no parquet file"),
    ],
)
def test_data_that_does_not_fit_is_explained(changed, said, tmp_path):
    with pytest.raises(DataError, match=said):
        load(tmp_path, **changed)


def test_the_users_code_cannot_change_what_is_evaluated(tmp_path):
    rows = load(tmp_path)
    project = tmp_path / "project"
    code = "def features(columns):\n    columns['car_value'][0] = 1\n    return columns\n"
    jobs.write(project / "features.py", code)
    with pytest.raises(ProjectError, match=r"features\.py at line 2: ValueError: .*read-only"):
        prepare(parse_run(jobs.settings(), {}), rows, project)


CONVERSIONS = """
import json, numpy as np, tempfile, xgboost
from pathlib import Path
from headrace_tabular.artifact import export
from headrace_tabular.fit import Part, fit

random = np.random.default_rng(0)
x = random.normal(size=(800, 5)).astype(np.float32)
x[random.random(x.shape) < 0.2] = np.nan
z = np.nan_to_num(x)
y = np.exp(z[:, 0] * 0.5 + np.sin(3 * z[:, 1]))
found = {}
def check(name, problem, target, **settings):
    made = fit(problem, Part(x[:600], target[:600]), Part(x[600:], target[600:]),
               {"num_boost_round": 40, **settings}, list("abcde"), 4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        found[name] = export(made, path, x, problem) | {"kept": path.exists()}

for objective in ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror",
                  "count:poisson", "reg:gamma", "reg:tweedie"):
    check(objective, "regression", np.round(y) + 1, objective=objective, eval_metric="mae")
check("binary", "binary", (y > 1).astype(float))
check("base_score", "binary", (y > 1).astype(float), base_score=0.9)
check("forest", "binary", (y > 1).astype(float), num_parallel_tree=3, subsample=0.5)
check("lossguide", "binary", (y > 1).astype(float), grow_policy="lossguide", max_leaves=9)
check("multiclass", "multiclass", np.digitize(y, [0.5, 1, 2]).astype(float))
check("dart", "binary", (y > 1).astype(float), booster="dart", rate_drop=0.5)
check("hinge", "binary", (y > 1).astype(float), objective="binary:hinge", eval_metric="error")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def conversions() -> dict:
    done = subprocess.run(
        [jobs.PYTHON, "-c", CONVERSIONS],
        env=jobs.environment(Path("unused")),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_onnx_answers_as_xgboost_for_every_objective_that_is_converted(conversions):
    not_converted = {name for name, report in conversions.items() if not report["used"]}
    assert not_converted == {"dart", "hinge"}
    for name, report in conversions.items():
        assert report["kept"] == report["used"], name
        assert report["reason"], name


def test_the_sample_in_the_repository_is_small():
    assert sum(file.stat().st_size for file in jobs.SAMPLE.iterdir()) < 300_000
    with duckdb.connect() as connection:
        rows = connection.sql(f"select * from '{jobs.SAMPLE}/*.parquet'")
        assert not {"y_pred", "y_pred_proba", "repaid"} & set(rows.columns)
