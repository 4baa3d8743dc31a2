"""Candidates: judged by what their job left in S3, and packed for the registry."""

import tempfile
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from headrace.archives import read_members
from headrace.aws.ledger import Ledger
from headrace.aws.registry import find_run
from headrace.aws.storage import Location, Storage
from headrace.definition import ModelDefinition
from headrace.errors import MonitoringError, TrainingError
from headrace.events import CandidateRefused
from headrace.monitoring.baseline import Baseline
from headrace.names import package_group_name
from headrace.records import Key, RunRecord, model_partition, now
from headrace.registry import package_metadata
from headrace.requests import Kept, Request, build_model_package
from headrace.settings import Settings
from headrace.training.evaluation import Evaluation
from headrace.training.folder import RunFolder
from headrace.training.gate import Verdict, judge

# evaluation.json of thousands of slices is a few megabytes; what user code adds is capped too.
_MAX_OUTPUT_BYTES = 256 << 20
_MAX_OUTPUT_ARCHIVE_BYTES = 128 << 20

_REPORTS = ("evaluation.json", "smoke.json")
# What monitoring needs; an older or another image writes none of it.
_DATA_QUALITY = {"Statistics": "statistics.json", "Constraints": "constraints.json"}
_BASELINE = ("baseline.json", *_DATA_QUALITY.values())
_NO_BASELINE = "no baseline: monitoring will be unsure"


class JudgeRequest(BaseModel):
    """What JudgeCandidate is asked."""

    model: str
    run: str
    execution: str


class Outputs(NamedTuple):
    """What a job left: its report, the files that are kept by their names, and what to remark."""

    evaluation: Evaluation
    kept: dict[str, Kept]
    notes: list[str]


class JudgeVerdict(BaseModel):
    """JudgeCandidate's answer: a package to register, or the refusal to announce."""

    outcome: Literal["better", "not better"]
    reason: str
    package: Request | None = None
    refusal: CandidateRefused | None = None


def judge_candidate(
    request: JudgeRequest, settings: Settings, ledger: Ledger, storage: Storage, sagemaker: Any
) -> JudgeVerdict:
    """Judge what a run's job made, and write the verdict into the ledger.

    A candidate that is better stays "training" there until its package is registered.

    Raises:
        TrainingError: the job, or what it left, is not what was planned.
    """
    run = find_run(ledger, request.model, request.run)
    if run is None or run.execution_arn != request.execution:
        raise TrainingError(f"Run {request.run} is not of execution {request.execution}.")
    folder = RunFolder(settings.artifacts_bucket, run.model, run.run)
    definition = ModelDefinition.model_validate(storage.get_json(Location.of(folder.definition)))
    job = sagemaker.describe_training_job(TrainingJobName=run.training_job)
    _check_job(job, run, folder)
    artifact = Location.of(job["ModelArtifacts"]["S3ModelArtifacts"])
    outputs = _store_outputs(artifact, folder, storage)
    has_champion = run.champion_package_arn is not None
    verdict = judge(outputs.evaluation, definition, has_champion=has_champion)
    judged = run.model_copy(
        update={
            "reason": verdict.reasons[0],
            "reasons": verdict.reasons,
            "notes": verdict.notes + outputs.notes,
            "metric": verdict.metric,
            "candidate_value": verdict.candidate_value,
            "champion_value": verdict.champion_value,
            "baseline_value": verdict.baseline_value,
            "artifact_sha256": storage.sha256(artifact),
            "evaluation_uri": folder.evaluation,
            "job_seconds": _seconds(job["TrainingStartTime"], job["TrainingEndTime"]),
        }
    )
    _record(judged, verdict, ledger)
    for version, reason in verdict.spoilt.items():
        dataset = Key(pk=model_partition(run.model), sk=f"dataset#{version}")
        # The first reason stays.
        ledger.update(dataset, {"set_aside": reason}, {"set_aside": None})
    if verdict.outcome == "not better":
        refusal = CandidateRefused(
            model=run.model,
            run=run.run,
            dataset_version=run.dataset_version,
            reasons=verdict.reasons,
        )
        return JudgeVerdict(outcome="not better", reason=judged.reason, refusal=refusal)
    package = _package(judged, definition, settings, artifact.uri, outputs.kept)
    return JudgeVerdict(outcome="better", reason=judged.reason, package=package)


