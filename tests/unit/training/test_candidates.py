"""Candidates on moto's AWS: judged by what a job left, packed with where they come from."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headrace.aws.candidates import JudgeRequest, JudgeVerdict, judge_candidate
from headrace.aws.registry import find_run
from headrace.aws.storage import Location
from headrace.errors import ArchiveError, TrainingError
from headrace.records import RunRecord
from headrace.registry import REQUIRED_METADATA
from tests.unit import world
from tests.unit.training.test_gate import evaluation
from tests.unit.world import EXECUTION, MODEL, World

OUTPUT = "runs/credit-risk/credit-risk-run/output/headrace-credit-risk-run/output"
MANIFEST = "s3://headrace-artifacts/runs/credit-risk/credit-risk-run/training.manifest"
MODEL_BYTES = b"a model" * 1000


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


BASELINE: dict[str, Any] = {
    "schema_version": 1,
    "run": "credit-risk-run",
    "model": MODEL,
    "problem": "binary",
    "rows": 100,
    "inputs": {"version": 1, "rows": 100, "columns": {}},
    "predictions": {"version": 1, "rows": 20, "columns": {}},
    "quality": None,
    "attribution": None,
    "bias": {},
    "segments": {},
}


def leave(here: World, report: dict[str, Any] | bytes, **more: bytes) -> None:
    """Write what a job writes; `more` are names without `.json`."""
    content = report if isinstance(report, bytes) else json.dumps(report).encode()
    files = {"./evaluation.json": content, "smoke.json": b'{"instances": []}'}
    files |= {f"{name}.json": text for name, text in more.items()}
    put(here, f"{OUTPUT}/output.tar.gz", archive(files))
    put(here, f"{OUTPUT}/model.tar.gz", MODEL_BYTES)


def put(here: World, key: str, content: bytes) -> None:
    here.storage.put_bytes(Location("headrace-artifacts", key), content, "application/gzip")


class Job:
    """SageMaker's DescribeTrainingJob for one job, whose end a test decides."""

    def __init__(self, sagemaker: Any) -> None:
        self._sagemaker = sagemaker
        self.changes: dict[str, Any] = {}

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803 — boto3's
        reply = self._sagemaker.describe_training_job(TrainingJobName=TrainingJobName)
        artifact = f"s3://headrace-artifacts/{OUTPUT}/model.tar.gz"
        return {**reply, "ModelArtifacts": {"S3ModelArtifacts": artifact}, **self.changes}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world.aws(monkeypatch) as made:
        folder = "runs/credit-risk/credit-risk-run"
        definition = world.definition().model_dump(mode="json", by_alias=True)
        made.storage.put_json(
            Location("headrace-artifacts", f"{folder}/definition.json"), definition
        )
        made.sagemaker.create_training_job(
            TrainingJobName="headrace-credit-risk-run",
            AlgorithmSpecification={"TrainingImage": world.IMAGE, "TrainingInputMode": "File"},
            RoleArn=made.settings.job_role_arn,
            InputDataConfig=[
                {
                    "ChannelName": "training",
                    "DataSource": {
                        "S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": MANIFEST}
                    },
                }
            ],
            OutputDataConfig={"S3OutputPath": f"s3://headrace-artifacts/{folder}/output"},
            ResourceConfig={
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            },
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
        made.ledger.put(world.run_record())
        yield made


def judged(here: World, execution: str = EXECUTION, **job_changes: Any) -> JudgeVerdict:
    job = Job(here.sagemaker)
    job.changes = job_changes
    request = JudgeRequest(model=MODEL, run="credit-risk-run", execution=execution)
    return judge_candidate(request, here.settings, here.ledger, here.storage, job)


def stored(here: World) -> RunRecord:
    run = find_run(here.ledger, MODEL, "credit-risk-run")
    assert run is not None
    return run


def test_a_better_candidate_is_packed_with_its_origin(here: World) -> None:
    """Invariant 26: data, code, image and artifact are always said, and are the run's."""
    leave(here, evaluation(champion=None))
    verdict = judged(here)
    assert verdict.outcome == "better", verdict.reason
    assert verdict.package is not None
    metadata = verdict.package["CustomerMetadataProperties"]
    assert set(REQUIRED_METADATA) <= set(metadata)
    sha256 = hashlib.sha256(MODEL_BYTES).hexdigest()
    run = stored(here)
    assert metadata["artifact_sha256"] == run.artifact_sha256 == sha256
    assert (metadata["data_hash"], metadata["image"]) == (run.data_hash, run.image)
    assert verdict.package["InferenceSpecification"]["Containers"] == [
        {"Image": world.IMAGE, "ModelDataUrl": f"s3://headrace-artifacts/{OUTPUT}/model.tar.gz"}
    ]
    # Only registration makes a run better.
    assert run.status == "training"
    assert run.candidate_value == 0.975
    digest = verdict.package["ModelMetrics"]["ModelQuality"]["Statistics"]["ContentDigest"]
    kept = here.storage.get_bytes(
        Location.of("s3://headrace-artifacts/runs/credit-risk/credit-risk-run/evaluation.json"),
        1 << 20,
    )
    assert digest == f"sha256:{hashlib.sha256(kept).hexdigest()}"


