"""`publish` sends what the stack will accept; `image` has built what changed."""

import io
import json
import threading
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from headrace.projects import judge_archive
from headrace.records import ModelRecord, ProjectRecord
from headrace_cli.environments import ROOT
from headrace_cli.exit_codes import ExitCode
from headrace_cli.image import Pushed, zip_source


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "model.yaml").write_text("name: credit-risk\ndata: {label: defaulted}\n")
    return folder


def published() -> list[str]:
    listed = boto3.client("s3").list_objects_v2(Bucket="headrace-data", Prefix="projects/")
    return [o["Key"] for o in listed.get("Contents", [])]


def test_the_stack_accepts_what_was_sent(aws, headrace, project: Path) -> None:
    result = headrace("publish", project, "--json", "--no-wait")
    assert result.exit_code == 0, result.output
    (key,) = published()
    found = boto3.client("s3").get_object(Bucket="headrace-data", Key=key)
    assert judge_archive(key, found["Body"].read(), "dev").name == "credit-risk"
    assert found["Metadata"]["publisher"].startswith("arn:aws:sts::")
    assert json.loads(result.stdout)["project_version"] in key


def test_the_commit_is_recorded_and_whether_it_is_all(aws, headrace) -> None:
    result = headrace("publish", ROOT / "models" / "breast-cancer", "--json", "--no-wait")
    assert result.exit_code == 0, result.output
    commit = json.loads(result.stdout)["commit"]
    assert len(commit.removesuffix("-dirty")) == 40


def test_a_project_that_cannot_be_used_is_refused_here(aws, headrace, project: Path) -> None:
    (project / "model.yaml").write_text("name: Credit Risk\ndata: {lable: x}\n")
    result = headrace("publish", project, "--no-wait")
    assert result.exit_code == ExitCode.NEGATIVE
    assert "data.lable" in result.stderr
    assert published() == []


@pytest.mark.parametrize(
    ("status", "code"), [("published", ExitCode.OK), ("refused", ExitCode.NEGATIVE)]
)
def test_waiting_for_the_verdict(
    aws, record, headrace, project: Path, status: str, code: ExitCode
) -> None:
    def reconcile() -> None:
        while not published():
            time.sleep(0.02)
        (key,) = published()
        common = {
            "model": "credit-risk",
            "project_version": key.split("/")[2],
            "published_at": "2999-01-01T00:00:00.000Z",
        }
        model = {"endpoint": "e", "package_group": "g", "approval": "manual"}
        project = {"uri": "s3://x/y", "status": status, "reasons": ["because"]}
        record(
            ProjectRecord.model_validate(common | project),
            ModelRecord.model_validate(common | model),
        )

    thread = threading.Thread(target=reconcile)
    thread.start()
    result = headrace("publish", project, "--wait", "--timeout", "20")
    thread.join()
    assert result.exit_code == code, result.output
    assert "because" in result.stdout


def test_the_same_source_gives_the_same_archive(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "__pycache__").mkdir(parents=True)
        (tmp_path / name / "__pycache__" / "x.pyc").write_text(name)
        (tmp_path / name / "b.py").write_text("b")
        (tmp_path / name / "a").mkdir()
        (tmp_path / name / "a" / "run").write_text("a")
        (tmp_path / name / "a" / "run").chmod(0o755)
    import os

    os.utime(tmp_path / "two" / "b.py", (1, 1))
    first, second = (zip_source(tmp_path / name, ["."]) for name in ("one", "two"))
    assert first == second
    archive = zipfile.ZipFile(io.BytesIO(first))
    assert archive.namelist() == ["a/run", "b.py"]
    assert archive.getinfo("a/run").external_attr >> 16 == 0o755


def test_everything_that_the_dockerfile_copies_is_sent() -> None:
    from headrace_cli.environments import ROOT

    sent = zipfile.ZipFile(io.BytesIO(zip_source(ROOT))).namelist()
    lines = (ROOT / "containers/tabular/Dockerfile").read_text().splitlines()
    copied = [path for line in lines if line.startswith("COPY ") for path in line.split()[1:-1]]
    assert "layers/profiling/headrace_profiling" in copied
    for path in copied:
        assert any(name == path or name.startswith(f"{path}/") for name in sent), path
    assert {"containers/tabular/Dockerfile", "containers/tabular/buildspec.yml"} <= {*sent}


def test_an_image_is_built_once_for_each_source(aws, headrace) -> None:
    def build() -> None:
        listed = []
        while not listed:
            time.sleep(0.02)
            listed = (
                boto3.client("s3").list_objects_v2(Bucket="headrace-artifacts").get("Contents", [])
            )
        boto3.client("ecr").put_image(
            repositoryName="headrace-dev/tabular",
            imageManifest="{}",
            imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
            imageTag="latest",
        )

    thread = threading.Thread(target=build)
    thread.start()
    first = headrace("image", "--timeout", "20", "--json")
    thread.join()
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["built"] is True
    second = headrace("image", "--timeout", "1", "--json")
    assert json.loads(second.stdout)["built"] is False
    assert json.loads(second.stdout)["digest"] == json.loads(first.stdout)["digest"]


def test_an_image_counts_in_the_second_its_source_was_sent() -> None:
    sent = datetime(2026, 1, 1, 8, 57, 4, 306000, tzinfo=UTC)
    assert Pushed("sha256:a", sent.replace(microsecond=0)).is_after(sent)
    assert not Pushed("sha256:a", sent - timedelta(seconds=1)).is_after(sent)


def test_going_back_to_an_image_pushed_long_ago_ends(aws, headrace) -> None:
    """The registry has it already: `latest` moves, and the image keeps its time."""
    ecr, s3 = boto3.client("ecr"), boto3.client("s3")
    common = {
        "repositoryName": "headrace-dev/tabular",
        "imageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json",
    }
    ecr.put_image(**common, imageManifest='{"a": 1}', imageTag="old")
    ecr.put_image(**common, imageManifest='{"b": 1}', imageTag="latest")
    s3.put_object(Bucket="headrace-artifacts", Key="images/tabular/other.zip", Body=b"x")

    def build() -> None:
        while s3.list_objects_v2(Bucket="headrace-artifacts")["KeyCount"] < 2:
            time.sleep(0.02)
        ecr.put_image(**common, imageManifest='{"a": 1}', imageTag="latest")

    thread = threading.Thread(target=build)
    thread.start()
    result = headrace("image", "--timeout", "20", "--json")
    thread.join()
    assert result.exit_code == 0, result.output


def test_an_image_that_does_not_come(aws, headrace) -> None:
    result = headrace("image", "--timeout", "1")
    assert result.exit_code == ExitCode.TIMED_OUT
    assert "CodeBuild" in result.stderr
