"""What a run will read, which job it starts, and what that job is told. Pure: no AWS here."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from headrace import names
from headrace.definition import ModelDefinition
from headrace.records import DatasetRecord, RunRecord
from headrace.requests import Request, build_training_job
from headrace.settings import Settings
from headrace.training.folder import RunFolder

# The split of rows into training and held-out ones hashes this with the entity (or the row), so
# that a row is on the same side in every run and champion and candidate meet the same rows.
SPLIT_SEED = "headrace"


class DatasetFile(BaseModel):
    """One file of a dataset version, as `dataset.json` lists it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str


class Dataset(BaseModel):
    """The contents of a dataset version that a run is pinned to."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    files: list[DatasetFile]


class Champion(BaseModel):
    """What serves now: where it is kept, and which data it learned from."""

    model_config = ConfigDict(frozen=True)
    package_arn: str
    artifact_uri: str
    dataset_versions: list[str]


class Plan(BaseModel):
    """Everything a run does, decided before it does anything."""

    model_config = ConfigDict(frozen=True)
    request: Request
    config: dict[str, Any]
    manifest: list[Any]
    dataset_versions: list[str]
    data_hash: str
    image: str
    champion_package_arn: str | None


def job_name(settings: Settings, execution_name: str) -> str:
    """Name the training job of an execution; every attempt at a run has one of its own."""
    return names.sagemaker_name(settings.stack, execution_name)


def data_hash(versions: Iterable[str]) -> str:
    """Return what stands for the data of a run: the versions it learns from, oldest first."""
    return names.digest(*versions, length=32)


def choose_datasets(
    datasets: Sequence[DatasetRecord], newest: str, window: int | None
) -> list[DatasetRecord]:
    """Return the datasets to learn from, oldest first: up to and with `newest`, `window` of them.

    What was set aside is left out, unless the run is about that very dataset.
    What was accepted later does not count, so a run that is replayed reads the same data.

    Raises:
        KeyError: `newest` is not among the datasets.
    """
    wanted = (d for d in datasets if d.set_aside is None or d.dataset_version == newest)
    ordered = sorted(wanted, key=lambda d: (d.accepted_at, d.dataset_version))
    versions = [d.dataset_version for d in ordered]
    if newest not in versions:
        raise KeyError(newest)
    until = ordered[: versions.index(newest) + 1]
    return until[-window:] if window else until


def plan(
    run: RunRecord,
    definition: ModelDefinition,
    settings: Settings,
    *,
    datasets: Mapping[str, Dataset],
    image: str,
    code_uri: str,
    champion: Champion | None,
) -> Plan:
    """Plan a run on `datasets` (version to contents, oldest first)."""
    folder = RunFolder(settings.artifacts_bucket, run.model, run.run)
    known = set(champion.dataset_versions) if champion else set()
    versions = list(datasets)
    champion_channel = {"champion": champion.artifact_uri} if champion else {}
    request = build_training_job(
        settings,
        definition.training,
        name=run.training_job,
        image=image,
        manifest_channels={"training": folder.manifest},
        channels={"code": code_uri, "config": folder.config, **champion_channel},
        output_uri=folder.uri("output"),
        checkpoint_uri=folder.uri("checkpoints"),
        tags={
            "stack": settings.stack,
            "model": run.model,
            "run": run.run,
            "dataset-version": run.dataset_version,
            "project-version": run.project_version,
            **({"commit": run.commit} if run.commit else {}),
        },
    )
    return Plan(
        request=request,
        config=_config(run, definition, {v: v in known for v in versions}),
        manifest=_manifest(settings, run.model, datasets),
        dataset_versions=versions,
        data_hash=data_hash(versions),
        image=image,
        champion_package_arn=champion.package_arn if champion else None,
    )


def _config(
    run: RunRecord, definition: ModelDefinition, is_known: Mapping[str, bool]
) -> dict[str, Any]:
    """Build run.json, the container's contract: what to learn, from what, measured how."""
    data, evaluation = definition.data, definition.evaluation
    monitoring = definition.monitoring
    return {
        "schema_version": 1,
        "run": run.run,
        "model": run.model,
        "problem": evaluation.problem,
        "data": {
            "label": data.label,
            "entity": data.entity,
            "event_time": data.event_time,
            "exclude": data.exclude,
            "holdout": evaluation.holdout,
            "seed": SPLIT_SEED,
        },
        "datasets": [
            {"version": version, "role": "known" if known else "new"}
            for version, known in is_known.items()
        ],
        "features": {"entrypoint": definition.features.entrypoint},
        "training": {
            "entrypoint": definition.training.entrypoint,
            "hyperparameters": definition.training.hyperparameters,
        },
        "serving": {"entrypoint": None},
        "evaluation": {
            "metric": definition.metric,
            "cost": evaluation.cost.model_dump() if evaluation.cost else None,
            "slices": evaluation.slices,
            "latency_ms": evaluation.latency_ms,
        },
        "monitoring": {
            "facets": monitoring.bias.facets if monitoring.bias else {},
            "segments": monitoring.segments,
        },
    }


def _manifest(settings: Settings, model: str, datasets: Mapping[str, Dataset]) -> list[Any]:
    """Build SageMaker's ManifestFile: a prefix, then every file of every pinned version."""
    return [
        {"prefix": f"s3://{settings.data_bucket}/datasets/{model}/"},
        *(
            posixpath.join(version, file.name)
            for version, dataset in datasets.items()
            for file in dataset.files
        ),
    ]