def kept(here: World, name: str) -> bytes:
    key = f"runs/credit-risk/credit-risk-run/{name}.json"
    return here.storage.get_bytes(Location("headrace-artifacts", key), 1 << 20)


def test_a_baseline_is_kept_and_the_package_names_its_statistics(here: World) -> None:
    content = json.dumps(BASELINE).encode()
    leave(here, evaluation(champion=None), baseline=content, statistics=b"[1]", constraints=b"[2]")
    verdict = judged(here)
    assert kept(here, "baseline") == content
    assert verdict.package is not None
    for where in ("ModelMetrics", "DriftCheckBaselines"):
        found = verdict.package[where]["ModelDataQuality"]
        for kind, name in (("Statistics", "statistics"), ("Constraints", "constraints")):
            digest = hashlib.sha256(kept(here, name)).hexdigest()
            assert found[kind]["ContentDigest"] == f"sha256:{digest}"
            assert found[kind]["S3Uri"].endswith(f"/runs/credit-risk/credit-risk-run/{name}.json")
    assert not [note for note in stored(here).notes if "baseline: " in note]


@pytest.mark.parametrize(
    ("baseline", "told"),
    [
        (None, "no baseline: monitoring will be unsure"),
        (BASELINE | {"schema_version": 2}, "has schema version 2, this stack reads 1"),
        (BASELINE | {"run": "another"}, "is of run another"),
        (BASELINE | {"rows": None}, "is not valid: rows"),
        ([], "has schema version None"),
    ],
)
def test_a_run_without_a_baseline_that_can_be_read_is_judged(
    here: World, baseline: Any, told: str
) -> None:
    """An older image or one's own writes none, or another."""
    more = {"statistics": b"{}", "constraints": b"{}", "baseline": json.dumps(baseline).encode()}
    leave(here, evaluation(champion=None), **(more if baseline is not None else {}))
    verdict = judged(here)
    assert verdict.outcome == "better"
    assert verdict.package is not None
    assert "DriftCheckBaselines" not in verdict.package
    assert [note for note in stored(here).notes if told in note], stored(here).notes
    with pytest.raises(ClientError):
        kept(here, "baseline")


def test_a_candidate_that_is_not_better_ends_its_run(here: World) -> None:
    here.ledger.put(world.run_record(champion_package_arn="arn:champion"))
    worse = evaluation(candidate={"metrics": {"roc_auc": 0.91}})
    leave(here, worse)
    verdict = judged(here)
    assert verdict.outcome == "not better"
    assert verdict.package is None
    assert verdict.refusal is not None
    run = stored(here)
    assert (run.status, run.reasons) == ("not better", verdict.refusal.reasons)
    assert run.ended_at is not None
    # A retry after a lost reply says the same.
    assert judged(here) == verdict


def test_a_champion_the_job_left_out_refuses(here: World) -> None:
    here.ledger.put(world.run_record(champion_package_arn="arn:champion"))
    leave(here, evaluation(champion=None))
    assert judged(here).outcome == "not better"


def test_a_run_that_was_closed_meanwhile_stays_closed(here: World) -> None:
    here.ledger.put(world.run_record(status="failed", reason="stopped by hand"))
    leave(here, evaluation(champion=None))
    with pytest.raises(TrainingError, match="closed"):
        judged(here)
    assert stored(here).reason == "stopped by hand"


def test_only_the_run_s_own_execution_may_judge(here: World) -> None:
    leave(here, evaluation(champion=None))
    with pytest.raises(TrainingError, match="not of execution"):
        judged(here, EXECUTION + "-2")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: boom"}, "boom"),
        ({"TrainingJobStatus": "Stopped"}, "it was stopped"),
        ({"AlgorithmSpecification": {"TrainingImage": "another:latest"}}, "did not start it"),
        ({"InputDataConfig": []}, "did not start it"),
    ],
)
def test_a_job_that_is_not_the_planned_one_done_is_a_fault(
    here: World, changes: dict[str, Any], told: str
) -> None:
    """Invariant 16 has this side, too: a job is adopted by its name only if it is the run's."""
    leave(here, evaluation(champion=None))
    with pytest.raises(TrainingError, match=told):
        judged(here, **changes)


@pytest.mark.parametrize(
    "report", [b"{", b"{}", b"[]", json.dumps(evaluation(run="another")).encode()]
)
def test_a_report_that_is_not_the_run_s_is_a_fault(here: World, report: bytes) -> None:
    leave(here, report)
    with pytest.raises(TrainingError, match=r"evaluation\.json"):
        judged(here)


def test_a_report_that_is_missing_is_a_fault(here: World) -> None:
    put(here, f"{OUTPUT}/output.tar.gz", archive({"other.json": b"{}"}))
    put(here, f"{OUTPUT}/model.tar.gz", MODEL_BYTES)
    with pytest.raises(TrainingError, match="lacks"):
        judged(here)


def test_a_nan_in_the_report_does_not_pass(here: World) -> None:
    leave(here, json.dumps(evaluation(champion=None)).replace("0.975", "NaN").encode())
    assert judged(here).outcome == "not better"


def test_an_archive_bomb_stops_at_the_cap(here: World) -> None:
    put(here, f"{OUTPUT}/output.tar.gz", archive({"evaluation.json": bytes(300 << 20)}))
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        judged(here)
