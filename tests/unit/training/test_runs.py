"""Runs on moto's AWS: claimed once, planned from what is stored, refused in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.aws.projects import find_model
from headrace.aws.registry import find_run
from headrace.aws.runs import Planner, PlanRequest, plan_run
from headrace.aws.storage import Location
from headrace.errors import TrainingError
from headrace.projects import archive_key, build_archive
from headrace.records import EndpointRecord
from tests.unit import world
from tests.unit.world import EXECUTION, MODEL, World


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    with world.aws(monkeypatch) as made:
        made.ecr.create_repository(repositoryName="headrace/tabular")
        (tmp_path / "model.yaml").write_text(f"name: {MODEL}\ndata: {{label: defaulted}}\n")
        archive = build_archive(tmp_path)
        made.storage.put_bytes(
            Location("headrace-data", archive_key(MODEL, archive.version)),
            archive.content,
            "application/gzip",
        )
        made.ledger.put(world.model_record(project_version=archive.version))
        for number in (1, 2):
            version = f"d{number}"
            made.ledger.put(world.dataset_record(version, f"2026-11-0{number}T00:00:00.000Z"))
            made.storage.put_json(
                Location("headrace-data", f"datasets/{MODEL}/{version}/dataset.json"),
                {"files": [{"name": "0.parquet", "sha256": "e" * 64, "rows": 10, "bytes": 99}]},
            )
        yield made


def push_image(here: World) -> str:
    media = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = f'{{"schemaVersion": 2, "mediaType": "{media}", "layers": []}}'
    image = here.ecr.put_image(
        repositoryName="headrace/tabular", imageManifest=manifest, imageTag="latest"
    )
    return str(image["image"]["imageId"]["imageDigest"])


def planner(here: World) -> Planner:
    return Planner(here.settings, here.ledger, here.storage, here.sagemaker, here.ecr)


def ask(here: World, execution: str = EXECUTION) -> PlanRequest:
    model = find_model(here.ledger, MODEL)
    assert model is not None
    return PlanRequest(
        model=MODEL,
        run="credit-risk-run",
        dataset_version="d2",
        project_version=model.project_version,
        cause="the test says so",
        execution=execution,
        execution_name=execution.rpartition(":")[2],
    )


def test_a_plan_is_written_down_and_pinned(here: World) -> None:
    digest = push_image(here)
    request = ask(here)
    verdict = plan_run(request, planner(here))
    assert verdict.outcome == "planned"
    assert verdict.job is not None
    image = verdict.job["AlgorithmSpecification"]["TrainingImage"]
    assert image.endswith(f"/headrace/tabular@{digest}")
    run = find_run(here.ledger, MODEL, request.run)
    assert run is not None
    assert (run.status, run.image, run.dataset_versions) == ("training", image, ["d1", "d2"])
    folder = f"runs/{MODEL}/{request.run}"
    manifest = here.storage.get_json(Location("headrace-artifacts", f"{folder}/training.manifest"))
    assert manifest[1:] == ["d1/0.parquet", "d2/0.parquet"]
    config = here.storage.get_json(Location("headrace-artifacts", f"{folder}/config/run.json"))
    assert config["run"] == request.run


def test_a_replayed_start_is_the_same_run(here: World) -> None:
    """Invariant 15: a retry plans the same again; another execution leaves it alone."""
    push_image(here)
    request = ask(here)
    assert plan_run(request, planner(here)) == plan_run(request, planner(here))
    before = find_run(here.ledger, MODEL, request.run)
    other = ask(here, EXECUTION + "-2")
    assert plan_run(other, planner(here)).outcome == "duplicate"
    assert find_run(here.ledger, MODEL, request.run) == before


def test_without_an_image_the_run_is_refused_until_there_is_one(here: World) -> None:
    request = ask(here)
    verdict = plan_run(request, planner(here))
    assert (verdict.outcome, verdict.reasons) == (
        "refused",
        ["there is no image yet: run `headrace image`"],
    )
    run = find_run(here.ledger, MODEL, request.run)
    assert run is not None
    assert (run.status, run.reason) == ("refused", verdict.reasons[0])
    push_image(here)
    again = plan_run(ask(here, EXECUTION + "-2"), planner(here))
    assert again.outcome == "planned"
    taken = find_run(here.ledger, MODEL, request.run)
    assert taken is not None
    assert (taken.status, taken.ended_at, taken.reasons) == ("training", None, [])
    assert taken.training_job != run.training_job


def test_the_champion_and_what_it_knew_come_from_registry_and_ledger(here: World) -> None:
    push_image(here)
    arn = register(here, {"run": "old-run"})
    here.ledger.put(world.run_record(run="old-run", status="better", dataset_versions=["d1"]))
    here.ledger.put(EndpointRecord(model=MODEL, endpoint=f"headrace-{MODEL}", package_arn=arn))
    request = ask(here)
    verdict = plan_run(request, planner(here))
    assert verdict.job is not None
    assert [c["ChannelName"] for c in verdict.job["InputDataConfig"]][-1] == "champion"
    folder = f"runs/{MODEL}/{request.run}"
    config = here.storage.get_json(Location("headrace-artifacts", f"{folder}/config/run.json"))
    assert [d["role"] for d in config["datasets"]] == ["known", "new"]
    run = find_run(here.ledger, MODEL, request.run)
    assert run is not None
    assert run.champion_package_arn == arn


def test_a_repository_that_is_missing_is_a_fault_not_an_absent_image(here: World) -> None:
    here.ecr.delete_repository(repositoryName="headrace/tabular")
    with pytest.raises(TrainingError, match="deploy it again"):
        plan_run(ask(here), planner(here))


def register(here: World, metadata: dict[str, str]) -> Any:
    here.sagemaker.create_model_package_group(ModelPackageGroupName=f"headrace-{MODEL}")
    return here.sagemaker.create_model_package(
        ModelPackageGroupName=f"headrace-{MODEL}",
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [{"Image": world.IMAGE, "ModelDataUrl": "s3://b/model.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
        CustomerMetadataProperties=metadata,
    )["ModelPackageArn"]
