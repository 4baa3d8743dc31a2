"""A batch transform job's instances: made as an endpoint's are, watched, and ended with the job."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.families.jobs import JobFailedError
from local.sagemaker.hosting.instance import DeploymentError, Instance, maker
from local.sagemaker.hosting.replica import UnhealthyError
from local.sagemaker.hosting.usage import uses, utilization
from local.sagemaker.jobs.line import Job
from local.sagemaker.store import Record

LOG_GROUP = "/aws/sagemaker/TransformJobs"  # also the namespace of the metrics
_PAUSE = 0.5
_STRATEGIES = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}
logger = logging.getLogger(__name__)


class Crew:
    """The instances of one job. Leaving the `with` block ends them, as does the job's stop."""

    def __init__(self, context: Context, record: Record, job: Job, tree: Path) -> None:
        self._context, self._record, self._job = context, record, job
        self._name: str = record["TransformJobName"]
        self._finished = threading.Event()
        self.instances = self._make(tree)

    def __enter__(self) -> Crew:
        for instance in self.instances:
            instance.start()
        threading.Thread(target=self._watch, name="sagemaker-transform", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finished.set()
        self._stop()

    def wait_ready(self) -> None:
        """Wait until every instance is healthy, or the job is stopped. Raises JobFailedError."""
        deadline = time.monotonic() + self._context.settings.ping_timeout
        for instance in self.instances:
            try:
                instance.wait_ready(deadline - time.monotonic())
            except UnhealthyError as error:
                if self._job.stopping or self._job.closing:
                    return
                raise JobFailedError(
                    "AlgorithmError: The container did not pass the ping health check. Please "
                    f"check CloudWatch logs for this job. Last lines: {error}"
                ) from error

    def _make(self, tree: Path) -> list[Instance]:
        resources, model = self._record["TransformResources"], self._record["_model"]
        variant = {
            "VariantName": self._name,
            "ModelName": model["ModelName"],
            "InitialInstanceCount": resources["InstanceCount"],
            "InstanceType": resources["InstanceType"],
        }
        try:
            make = maker(
                self._context,
                self._name,
                {"models": {model["ModelName"]: model}},
                variant,
                tree,
                log_group=LOG_GROUP,
                environment=_environment(self._record),
            )
            return [make(number) for number in range(resources["InstanceCount"])]
        except DeploymentError as error:
            raise JobFailedError(f"ClientError: {error}") from error

    def _watch(self) -> None:
        """Measure the instances; end them, and so what waits for them, when the job must end."""
        interval = self._context.settings.metrics_interval
        sampled, before = time.monotonic(), uses()
        while not self._finished.is_set():
            if self._job.pause(_PAUSE):
                if self._job.closing:
                    for instance in self.instances:
                        instance.kill()
                self._stop()
                return
            passed = time.monotonic() - sampled
            if passed >= interval:
                found = uses()
                self._measure(found, before, passed)
                sampled, before = time.monotonic(), found

    def _measure(self, found: dict[int, Any], before: dict[int, Any], passed: float) -> None:
        """See "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch"."""
        data = [
            {
                "MetricName": metric,
                "Dimensions": [{"Name": "Host", "Value": f"{self._name}/{host(number)}"}],
                "Timestamp": time.time(),
                "Unit": "Percent",
                "Value": value,
            }
            for number, instance in enumerate(self.instances)
            for container in instance.containers
            if container.pid in found and container.pid in before
            for metric, value in utilization(
                found[container.pid], before[container.pid].ticks, passed
            )
        ]
        try:
            if data:
                self._context.cloud.put_metric_data(LOG_GROUP, data)
        except ServiceError as error:
            logger.warning("metrics of %s were refused: %s", self._name, error)

    def _stop(self) -> None:
        with ThreadPoolExecutor(max_workers=len(self.instances)) as pool:
            list(pool.map(lambda instance: instance.stop(), self.instances))


def host(number: int) -> str:
    """Return an instance's id."""
    return f"i-{number:017x}"


def _environment(record: Record) -> dict[str, str]:
    """Return what a batch container is told: of the settings, those that the request has.

    See "Use Your Own Inference Code with Batch Transform" of the developer guide.
    """
    given = {
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": record.get("MaxPayloadInMB"),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": record.get("MaxConcurrentTransforms"),
        "SAGEMAKER_BATCH_STRATEGY": _STRATEGIES.get(record.get("BatchStrategy", "")),
    }
    return {
        **record.get("Environment", {}),
        "SAGEMAKER_BATCH": "true",
        **{name: str(value) for name, value in given.items() if value is not None},
    }
