"""Processing jobs: CreateProcessingJob and what a job goes through."""

from __future__ import annotations

import codecs
import logging
import shutil
import time
from pathlib import Path

from local.sagemaker import events, shapes, toolkit
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Context, Family, operation
from local.sagemaker.families.job_run import RESTARTED, TERMINAL, JobFailedError, fetch
from local.sagemaker.jobs import End, Job, ShutdownError
from local.sagemaker.processes import Command
from local.sagemaker.resources import Kind
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, TransferError

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_DAY = 86400
_ROOT = "/opt/ml/processing"
logger = logging.getLogger(__name__)


class ProcessingJobs(Family):
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

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._folder = context.state / "processing"

    def start(self) -> None:
        """Fail the jobs that an earlier instance left running."""
        for record in self.resources.all():
            if record["ProcessingJobStatus"] not in TERMINAL:
                self._end(record["ProcessingJobName"], "Failed", {"FailureReason": RESTARTED})
        shutil.rmtree(self._folder, ignore_errors=True)

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
        stopping = request.get("StoppingCondition") or {"MaxRuntimeInSeconds": _DAY}
        record = self.resources.create(
            name, request, StoppingCondition=stopping, ProcessingJobStatus="InProgress"
        )
        self.context.jobs.submit(record["ProcessingJobArn"], lambda job: self._run(name, job))
        return record

    @operation
    def stop_processing_job(self, request: Record) -> None:
        """Ask a job to stop."""
        record = self.resources.get(request["ProcessingJobName"])
        status = record["ProcessingJobStatus"]
        if status in TERMINAL:
            raise invalid(
                f"The request was rejected because the processing job is in status {status}."
            )
        self._mark_stopping(record["ProcessingJobName"])
        self.context.jobs.stop(record["ProcessingJobArn"])

    @operation
    def delete_processing_job(self, request: Record) -> None:
        """Remove a job that ended."""
        record = self.resources.get(request["ProcessingJobName"])
        if record["ProcessingJobStatus"] not in TERMINAL:
            arn = record["ProcessingJobArn"]
            message = f"The processing job {arn} is in use; stop it first."
            raise ServiceError("ResourceInUse", message)
        self.resources.delete(record["ProcessingJobName"])

    def _run(self, name: str, job: Job) -> None:
        """Take a job from the line to a terminal status."""
        tree = self._folder / name
        try:
            if job.stopping:
                self._end(name, "Stopped", {})
                return
            end = self._process(self.resources.get(name), tree, job)
            members: Record = {}
            if end is End.TIMED_OUT:
                members["FailureReason"] = "MaxRuntimeExceeded: the job ran for MaxRuntimeInSeconds"
            self._end(name, "Completed" if end is End.EXITED else "Stopped", members)
        except ShutdownError:
            raise
        except JobFailedError as error:
            job.check()
            self._end(name, "Failed", {"FailureReason": str(error)[:1024]})
        except Exception as error:
            job.check()
            logger.exception("processing job %s", name)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            self._end(name, "Failed", {"FailureReason": reason[:1024]})
        finally:
            shutil.rmtree(tree, ignore_errors=True)

    def _process(self, record: Record, tree: Path, job: Job) -> End:
        """Bring inputs in, run the container, take outputs out. Raises JobFailedError."""
        name = record["ProcessingJobName"]
        try:
            credentials = self.context.assume(record["RoleArn"], name)
        except ServiceError as error:
            raise JobFailedError(f"ClientError: {error.message}") from error
        s3 = S3(self.context.cloud, credentials)
        self._prepare(record, tree, s3)
        root = self.context.processes.root(tree)
        isolate = bool(record.get("NetworkConfig", {}).get("EnableNetworkIsolation"))
        application = record["AppSpecification"]
        image = self.context.images.find(application["ImageUri"])
        argv = image.argv(
            "process", application.get("ContainerEntrypoint"), application.get("ContainerArguments")
        )
        environment = {
            **toolkit.common_variables(self.context.cloud, root, None if isolate else credentials),
            **image.variables(),
            "PROCESSING_JOB_NAME": name,
            "PROCESSING_JOB_ARN": record["ProcessingJobArn"],
            **record.get("Environment", {}),
        }
        log = self.context.logs.stream(LOG_GROUP, f"{name}/algo-1-{int(time.time())}")
        self.resources.update(name, {"ProcessingStartTime": time.time()})
        process = self.context.processes.spawn(Command(argv, environment, tree, isolate))
        limit = record["StoppingCondition"].get("MaxRuntimeInSeconds", _DAY)
        code, end = job.watch(process, log, limit, lambda: self._mark_stopping(name))
        self.context.logs.flush()  # who sees the job end finds its log whole
        self.resources.update(name, {"ExitMessage": exit_message(tree)})
        if end is End.EXITED and code != 0:
            reason = " | ".join(log.tail)[:950]
            raise JobFailedError(f"AlgorithmError: {reason}, exit code: {code}")
        if end is End.EXITED:
            self._take_outputs(record, tree, s3)
        return end

    def _mark_stopping(self, name: str) -> None:
        def change(record: Record) -> None:
            if record["ProcessingJobStatus"] not in TERMINAL:  # else the stop came too late
                record["ProcessingJobStatus"] = "Stopping"

        self.resources.update(name, change)

    def _prepare(self, record: Record, tree: Path, s3: S3) -> None:
        toolkit.make_tree(tree, "config", "processing", "output")
        shape = shapes.service_model().operation_model("DescribeProcessingJob").output_shape
        toolkit.write_json(
            tree / "config" / "processingjobconfig.json", shapes.project(shape, record)
        )
        hosts = {"current_host": toolkit.HOST, "hosts": [toolkit.HOST]}
        toolkit.write_json(tree / "config" / "resourceconfig.json", hosts)
        for given in record.get("ProcessingInputs", []):
            folder = _local(tree, given["S3Input"]["LocalPath"])
            folder.mkdir(parents=True, exist_ok=True)
            fetch(s3, given["S3Input"], folder, self.context, record["RoleArn"])
        for output in _outputs(record):
            _local(tree, output["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def _take_outputs(self, record: Record, tree: Path, s3: S3) -> None:
        for output in _outputs(record):
            try:
                s3.upload_folder(_local(tree, output["LocalPath"]), Location.of(output["S3Uri"]))
            except TransferError as error:
                raise JobFailedError(f"ClientError: Data upload failed:{error}") from error

    def _end(self, name: str, status: str, members: Record) -> None:
        ended = {"ProcessingJobStatus": status, "ProcessingEndTime": time.time()}
        self.resources.update(name, {**ended, **members})


def exit_message(tree: Path) -> str | None:
    """Return what the container left in /opt/ml/output/message: its first 1 KB.

    Raises JobFailedError if that is not UTF-8.
    """
    file = tree / "output" / "message"
    if not file.is_file():
        return None
    with file.open("rb") as content:
        start = content.read(1024)
    try:  # incremental, since the cut may fall within a character
        return codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError as error:
        raise JobFailedError("ClientError: the exit message is not UTF-8") from error


def _local(tree: Path, path: str) -> Path:
    return tree / path.removeprefix("/opt/ml").strip("/")


def _outputs(record: Record) -> list[Record]:
    outputs = record.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return [output["S3Output"] for output in outputs]


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
