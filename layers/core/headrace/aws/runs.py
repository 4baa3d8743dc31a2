"""Runs: claimed for an execution, then planned."""

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from headrace.aws.ledger import Ledger
from headrace.aws.projects import load_definition
from headrace.aws.registry import describe_package, find_run, resolve_image
from headrace.aws.storage import Location, Storage
from headrace.definition import ModelDefinition
from headrace.errors import TrainingError
from headrace.names import endpoint_name
from headrace.projects import archive_key
from headrace.records import DatasetRecord, EndpointRecord, Key, RunRecord, model_partition, now
from headrace.requests import Request
from headrace.settings import Settings
from headrace.training.folder import RunFolder
from headrace.training.plan import Champion, Dataset, Plan, choose_datasets, job_name, plan


class RunRequest(BaseModel):
    """The input of the training state machine: what a run is made from."""

    model: str
    run: str
    dataset_version: str
    project_version: str
    cause: str


class PlanRequest(RunRequest):
    """What PlanRun is asked, with the execution that asks."""

    execution: str
    execution_name: str


class PlanVerdict(BaseModel):
    """PlanRun's answer: a job to start, or why none is."""

    outcome: Literal["planned", "refused", "duplicate"]
    reasons: list[str] = []
    job: Request | None = None


class Planner(NamedTuple):
    """What planning needs of AWS."""

    settings: Settings
    ledger: Ledger
    storage: Storage
    sagemaker: Any
    ecr: Any


def plan_run(request: PlanRequest, aws: Planner) -> PlanVerdict:
    """Claim a run for this execution, and write down everything it will do.

    A retry of the same execution plans again. A run that failed or was refused may be claimed by
    another execution; one that is under way or judged may not.
    """
    run = _claim(request, aws)
    if run is None:
        reason = f"run {request.run} belongs to another execution"
        return PlanVerdict(outcome="duplicate", reasons=[reason])
    image = resolve_image(aws.ecr, aws.settings.tabular_repository)
    if image is None:
        return _refuse(run, aws.ledger, "there is no image yet: run `headrace image`")
    definition = load_definition(aws.storage, aws.settings, run.model, run.project_version)
    planned = plan(
        run,
        definition,
        aws.settings,
        datasets=_load_datasets(run, definition, aws),
        image=image,
        code_uri=f"s3://{aws.settings.data_bucket}/{archive_key(run.model, run.project_version)}",
        champion=_find_champion(run.model, aws),
    )
    _write(run, definition, planned, aws)
    return PlanVerdict(outcome="planned", job=planned.request)


def _claim(request: PlanRequest, aws: Planner) -> RunRecord | None:
    record = RunRecord(
        model=request.model,
        run=request.run,
        status="training",
        reason="planned",
        dataset_version=request.dataset_version,
        project_version=request.project_version,
        execution_arn=request.execution,
        training_job=job_name(aws.settings, request.execution_name),
        cause=request.cause,
        started_at=now(),
    )
    existing = aws.ledger.create(record)
    if existing is None:
        return record
    if existing.execution_arn == request.execution:
        return existing
    if existing.status not in ("failed", "refused"):
        return None
    taken = {key: None for key in existing.item() if key not in record.item()}
    changes = {k: v for k, v in record.item().items() if k not in ("pk", "sk", "kind")} | taken
    expect = {"execution_arn": existing.execution_arn, "status": existing.status}
    return record if aws.ledger.update(record.key(), changes, expect) else None


def _refuse(run: RunRecord, ledger: Ledger, reason: str) -> PlanVerdict:
    ledger.update(
        run.key(),
        {"status": "refused", "reason": reason, "reasons": [reason], "ended_at": now()},
        {"execution_arn": run.execution_arn},
    )
    return PlanVerdict(outcome="refused", reasons=[reason])


def _load_datasets(run: RunRecord, definition: ModelDefinition, aws: Planner) -> dict[str, Dataset]:
    records = list(aws.ledger.query(DatasetRecord, model_partition(run.model), "dataset#"))
    try:
        chosen = choose_datasets(records, run.dataset_version, definition.data.window)
    except KeyError as error:
        raise TrainingError(
            f"The ledger has no dataset {run.dataset_version} of {run.model}: was it dropped?"
        ) from error
    bucket = aws.settings.data_bucket
    return {
        record.dataset_version: Dataset.model_validate(
            aws.storage.get_json(
                Location(bucket, f"datasets/{run.model}/{record.dataset_version}/dataset.json")
            )
        )
        for record in chosen
    }


def _find_champion(model: str, aws: Planner) -> Champion | None:
    endpoint = endpoint_name(aws.settings.stack, model)
    record = aws.ledger.get(EndpointRecord, Key(pk="endpoints", sk=endpoint))
    if record is None or record.package_arn is None:
        return None
    package = describe_package(aws.sagemaker, record.package_arn)
    run = find_run(aws.ledger, model, package.metadata.get("run", ""))
    return Champion(
        package_arn=package.arn,
        artifact_uri=package.artifact_uri,
        # A package that no run of ours made has learned from nothing we know.
        dataset_versions=run.dataset_versions if run else [],
    )


def _write(run: RunRecord, definition: ModelDefinition, planned: Plan, aws: Planner) -> None:
    folder = RunFolder(aws.settings.artifacts_bucket, run.model, run.run)
    content = definition.model_dump(mode="json", by_alias=True)
    aws.storage.put_json(Location.of(folder.definition), content)
    aws.storage.put_json(Location.of(folder.manifest), planned.manifest)
    aws.storage.put_json(Location.of(folder.config), planned.config)
    changes = {
        "reason": f"training on {len(planned.dataset_versions)} dataset versions",
        "dataset_versions": planned.dataset_versions,
        "data_hash": planned.data_hash,
        "image": planned.image,
        "champion_package_arn": planned.champion_package_arn,
    }
    if not aws.ledger.update(run.key(), changes, {"execution_arn": run.execution_arn}):
        raise TrainingError(f"Run {run.run} was claimed by another execution meanwhile.")
