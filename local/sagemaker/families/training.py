"""Training jobs: CreateTrainingJob and what a job goes through."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from local.sagemaker import events
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.base import operation
from local.sagemaker.families.jobs import TERMINAL, JobFamily
from local.sagemaker.families.training_run import DAY, TrainingRun
from local.sagemaker.jobs import End, Job
from local.sagemaker.resources import Kind
from local.sagemaker.store import Record

_REFUSED = ("ServerlessJobConfig", "ModelPackageConfig", "SessionChainingConfig", "MlflowConfig")
_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class TrainingJobs(JobFamily):
    """Operations on training jobs."""

    kind = Kind(
        name="TrainingJob",
        slug="training-job",
        missing="Requested resource not found.",
        duplicate="Job name must be unique within an AWS account and region, and a training job "
        "with this name already exists ({arn})",
        duplicate_code="ResourceInUse",
        status="TrainingJobStatus",
    )
    noun = "training job"

    def changed(self, record: Record) -> None:
        """Emit the job's state."""
        self.context.cloud.emit(
            "SageMaker Training Job State Change",
            events.detail("TrainingJob", record),
            [record["TrainingJobArn"]],
        )

    @operation
    def create_training_job(self, request: Record) -> Record:
        """Queue a job."""
        _check(request)
        image = self.context.images.find(request["AlgorithmSpecification"]["TrainingImage"])
        image.argv("train", request["AlgorithmSpecification"].get("ContainerEntrypoint"))
        name = request["TrainingJobName"]
        self.context.assume(request["RoleArn"], name)
        now = time.time()
        record = self.resources.create(
            name,
            request,
            StoppingCondition=request.get("StoppingCondition") or {"MaxRuntimeInSeconds": DAY},
            TrainingJobStatus="InProgress",
            SecondaryStatus="Starting",
            SecondaryStatusTransitions=[_transition("Starting", now)],
        )
        self.submit(record)
        return record

    def mark_stopping(self, name: str) -> None:
        """Record that a job is being stopped, unless it has ended."""
        self._step(name, "Stopping", "Stopping")

    def fail(self, name: str, reason: str) -> None:
        """Record that a job failed."""
        self._step(name, "Failed", "Failed", FailureReason=reason)

    def work(self, record: Record, tree: Path, job: Job) -> None:
        """Carry a job out, up to a terminal status. Raises JobFailedError."""
        name = record["TrainingJobName"]
        run = TrainingRun(self.context, record, job, tree)
        try:
            secondary = self._carry_out(name, run)
        finally:
            job.check()
            self.resources.update(name, run.results())
        status = "Stopped" if secondary == "MaxRuntimeExceeded" else secondary
        self._step(name, status, secondary)

    def _carry_out(self, name: str, run: TrainingRun) -> str:
        """Take a job through its stages; return the secondary status it ends in."""
        if run.job.stopping:
            return "Stopped"
        self._step(name, "InProgress", "Downloading")
        run.download()
        if run.job.stopping:
            return "Stopped"
        self._step(name, "InProgress", "Training", TrainingStartTime=time.time())
        end = run.train(lambda: self.mark_stopping(name))
        self._step(name, "InProgress", "Uploading", **run.times())
        run.upload()
        return {
            End.EXITED: "Completed",
            End.STOPPED: "Stopped",
            End.TIMED_OUT: "MaxRuntimeExceeded",
        }[end]

    def _step(self, name: str, status: str, secondary: str, **members: Any) -> None:
        """Record a status; a job that is asked to stop stays Stopping until it ends."""

        def change(record: Record) -> None:
            now = time.time()
            transitions = record["SecondaryStatusTransitions"]
            terminal = status in TERMINAL
            if record["TrainingJobStatus"] in TERMINAL:
                return  # a stop that came too late
            if record["TrainingJobStatus"] == "Stopping" and not terminal:
                record.update(members)
                return
            transitions[-1]["EndTime"] = now
            transitions.append(_transition(secondary, now, terminal))
            record.update(TrainingJobStatus=status, SecondaryStatus=secondary, **members)

        self.resources.update(name, change)


def _transition(status: str, now: float, ended: bool = False) -> Record:
    transition = {"Status": status, "StartTime": now, "StatusMessage": _MESSAGES[status]}
    return {**transition, **({"EndTime": now} if ended else {})}


def _check(request: Record) -> None:
    """Refuse what CreateTrainingJob needs and lacks, and what is not done here."""
    for member in ("AlgorithmSpecification", "ResourceConfig"):
        if member not in request:
            raise invalid(
                f"1 validation error detected: Value null at '{member[0].lower()}{member[1:]}' "
                "failed to satisfy constraint: Member must not be null"
            )
    for member in _REFUSED:
        if member in request:
            raise not_implemented(f"CreateTrainingJob with {member}")
    algorithm, resources = request["AlgorithmSpecification"], request["ResourceConfig"]
    if "TrainingImage" not in algorithm:
        raise not_implemented("A training job by AlgorithmName (give TrainingImage)")
    if resources.get("InstanceCount", 1) != 1 or resources.get("InstanceGroups"):
        raise not_implemented("A training job on more than one instance")
    _check_spot(request)
    _check_metrics(algorithm)
    channels = request.get("InputDataConfig", [])
    if len({channel["ChannelName"] for channel in channels}) != len(channels):
        raise invalid("Channel names must be unique.")
    for channel in channels:
        _check_channel(channel, algorithm.get("TrainingInputMode", "File"))


def _check_metrics(algorithm: Record) -> None:
    for definition in algorithm.get("MetricDefinitions", []):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise invalid(f"Metric {definition['Name']}: invalid regex: {error}") from error


def _check_spot(request: Record) -> None:
    """A spot job runs here as any other: its instance is never interrupted."""
    limits = request.get("StoppingCondition", {})
    wait = limits.get("MaxWaitTimeInSeconds", 0)
    if request.get("EnableManagedSpotTraining") and wait < limits.get("MaxRuntimeInSeconds", DAY):
        raise invalid(
            "MaxWaitTimeInSeconds must be present, and equal to or greater than "
            "MaxRuntimeInSeconds, when EnableManagedSpotTraining is true."
        )


def _check_channel(channel: Record, mode: str) -> None:
    """Refuse inputs that are not brought in here."""
    name = channel["ChannelName"]
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise not_implemented(f"Channel {name}: a source other than S3DataSource")
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise not_implemented(f"Channel {name}: {source['S3DataType']}")
    if channel.get("InputMode", mode) == "Pipe":
        raise not_implemented(f"Channel {name}: Pipe mode")
    for member in ("CompressionType", "RecordWrapperType"):
        if channel.get(member, "None") != "None":
            raise not_implemented(f"Channel {name}: {member} {channel[member]}")
