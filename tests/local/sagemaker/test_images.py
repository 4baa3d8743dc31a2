"""Images mapped to local commands, and the words for those that are not."""

from pathlib import Path

import pytest

from local.sagemaker import ServiceError
from local.sagemaker.images import Images
from local.sagemaker.settings import REPOSITORY, Settings

TABULAR = "000000000000.dkr.ecr.us-east-1.amazonaws.com/headrace-tabular@sha256:0"


def test_the_shipped_mapping() -> None:
    image = Images(Settings().images).find(TABULAR)
    python = str(REPOSITORY / ".venv" / "tabular" / "bin" / "python")
    assert image.argv("train") == [python, "-m", "headrace_tabular.train"]
    assert image.argv("serve", None, ["--x"]) == [python, "-m", "headrace_tabular.serve", "--x"]
    assert image.argv("train", ["sh", "-c"], ["true"]) == ["sh", "-c", "true"]
    variables = image.variables()
    folders = (REPOSITORY / "containers" / "tabular", REPOSITORY / "layers" / "profiling")
    assert variables["PYTHONPATH"] == ":".join(map(str, folders))
    assert variables["PATH"].startswith(str(REPOSITORY / ".venv" / "tabular" / "bin"))
    assert variables["PIP_REQUIRE_VIRTUALENV"] == "1"
    with pytest.raises(ServiceError, match="no `process` command"):
        image.argv("process")


@pytest.mark.parametrize(
    ("name", "command", "algorithm"),
    [
        ("sagemaker-xgboost:1.7-1", "train", "xgboost"),
        ("sagemaker-xgboost@sha256:0", "serve", "xgboost"),
        ("xgboost:latest", "train", "xgboost"),
        ("sagemaker-scikit-learn:1.2-1-cpu-py3", "serve", ""),
        ("pytorch-training:2.3-cpu-py311-ubuntu20.04-sagemaker", "train", ""),
        ("huggingface-pytorch-training:2.1-transformers4.36-gpu-py310", "train", ""),
        ("pytorch-inference:2.3-cpu-py311", "serve", ""),
    ],
)
def test_images_of_aws_have_stand_ins(name: str, command: str, algorithm: str) -> None:
    image = Images(Settings().images).find(f"683313688378.dkr.ecr.us-east-1.amazonaws.com/{name}")
    assert image.argv(command)[1:] == ["-m", f"headrace_images.{command}"]
    assert image.algorithm == algorithm


def test_an_extra_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "train.sh").touch()
    extra = tmp_path / "images.yaml"
    extra.write_text(
        '- {image: "*tabular*", train: [sh, ./train.sh, -c, a/b], environment: {LEVEL: 3}}'
    )
    images = Images((extra, *Settings().images))
    image = images.find(TABULAR)
    assert image.argv("train") == ["sh", str(tmp_path / "train.sh"), "-c", "a/b"]
    assert image.variables()["LEVEL"] == "3"
    extra.write_text("[]")
    assert "headrace_tabular.train" in images.find(TABULAR).argv("train"), "read anew"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {train: [sh]}", "no `image`"),
        ('- {image: "*", comand: [sh]}', "unknown comand"),
        ("[]", 'The image "repo/unknown:1" is not known .* local/images.yaml'),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, text: str, message: str) -> None:
    extra = tmp_path / "images.yaml"
    extra.write_text(text)
    with pytest.raises(ServiceError, match=message):
        Images((extra,)).find("repo/unknown:1")
    with pytest.raises(ServiceError, match="does not exist"):
        Images((tmp_path / "absent.yaml",)).find("repo/unknown:1")
