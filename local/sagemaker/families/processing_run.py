"""One processing job's work: data in, the container, outputs out."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable
from pathlib import Path

from local.sagemaker import shapes, toolkit
from local.sagemaker.families.base import Context
from local.sagemaker.families.jobs import JobFailedError, assume, fetch
from local.sagemaker.jobs import End, Job
from local.sagemaker.processes import Command
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, TransferError, inside

DAY = 86400
_LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_MESSAGE = 1024  # bytes of the exit message


class ProcessingRun:
    """One job's work, between its statuses."""

    def __init__(self, context: Context, record: Record, job: Job, tree: Path) -> None:
        self.context, self.record, self.job, self.tree = context, record, job, tree
        self.name = record["ProcessingJobName"]
        outputs = record.get("ProcessingOutputConfig", {}).get("Outputs", [])
        self._outputs = [output["S3Output"] for output in outputs]

    def download(self) -> None:
        """Write the configuration and bring the inputs in. Raises JobFailedError."""
        self.credentials = assume(self.context, self.record["RoleArn"], self.name)
        self.s3 = S3(self.context.cloud, self.credentials)
        toolkit.make_tree(self.tree, "config", "processing", "output")
        shape = shapes.service_model().operation_model("DescribeProcessingJob").output_shape
        config = self.tree / "config"
        toolkit.write_json(config / "processingjobconfig.json", shapes.project(shape, self.record))
        hosts = {"current_host": toolkit.HOST, "hosts": [toolkit.HOST]}
        toolkit.write_json(config / "resourceconfig.json", hosts)
        for given in self.record.get("ProcessingInputs", []):
            source = given["S3Input"]
            folder = self._local(source["LocalPath"])
            folder.mkdir(parents=True, exist_ok=True)
            fetch(self.s3, source, folder, self.context, self.record["RoleArn"])
        for output in self._outputs:
            self._local(output["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def process(self, on_limit: Callable[[], None]) -> End:
        """Run the container. Raises JobFailedError if it fails."""
        log = self.context.logs.stream(_LOG_GROUP, f"{self.name}/algo-1-{int(time.time())}")
        process = self.context.processes.spawn(self._command())
        limit = self.record["StoppingCondition"].get("MaxRuntimeInSeconds", DAY)
        code, end = self.job.watch(process, log, limit, on_limit)
        self.context.logs.flush()  # who sees the job end finds its log whole
        if end is End.EXITED and code != 0:
            reason = " | ".join(log.tail)[:950]
            raise JobFailedError(f"AlgorithmError: {reason}, exit code: {code}")
        return end

    def upload(self) -> None:
        """Take the outputs out. Raises JobFailedError."""
        for output in self._outputs:
            folder, location = self._local(output["LocalPath"]), Location.of(output["S3Uri"])
            try:
                self.s3.upload_folder(folder, location)
            except TransferError as error:
                raise JobFailedError(f"ClientError: Data upload failed:{error}") from error

    def results(self) -> Record:
        """Return what the job's record learns at its end: the container's message.

        It is the first 1 KB of /opt/ml/output/message. Raises JobFailedError if not UTF-8.
        """
        file = self.tree / "output" / "message"
        if not file.is_file():
            return {}
        with file.open("rb") as content:
            start = content.read(_MESSAGE)
        try:  # incremental, since the cut may fall within a character
            return {"ExitMessage": codecs.getincrementaldecoder("utf-8")().decode(start)}
        except UnicodeDecodeError as error:
            raise JobFailedError("ClientError: the exit message is not UTF-8") from error

    def _command(self) -> Command:
        application = self.record["AppSpecification"]
        image = self.context.images.find(application["ImageUri"])
        argv = image.argv(
            "process", application.get("ContainerEntrypoint"), application.get("ContainerArguments")
        )
        isolate = bool(self.record.get("NetworkConfig", {}).get("EnableNetworkIsolation"))
        given = None if isolate else self.credentials
        root = self.context.processes.root(self.tree)
        environment = {
            **toolkit.common_variables(self.context.cloud, root, given),
            **image.variables(),
            "PROCESSING_JOB_NAME": self.name,
            "PROCESSING_JOB_ARN": self.record["ProcessingJobArn"],
            **self.record.get("Environment", {}),
        }
        return Command(argv, environment, self.tree, isolate)

    def _local(self, path: str) -> Path:
        return inside(self.tree, path.removeprefix("/opt/ml").strip("/"))