def _check_job(job: dict[str, Any], run: RunRecord, folder: RunFolder) -> None:
    """A job found by its name must be the one that was planned, and done."""
    sources = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job["InputDataConfig"]]
    if (
        job["AlgorithmSpecification"]["TrainingImage"] != run.image
        or folder.manifest not in sources
    ):
        raise TrainingError(
            f"Training job {run.training_job} exists, but run {run.run} did not start it: its "
            "image or data differ from the plan. Delete it, then request the run again."
        )
    if job["TrainingJobStatus"] != "Completed":
        raise TrainingError(
            f"Training job {run.training_job} is {job['TrainingJobStatus']}: "
            f"{job.get('FailureReason', 'it was stopped')}"
        )


def _store_outputs(artifact: Location, folder: RunFolder, storage: Storage) -> Outputs:
    """Read the job's report and baseline, and keep them where people and monitors find them."""
    archive = Location(artifact.bucket, artifact.key.rpartition("/")[0] + "/output.tar.gz")
    if storage.head(archive)["ContentLength"] > _MAX_OUTPUT_ARCHIVE_BYTES:
        raise TrainingError(f"{archive.uri} is larger than {_MAX_OUTPUT_ARCHIVE_BYTES:,} bytes.")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "output.tar.gz")
        storage.download(archive, path)
        with path.open("rb") as file:
            found = read_members(file, {*_REPORTS, *_BASELINE}, _MAX_OUTPUT_BYTES)
    if not found.keys() >= {*_REPORTS}:
        raise TrainingError(f"{archive.uri} lacks evaluation.json or smoke.json.")
    try:
        evaluation = Evaluation.model_validate_json(found["evaluation.json"])
    except ValidationError as error:
        raise TrainingError(f"evaluation.json of run {folder.run} is not valid: {error}") from error
    if evaluation.run != folder.run:
        raise TrainingError(f"evaluation.json is of run {evaluation.run}, not {folder.run}.")
    notes = _remarks(found, folder)
    kept = {}
    for name in found if not notes else _REPORTS:
        storage.put_bytes(Location.of(folder.uri(name)), found[name], "application/json")
        kept[name] = Kept(folder.uri(name), sha256(found[name]).hexdigest())
    return Outputs(evaluation, kept, notes)


def _remarks(found: Mapping[str, bytes], folder: RunFolder) -> list[str]:
    """Tell why a run has no baseline to keep; such a run is judged all the same."""
    if not found.keys() >= {*_BASELINE}:
        return [_NO_BASELINE]
    try:
        baseline = Baseline.from_json(found["baseline.json"])
    except MonitoringError as error:
        return [f"{_NO_BASELINE} ({error})"]
    if baseline.run != folder.run:
        return [f"{_NO_BASELINE} (baseline.json is of run {baseline.run})"]
    return []


def _record(judged: RunRecord, verdict: Verdict, ledger: Ledger) -> None:
    changes = judged.model_dump(
        mode="json",
        include={
            "reason",
            "reasons",
            "notes",
            "metric",
            "candidate_value",
            "champion_value",
            "baseline_value",
            "artifact_sha256",
            "evaluation_uri",
            "job_seconds",
        },
    )
    if verdict.outcome == "not better":
        changes |= {"status": "not better", "ended_at": now()}
    expect = {"execution_arn": judged.execution_arn, "status": "training"}
    if ledger.update(judged.key(), changes, expect):
        return
    # A retry after a lost reply finds its own verdict.
    stored = find_run(ledger, judged.model, judged.run)
    if stored is None or stored.status != changes.get("status"):
        raise TrainingError(f"Run {judged.run} was closed while its candidate was judged.")


def _package(
    run: RunRecord,
    definition: ModelDefinition,
    settings: Settings,
    artifact_uri: str,
    kept: Mapping[str, Kept],
) -> Request:
    if run.image is None or run.artifact_sha256 is None or run.candidate_value is None:
        raise TrainingError(f"Run {run.run} lacks what a package must carry.")
    return build_model_package(
        group=package_group_name(settings.stack, run.model),
        token=run.training_job,
        description=run.reason,
        image=run.image,
        artifact_uri=artifact_uri,
        instance_type=definition.deployment.instance_type,
        evaluation=kept["evaluation.json"],
        data_quality={n: kept[file] for n, file in _DATA_QUALITY.items() if file in kept},
        metadata=package_metadata(
            run, artifact_sha256=run.artifact_sha256, value=run.candidate_value
        ),
    )


def _seconds(start: datetime, end: datetime) -> float:
    return round((end - start).total_seconds(), 3)
