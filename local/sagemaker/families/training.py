"""Training jobs: CreateTrainingJob and what a job goes through."""

from __future__ import annotations

import logging
import re
import shutil
import time
from typing import Any

from local.sagemaker import events
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Context, Family, operation
from local.sagemaker.families.job_run import RESTARTED, TERMINAL, JobFailedError
from local.sagemaker.families.training_run import DAY, TrainingRun
from local.sagemaker.jobs import End, Job, ShutdownError
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
logger = logging.getLogger(__name__)


class TrainingJobs(Family):
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

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._folder = context.state / "training"

    def start(self) -> None:
        """Fail the jobs that an earlier instance left running."""
        for record in self.resources.all():
            if record["TrainingJobStatus"] not in TERMINAL:
                name = record["TrainingJobName"]
                self._step(name, "Failed", "Failed", FailureReason=RESTARTED)
        shutil.rmtree(self._folder, ignore_errors=True)

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
        self.context.jobs.submit(record["TrainingJobArn"], lambda job: self._run(name, job))
        return record

    @operation
    def stop_training_job(self, request: Record) -> None:
        """Ask a job to stop."""
        record = self.resources.get(request["TrainingJobName"])
        status = record["TrainingJobStatus"]
        if status in TERMINAL:
            raise invalid(
                f"The request was rejected because the training job is in status {status}."
            )
        self._step(record["TrainingJobName"], "Stopping", "Stopping")
        self.context.jobs.stop(record["TrainingJobArn"])

    @operation
    def delete_training_job(self, request: Record) -> None:
        """Remove a job that ended."""
        record = self.resources.get(request["TrainingJobName"])
        if record["TrainingJobStatus"] not in TERMINAL:
            raise ServiceError(
                "ResourceInUse",
                f"The training job {record['TrainingJobArn']} is in use; stop it first.",
            )
        self.resources.delete(record["TrainingJobName"])

    def _run(self, name: str, job: Job) -> None:
        """Take a job from the line to a terminal status."""
        run = TrainingRun(self.context, self.resources.get(name), job, self._folder / name)
        try:
            run.download(lambda: self._step(name, "InProgress", "Downloading"))
            if job.stopping:
                self._end(name, run, "Stopped", "Stopped")
                return
            end = run.train(
                lambda: self._step(name, "InProgress", "Training", TrainingStartTime=time.time()),
                lambda: self._step(name, "Stopping", "Stopping"),
            )
            status = "InProgress" if end is End.EXITED else "Stopping"
            self._step(name, status, "Uploading", **run.times())
            run.upload()
            if end is End.EXITED:
                self._end(name, run, "Completed", "Completed")
            elif end is End.STOPPED:
                self._end(name, run, "Stopped", "Stopped")
            else:
                self._end(name, run, "Stopped", "MaxRuntimeExceeded")
        except ShutdownError:
            raise
        except JobFailedError as error:
            self._end(name, run, "Failed", "Failed", FailureReason=str(error)[:1024])
        except Exception as error:
            logger.exception("training job %s", name)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            self._end(name, run, "Failed", "Failed", FailureReason=reason[:1024])
        finally:
            shutil.rmtree(run.tree, ignore_errors=True)

    def _end(
        self, name: str, run: TrainingRun, status: str, secondary: str, **members: Any
    ) -> None:
        run.job.check()
        self._step(name, status, secondary, **run.results(), **members)

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
