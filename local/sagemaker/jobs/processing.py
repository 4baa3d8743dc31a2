"""One processing job's work: data in, the containers, outputs out."""

from __future__ import annotations

import codecs
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from local.sagemaker import shapes, toolkit
from local.sagemaker.context import Context
from local.sagemaker.families.jobs import JobFailedError, assume, download_failure
from local.sagemaker.jobs import inputs
from local.sagemaker.jobs.hosts import Host, Hosts, Volume
from local.sagemaker.jobs.line import End, Job
from local.sagemaker.jobs.sync import FolderSync, finish
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
        self._cluster = record["ProcessingResources"]["ClusterConfig"]
        outputs = record.get("ProcessingOutputConfig", {}).get("Outputs", [])
        self._outputs = [output["S3Output"] for output in outputs]

    def download(self) -> None:
        """Write the configuration and bring the inputs in. Raises JobFailedError."""
        self.credentials = assume(self.context, self.record["RoleArn"], self.name)
        self.s3 = S3(self.context.cloud, self.credentials)
        shutil.rmtree(self.tree, ignore_errors=True)
        count, logs = self._cluster.get("InstanceCount", 1), self.context.logs
        self.hosts = Hosts(self.tree, _LOG_GROUP, self.name, logs, count)
        for host in self.hosts.hosts:
            self._prepare(host)

    def _prepare(self, host: Host) -> None:
        toolkit.make_tree(host.tree, "config", "processing", "output")
        shape = shapes.service_model().operation_model("DescribeProcessingJob").output_shape
        config = host.tree / "config"
        toolkit.write_json(config / "processingjobconfig.json", shapes.project(shape, self.record))
        names = {"current_host": host.name, "hosts": list(host.names)}
        toolkit.write_json(config / "resourceconfig.json", names)
        role = self.record["RoleArn"]
        for given in self.record.get("ProcessingInputs", []):
            source = given["S3Input"]
            try:
                inputs.download(self.s3, source, host, _local(host, source["LocalPath"]))
            except TransferError as error:
                raise download_failure(error, source["S3Uri"], self.context, role) from error
        for output in self._outputs:
            _local(host, output["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def process(self, on_end: Callable[[End], None]) -> End:
        """Run the containers; `on_end` hears the end before they have ended.

        Raises JobFailedError if one fails.
        """
        limit = self.record["StoppingCondition"].get("MaxRuntimeInSeconds", DAY)
        names = self.hosts.names_file()
        with ExitStack() as stack:
            syncs = [self._sync(host, target) for host, target in self._targets("Continuous")]
            for sync in syncs:
                sync.start()
                stack.callback(sync.stop)
            outcome = self.hosts.run(
                self.context.processes,
                self.job,
                lambda host: self._command(host, names),
                {End.TIMED_OUT: limit},
                on_end=on_end,
                alarm=Volume(self.hosts.hosts, self._cluster["VolumeSizeInGB"]),
            )
            unsaved = finish(syncs)
        if outcome.end is End.ALARMED:
            raise JobFailedError(outcome.reason)
        if outcome.end is End.FAILED:
            host = self.hosts.hosts[outcome.failed]
            which = f" ({host.name})" if len(self.hosts.hosts) > 1 else ""
            reason = " | ".join(host.log.tail)[:940]
            raise JobFailedError(f"AlgorithmError: {reason}, exit code: {outcome.code}{which}")
        if unsaved:
            raise JobFailedError(f"ClientError: Data upload failed:{unsaved}")
        return outcome.end

    def upload(self) -> None:
        """Take the outputs out that are uploaded at the end. Raises JobFailedError."""
        for host, target in self._targets("EndOfJob"):
            folder, location = _local(host, target["LocalPath"]), Location.of(target["S3Uri"])
            try:
                self.s3.upload_folder(folder, location)
            except TransferError as error:
                raise JobFailedError(f"ClientError: Data upload failed:{error}") from error

    def results(self) -> Record:
        """Return what the job's record learns at its end: a container's message, the first's first.

        It is the first 1 KB of /opt/ml/output/message. Raises JobFailedError if not UTF-8.
        """
        for host in self.hosts.hosts:
            file = host.tree / "output" / "message"
            if not file.is_file():
                continue
            with file.open("rb") as content:
                start = content.read(_MESSAGE)
            try:  # incremental, since the cut may fall within a character
                return {"ExitMessage": codecs.getincrementaldecoder("utf-8")().decode(start)}
            except UnicodeDecodeError as error:
                raise JobFailedError("ClientError: the exit message is not UTF-8") from error
        return {}

    def _targets(self, mode: str) -> list[tuple[Host, Record]]:
        """Return the outputs of every host that are uploaded in a mode."""
        return [
            (host, target)
            for target in self._outputs
            if target.get("S3UploadMode", "EndOfJob") == mode
            for host in self.hosts.hosts
        ]

    def _sync(self, host: Host, target: Record) -> FolderSync:
        folder, location = _local(host, target["LocalPath"]), Location.of(target["S3Uri"])
        return FolderSync(self.s3, folder, location, self.context.settings.sync_interval)

    def _command(self, host: Host, names: Path) -> Command:
        application = self.record["AppSpecification"]
        image = self.context.images.find(application["ImageUri"])
        argv = image.argv(
            "process", application.get("ContainerEntrypoint"), application.get("ContainerArguments")
        )
        isolate = bool(self.record.get("NetworkConfig", {}).get("EnableNetworkIsolation"))
        given = None if isolate else self.credentials
        root = self.context.processes.root(host.tree)
        environment = {
            **toolkit.common_variables(self.context.cloud, root, given),
            **image.variables(),
            "PROCESSING_JOB_NAME": self.name,
            "PROCESSING_JOB_ARN": self.record["ProcessingJobArn"],
            **self.record.get("Environment", {}),
        }
        return Command(toolkit.at_root(argv, root), environment, host.tree, isolate, names)


def _local(host: Host, path: str) -> Path:
    return inside(host.tree, path.removeprefix("/opt/ml").strip("/"))
