"""Processing jobs: CreateProcessingJob and what a job goes through."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from local.sagemaker import events
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.base import operation
from local.sagemaker.families.jobs import TERMINAL, JobFamily
from local.sagemaker.families.processing_run import DAY, ProcessingRun
from local.sagemaker.jobs import End, Job
from local.sagemaker.resources import Kind
from local.sagemaker.store import Record

_ROOT = "/opt/ml/processing"


class ProcessingJobs(JobFamily):
    """Operations on processing jobs."""

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
        _check(request)
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

    def mark_stopping(self, name: str) -> None:
        """Record that a job is being stopped, unless it has ended."""

        def change(record: Record) -> None:
            if record["ProcessingJobStatus"] not in TERMINAL:
                record["ProcessingJobStatus"] = "Stopping"

        self.resources.update(name, change)

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
            end = run.process(lambda: self.mark_stopping(name))
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

    def _end(self, name: str, status: str, **members: Any) -> None:
        ended = {"ProcessingJobStatus": status, "ProcessingEndTime": time.time()}
        self.resources.update(name, {**ended, **members})


def _check(request: Record) -> None:
    """Refuse what is not done here, and paths outside /opt/ml/processing."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    if cluster["InstanceCount"] != 1:
        raise not_implemented("A processing job on more than one instance")
    for given in request.get("ProcessingInputs", []):
        source = given.get("S3Input")
        if source is None or given.get("AppManaged"):
            raise not_implemented(f"Input {given['InputName']}: other than an S3Input")
        if source.get("S3InputMode", "File") == "Pipe":
            raise not_implemented(f"Input {given['InputName']}: Pipe mode")
        if source.get("S3CompressionType", "None") != "None":
            raise not_implemented(f"Input {given['InputName']}: S3CompressionType")
        _check_path(source.get("LocalPath", ""))
    for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        target = output.get("S3Output")
        if target is None or output.get("AppManaged"):
            raise not_implemented(f"Output {output['OutputName']}: other than an S3Output")
        if target.get("S3UploadMode", "EndOfJob") != "EndOfJob":
            raise not_implemented(f"Output {output['OutputName']}: S3UploadMode Continuous")
        _check_path(target.get("LocalPath", ""))


def _check_path(path: str) -> None:
    if not f"{path}/".startswith(f"{_ROOT}/") or ".." in Path(path).parts:
        raise invalid(f"LocalPath {path!r} must lie under {_ROOT}/.")
