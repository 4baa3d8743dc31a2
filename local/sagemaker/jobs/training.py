"""One training job's work: data in, the containers, artifacts out."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from local.sagemaker import toolkit
from local.sagemaker.context import Context
from local.sagemaker.families.jobs import JobFailedError, assume, download_failure
from local.sagemaker.jobs import inputs
from local.sagemaker.jobs.hosts import Host, Hosts, Volume
from local.sagemaker.jobs.line import End, Job, Outcome
from local.sagemaker.jobs.pipes import Pipe
from local.sagemaker.jobs.sync import FolderSync, finish
from local.sagemaker.jobs.training_metrics import MetricScan
from local.sagemaker.processes import Command
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, NothingFoundError, TransferError, inside

DAY = 86400  # MaxRuntimeInSeconds: "the default value is 1 day" (API_StoppingCondition)
INTERRUPT_TAG = "headrace:interrupt-after"
_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
logger = logging.getLogger(__name__)


class TrainingRun:
    """One job's work, between its statuses. A spot job trains again after each interruption."""

    def __init__(self, context: Context, record: Record, job: Job, tree: Path) -> None:
        self.context, self.record, self.job, self.tree = context, record, job, tree
        self.name, self.role = record["TrainingJobName"], record["RoleArn"]
        self.metrics = MetricScan(context, record)
        self.artifacts: Record | None = None
        self._began = time.monotonic()
        self._trained = 0.0  # seconds, of all attempts
        self._ended = 0.0  # epoch
        self._interruptions = interruptions(record)

    def download(self) -> None:
        """Bring the channels and an earlier checkpoint in. Raises JobFailedError."""
        self.credentials = assume(self.context, self.role, self.name)
        self.s3 = S3(self.context.cloud, self.credentials)
        shutil.rmtree(self.tree, ignore_errors=True)
        count = self.record["ResourceConfig"].get("InstanceCount") or 1
        logs = self.context.logs
        self.hosts = Hosts(self.tree, _LOG_GROUP, self.name, logs, count)
        for host in self.hosts.hosts:
            toolkit.write_training_files(host, self.record)
            for channel in self.record.get("InputDataConfig", []):
                self._bring(channel, host)
            self._restore(host)

    def _bring(self, channel: Record, host: Host) -> None:
        """Download a channel for a host, unless it will come through a pipe."""
        source = channel["DataSource"]["S3DataSource"]
        if toolkit.input_mode(channel, self.record) == "Pipe":
            return
        folder = inside(host.tree / "input" / "data", channel["ChannelName"])
        try:
            inputs.download(self.s3, source, host, folder)
        except TransferError as error:
            raise download_failure(error, source["S3Uri"], self.context, self.role) from error

    def _restore(self, host: Host) -> None:
        checkpoint = self.record.get("CheckpointConfig")
        if not checkpoint:
            return
        folder = self._checkpoints(host)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self.s3.download_prefix(checkpoint["S3Uri"], folder)
        except NothingFoundError:
            logger.debug("%s starts without a checkpoint", self.name)
        except TransferError as error:
            raise JobFailedError(f"ClientError: Checkpoint download failed:{error}") from error

    def _checkpoints(self, host: Host) -> Path:
        local: str = self.record["CheckpointConfig"].get("LocalPath", toolkit.CHECKPOINTS)
        return inside(host.tree, local.removeprefix("/opt/ml").strip("/"))

    def train(self, on_end: Callable[[End], None]) -> End:
        """Run the containers once; `on_end` hears the end before they have ended.

        Raises JobFailedError if one fails, ContainerStartError if one cannot be started.
        """
        with ExitStack() as stack:
            pipes = [pipe for host in self.hosts.hosts for pipe in self._pipes(host)]
            for pipe in pipes:
                pipe.start()
                stack.callback(pipe.close)
            syncs = self._syncs()
            for sync in syncs:
                sync.start()
                stack.callback(sync.stop)
            outcome = self._run(pipes, on_end)
            unsaved = finish(syncs)
        if reason := self._failure(outcome, pipes):
            self._keep_output()
            raise JobFailedError(reason)
        if unsaved:
            raise JobFailedError(f"ClientError: Checkpoint upload failed:{unsaved}")
        return outcome.end

    def _run(self, pipes: list[Pipe], on_end: Callable[[End], None]) -> Outcome:
        volume = Volume(self.hosts.hosts, self.record["ResourceConfig"].get("VolumeSizeInGB", 0))

        names = self.hosts.names_file()
        started = time.monotonic()
        try:
            return self.hosts.run(
                self.context.processes,
                self.job,
                lambda host: self._command(host, names),
                self._deadlines(),
                on_end=on_end,
                on_line=self.metrics.scan,
                alarm=lambda: broken(pipes) or volume(),
            )
        finally:
            self._trained += time.monotonic() - started
            self._ended = time.time()

    def _deadlines(self) -> dict[End, float]:
        """Return, in seconds from now, when the containers are ended, and as what."""
        limits = self.record["StoppingCondition"]
        found = {End.TIMED_OUT: limits.get("MaxRuntimeInSeconds", DAY) - self._trained}
        if not self.record.get("EnableManagedSpotTraining"):
            return found
        waited = time.monotonic() - self._began
        found[End.WAITED_OUT] = limits["MaxWaitTimeInSeconds"] - waited
        if self._interruptions:
            found[End.INTERRUPTED] = self._interruptions.pop(0)
        return found

    def _command(self, host: Host, names: Path) -> Command:
        algorithm = self.record["AlgorithmSpecification"]
        image = self.context.images.find(algorithm["TrainingImage"])
        argv = image.argv(
            "train", algorithm.get("ContainerEntrypoint"), algorithm.get("ContainerArguments")
        )
        root = self.context.processes.root(host.tree)
        isolate = bool(self.record.get("EnableNetworkIsolation"))
        given = None if isolate else self.credentials
        environment = {
            **toolkit.common_variables(self.context.cloud, root, given),
            **image.variables(),
            **toolkit.training_variables(root, host, self.record),
            **self.record.get("Environment", {}),
        }
        return Command(toolkit.at_root(argv, root), environment, host.tree, isolate, names)

    def _pipes(self, host: Host) -> list[Pipe]:
        folder = host.tree / "input" / "data"
        return [
            Pipe(self.s3, channel, host, folder)
            for channel in self.record.get("InputDataConfig", [])
            if toolkit.input_mode(channel, self.record) == "Pipe"
        ]

    def _syncs(self) -> list[FolderSync]:
        checkpoint = self.record.get("CheckpointConfig")
        if not checkpoint:
            return []
        location, interval = Location.of(checkpoint["S3Uri"]), self.context.settings.sync_interval
        return [
            FolderSync(self.s3, self._checkpoints(host), location, interval)
            for host in self.hosts.hosts
        ]

    def _failure(self, outcome: Outcome, pipes: list[Pipe]) -> str:
        """Return why the job failed, "" if it did not.

        It is what the failure file of a container says, else its last words; but a container that
        was given less than its data did not fail by itself, nor did it succeed.
        """
        if reason := broken(pipes) or outcome.reason:
            return reason
        if outcome.end is not End.FAILED:
            return ""
        host = self.hosts.hosts[outcome.failed]
        told = failure_text(host.tree / "output" / "failure") or " | ".join(host.log.tail)
        which = f" ({host.name})" if len(self.hosts.hosts) > 1 else ""
        return f"AlgorithmError: {told[:940]}, exit code: {outcome.code}{which}"

    def upload(self) -> None:
        """Take the model and the output out. Raises JobFailedError."""
        config = self.record["OutputDataConfig"]
        output = Location.of(config["S3OutputPath"]) / f"{self.name}/output"
        model = self._merged("model")
        try:
            if config.get("CompressionType") == "NONE":
                self.s3.upload_folder(model, output / "model")
                self.artifacts = {"S3ModelArtifacts": f"{output}/model/"}
            else:
                self.s3.upload_archive(model, output / "model.tar.gz")
                self.artifacts = {"S3ModelArtifacts": f"{output}/model.tar.gz"}
            self._upload_output(output)
        except TransferError as error:
            raise JobFailedError(f"ClientError: Artifact upload failed:{error}") from error

    def _keep_output(self) -> None:
        """Upload what failed containers left in their output folders, if that can be done."""
        output = Location.of(self.record["OutputDataConfig"]["S3OutputPath"])
        try:
            self._upload_output(output / f"{self.name}/output")
        except TransferError as error:
            self.hosts.hosts[0].log.write(f"The output data was not uploaded: {error}")

    def _upload_output(self, output: Location) -> None:
        data = self._merged("output/data")
        if any(data.iterdir()):
            self.s3.upload_archive(data, output / "output.tar.gz")

    def _merged(self, folder: str) -> Path:
        """Return a folder of all hosts together, as AWS archives it; the first host's files win."""
        first, *others = [host.tree / folder for host in self.hosts.hosts]
        for other in others:
            merge(other, first)
        return first

    def results(self) -> Record:
        """Return what the job's record learns at its end."""
        found = {"ModelArtifacts": self.artifacts, "FinalMetricDataList": self.metrics.final()}
        if not self._ended:
            return found
        seconds = max(1, round(self._trained))
        spot = bool(self.record.get("EnableManagedSpotTraining"))
        share = self.context.settings.spot_price if spot else 1.0
        return {
            **found,
            "TrainingTimeInSeconds": seconds,
            "BillableTimeInSeconds": max(1, round(seconds * share)),
            "TrainingEndTime": self._ended,
        }


def broken(pipes: list[Pipe]) -> str:
    """Return why a pipe could not be fed, "" if all could."""
    failures = [pipe.failure for pipe in pipes if pipe.failure]
    return f"ClientError: Data download failed:{failures[0]}" if failures else ""


def interruptions(record: Record) -> list[float]:
    """Return after how many seconds of training each attempt of a spot job is interrupted.

    The job's tag `headrace:interrupt-after` says, its numbers apart by blanks. Raises ValueError.
    """
    if not record.get("EnableManagedSpotTraining"):
        return []
    tags = {tag["Key"]: tag["Value"] for tag in record.get("Tags") or []}
    return [float(number) for number in tags.get(INTERRUPT_TAG, "").split()]


def merge(source: Path, target: Path) -> None:
    """Move what lies in a folder into another, but what that has already; follow no link."""
    for entry in sorted(source.iterdir()):
        other = target / entry.name
        if entry.is_dir() and not entry.is_symlink() and other.is_dir():
            merge(entry, other)
        elif not other.exists() and not other.is_symlink():
            entry.rename(other)


def failure_text(file: Path) -> str:
    """Return what a container wrote to its failure file: the first 1024 characters."""
    return file.read_text(errors="replace")[:1024].strip() if file.is_file() else ""
