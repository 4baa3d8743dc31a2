"""One training job's work: data in, the container, artifacts out."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from pathlib import Path

from local.sagemaker import toolkit
from local.sagemaker.errors import ServiceError
from local.sagemaker.families.base import Context
from local.sagemaker.families.jobs import JobFailedError, assume, fetch
from local.sagemaker.jobs import End, Job
from local.sagemaker.processes import Command
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, NothingFoundError, TransferError, inside

DAY = 86400  # MaxRuntimeInSeconds: "the default value is 1 day" (API_StoppingCondition)
_LOG_GROUP = _METRICS = "/aws/sagemaker/TrainingJobs"
logger = logging.getLogger(__name__)


class TrainingRun:
    """One job's work, between its statuses."""

    def __init__(self, context: Context, record: Record, job: Job, tree: Path) -> None:
        self.context, self.record, self.job, self.tree = context, record, job, tree
        self.name = record["TrainingJobName"]
        self.role = record["RoleArn"]
        self.log = context.logs.stream(_LOG_GROUP, f"{self.name}/algo-1-{int(time.time())}")
        self.metrics: dict[str, Record] = {}
        self.started = self.ended = 0.0
        self.artifacts: Record | None = None
        self.definitions = [
            (definition["Name"], re.compile(definition["Regex"]))
            for definition in record["AlgorithmSpecification"].get("MetricDefinitions", [])
        ]

    def download(self) -> None:
        """Bring the channels and an earlier checkpoint in. Raises JobFailedError."""
        self.credentials = assume(self.context, self.role, self.name)
        self.s3 = S3(self.context.cloud, self.credentials)
        toolkit.write_training_files(self.tree, self.record)
        for channel in self.record.get("InputDataConfig", []):
            folder = inside(self.tree / "input" / "data", channel["ChannelName"])
            folder.mkdir()
            fetch(self.s3, channel["DataSource"]["S3DataSource"], folder, self.context, self.role)
        checkpoint = self.record.get("CheckpointConfig")
        if checkpoint:
            try:
                self.s3.download_prefix(checkpoint["S3Uri"], self._checkpoints)
            except NothingFoundError:
                logger.debug("%s starts without a checkpoint", self.name)

    @property
    def _checkpoints(self) -> Path:
        local: str = self.record["CheckpointConfig"].get("LocalPath", "/opt/ml/checkpoints")
        return inside(self.tree, local.removeprefix("/opt/ml").strip("/"))

    def train(self, on_limit: Callable[[], None]) -> End:
        """Run the container. Raises JobFailedError if it fails."""
        algorithm = self.record["AlgorithmSpecification"]
        image = self.context.images.find(algorithm["TrainingImage"])
        argv = image.argv(
            "train", algorithm.get("ContainerEntrypoint"), algorithm.get("ContainerArguments")
        )
        root = self.context.processes.root(self.tree)
        isolate = bool(self.record.get("EnableNetworkIsolation"))
        given = None if isolate else self.credentials
        environment = {
            **toolkit.common_variables(self.context.cloud, root, given),
            **image.variables(),
            **toolkit.training_variables(root, self.record),
            **self.record.get("Environment", {}),
        }
        self.started = time.time()
        process = self.context.processes.spawn(Command(argv, environment, self.tree, isolate))
        limit = self.record["StoppingCondition"].get("MaxRuntimeInSeconds", DAY)
        code, end = self.job.watch(process, self.log, limit, on_limit, self._scan)
        self.ended = time.time()
        self.context.logs.flush()  # who sees the job end finds its log whole
        if end is End.EXITED and code != 0:
            self._keep_output()
            reason = failure_text(self.tree / "output" / "failure") or " | ".join(self.log.tail)
            raise JobFailedError(f"AlgorithmError: {reason[:950]}, exit code: {code}")
        return end

    def _scan(self, line: str) -> None:
        """Find the job's metrics in a line of its output."""
        for name, pattern in self.definitions:
            found = pattern.search(line)
            if not found or not found.groups():
                continue
            try:
                value = float(found[1])
            except ValueError:
                continue
            if not math.isfinite(value):
                continue  # CloudWatch takes no NaN, and JSON has none
            now = time.time()
            self.metrics[name] = {"MetricName": name, "Value": value, "Timestamp": now}
            for observe in self.context.metric_observers:
                observe(self.name, name, value)
            dimensions = [{"Name": "TrainingJobName", "Value": self.name}]
            datum = {"MetricName": name, "Value": value, "Timestamp": now, "Dimensions": dimensions}
            try:
                self.context.cloud.put_metric_data(_METRICS, [datum])
            except ServiceError as error:
                logger.warning("the metric %s was refused: %s", name, error)

    def upload(self) -> None:
        """Take the model, the output and the checkpoint out. Raises JobFailedError."""
        config = self.record["OutputDataConfig"]
        output = Location.of(config["S3OutputPath"]) / f"{self.name}/output"
        try:
            if config.get("CompressionType") == "NONE":
                self.s3.upload_folder(self.tree / "model", output / "model")
                self.artifacts = {"S3ModelArtifacts": f"{output}/model/"}
            else:
                self.s3.upload_archive(self.tree / "model", output / "model.tar.gz")
                self.artifacts = {"S3ModelArtifacts": f"{output}/model.tar.gz"}
            self._upload_output(output)
        except TransferError as error:
            raise JobFailedError(f"ClientError: Artifact upload failed:{error}") from error

    def _keep_output(self) -> None:
        """Upload what a failed container left in its output folder, if that can be done."""
        config = self.record["OutputDataConfig"]
        try:
            self._upload_output(Location.of(config["S3OutputPath"]) / f"{self.name}/output")
        except TransferError as error:
            self.log.write(f"The output data was not uploaded: {error}")

    def _upload_output(self, output: Location) -> None:
        data = self.tree / "output" / "data"
        if any(data.iterdir()):
            self.s3.upload_archive(data, output / "output.tar.gz")
        if checkpoint := self.record.get("CheckpointConfig"):
            self.s3.upload_folder(self._checkpoints, Location.of(checkpoint["S3Uri"]))

    def times(self) -> Record:
        """Return how long the container ran."""
        if not self.started:
            return {}
        end = self.ended or time.time()
        seconds = max(1, round(end - self.started))
        times = {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        return {**times, "TrainingEndTime": end}

    def results(self) -> Record:
        """Return what the job's record learns at its end."""
        return {
            **self.times(),
            "ModelArtifacts": self.artifacts,
            "FinalMetricDataList": list(self.metrics.values()) or None,
        }


def failure_text(file: Path) -> str:
    """Return what a container wrote to its failure file: the first 1024 characters."""
    return file.read_text(errors="replace")[:1024].strip() if file.is_file() else ""
