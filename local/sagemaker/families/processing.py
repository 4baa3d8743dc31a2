"""Processing jobs: CreateProcessingJob and what a job goes through."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from local.sagemaker import events
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.base import operation
from local.sagemaker.families.jobs import JobFamily, check_quota, check_request
from local.sagemaker.jobs.line import End, Job
from local.sagemaker.jobs.processing import DAY, ProcessingRun
from local.sagemaker.resources import Kind
from local.sagemaker.store import Record

_ROOT = "/opt/ml/processing"


class ProcessingJobs(JobFamily):
    """Processing jobs: containers' programs between inputs and outputs in S3."""

    kind = Kind(
        name="ProcessingJob",
        slug="processing-job",
        missing="Could not find requested job with name: {name}",
        duplicate="Job name must be unique within an AWS account and region, and a processing job "
        "with this name already exists ({arn})",
        duplicate_code="ResourceInUse",
        status="ProcessingJobStatus",
    )
    noun = "processing job"

    def changed(self, record: Record) -> None:
        """Emit the job's state."""
        self.context.cloud.emit(
            "SageMaker Processing Job State Change",
            events.detail("ProcessingJob", record),
            [record["ProcessingJobArn"]],
        )

    @operation
    def create_processing_job(self, request: Record) -> Record:
        """Queue a job."""
        _check(request, self.context.settings.job_instances)
        check_request(self.context, request)
        application = request["AppSpecification"]
        image = self.context.images.find(application["ImageUri"])
        image.argv("process", application.get("ContainerEntrypoint"))
        name = request["ProcessingJobName"]
        self.context.assume(request["RoleArn"], name)
        stopping = request.get("StoppingCondition") or {"MaxRuntimeInSeconds": DAY}
        record = self.resources.create(
            name, request, StoppingCondition=stopping, ProcessingJobStatus="InProgress"
        )
        self.submit(record)
        return record

    def fail(self, name: str, reason: str) -> None:
        """Record that a job failed."""
        self._end(name, "Failed", FailureReason=reason)

    def work(self, record: Record, tree: Path, job: Job) -> None:
        """Carry a job out, up to a terminal status. Raises JobFailedError."""
        name = record["ProcessingJobName"]
        if job.stopping:
            self._end(name, "Stopped")
            return
        run = ProcessingRun(self.context, record, job, tree)
        run.download()
        self.resources.update(name, {"ProcessingStartTime": time.time()})
        try:
            end = run.process(lambda end: self._tell_end(name, end))
        finally:
            job.check()
            self.resources.update(name, run.results())
        if end is End.EXITED:
            run.upload()
            self._end(name, "Completed")
        elif end is End.STOPPED:
            self._end(name, "Stopped")
        else:
            self._end(name, "Stopped", FailureReason="The job ran for MaxRuntimeInSeconds")

    def _tell_end(self, name: str, end: End) -> None:
        """Record that the containers are being ended, while they have their grace."""
        if end is End.TIMED_OUT:
            self.mark_stopping(name)

    def _end(self, name: str, status: str, **members: Any) -> None:
        ended = {"ProcessingJobStatus": status, "ProcessingEndTime": time.time()}
        self.resources.update(name, {**ended, **members})


def _check(request: Record, limit: int) -> None:
    """Refuse what is not done here, and paths outside /opt/ml/processing."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    if cluster.get("InstancePreferences"):
        raise not_implemented("ClusterConfig with InstancePreferences")
    count = cluster.get("InstanceCount", 1)
    check_quota("processing", cluster.get("InstanceType", "ml"), count, limit)
    if count > 1 and request.get("NetworkConfig", {}).get("EnableNetworkIsolation"):
        raise not_implemented("Network isolation of a job on more than one instance")
    for given in request.get("ProcessingInputs", []):
        _check_input(given)
    for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        name, target = output["OutputName"], output.get("S3Output")
        if output.get("AppManaged"):
            raise not_implemented(f"Output {name}: AppManaged")
        if target is None:
            raise not_implemented(f"Output {name}: FeatureStoreOutput")
        _check_path(target.get("LocalPath", ""))


def _check_input(given: Record) -> None:
    name, source = given["InputName"], given.get("S3Input")
    if given.get("AppManaged"):
        raise not_implemented(f"Input {name}: AppManaged")
    if source is None:
        raise not_implemented(f"Input {name}: DatasetDefinition (Athena, Redshift)")
    if source.get("S3InputMode", "File") == "Pipe":
        raise not_implemented(f"Input {name}: Pipe mode")
    if source.get("S3CompressionType", "None") != "None":
        raise invalid(f"Input {name}: S3CompressionType Gzip can only be used in Pipe mode.")
    _check_path(source.get("LocalPath", ""))


def _check_path(path: str) -> None:
    if not f"{path}/".startswith(f"{_ROOT}/") or ".." in Path(path).parts:
        raise invalid(f"LocalPath {path!r} must lie under {_ROOT}/.")
