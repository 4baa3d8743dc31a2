"""An endpoint's CloudWatch metrics: gathered in memory, published every few seconds.

Names, units and dimensions: "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch",
"Monitor asynchronous endpoint".
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from local.sagemaker.cloud import Cloud
from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.asking import Call
from local.sagemaker.hosting.connection import Response

if TYPE_CHECKING:
    from local.sagemaker.hosting.fleet import Fleet, Variant

_NAMESPACE = "AWS/SageMaker"
_INSTANCES = "/aws/sagemaker/Endpoints"
_OF_INSTANCES = {"CPUUtilization", "MemoryUtilization", "DiskUtilization", "LoadedModelCount"}
_MICROSECONDS = {
    "ModelLatency",
    "OverheadLatency",
    "ModelSetupTime",
    "ModelLoadingWaitTime",
    "ModelUnloadingTime",
    "ModelDownloadingTime",
    "ModelLoadingTime",
    "RequestDownloadLatency",
    "ResponseUploadLatency",
}
_UNITS = {
    **dict.fromkeys(_MICROSECONDS, "Microseconds"),
    **dict.fromkeys(("TimeInBacklog", "TotalProcessingTime"), "Milliseconds"),
    **dict.fromkeys(("CPUUtilization", "MemoryUtilization", "DiskUtilization"), "Percent"),
    "ApproximateAgeOfOldestRequest": "Seconds",
}
_WAITS = ("ModelSetupTime", "ModelLoadingWaitTime")
_Names = tuple[tuple[str, str], ...]
_VALUES = 150  # PutMetricData: values per metric
logger = logging.getLogger(__name__)


class Measures:
    """What was measured, by endpoint, variant and new config; counted when it is published.

    The new fleet of a deployment is measured a second time with the dimension EndpointConfigName
    ("Auto-Rollback Configuration and Monitoring").
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._noted: deque[tuple[_Names, Iterable[tuple[str, float]]]] = deque()
        self._publishing = threading.Lock()

    async def measured(self, fleet: Fleet, variant: Variant, call: Call, began: float) -> Response:
        """Have a variant answer a call, and note how it went. Raises ServiceError.

        `began` is the `time.perf_counter` at which the request came.
        """
        asked = time.perf_counter()
        status: int | None = None
        try:
            response = await variant.answer(call)
            status = response.status
        except ServiceError as error:
            if error.code not in ("ModelError", "ServiceUnavailable"):
                raise  # the model was not asked
            status = error.fields.get("OriginalStatusCode") or None
            self._note(fleet, variant, call, status, asked, began)
            raise
        self._note(fleet, variant, call, status, asked, began)
        return response

    def _note(
        self,
        fleet: Fleet,
        variant: Variant,
        call: Call,
        status: int | None,
        asked: float,
        began: float,
    ) -> None:
        now = time.perf_counter()
        waited = sum(value for name, value in call.measures if name in _WAITS) / 1e6
        model = now - asked - waited
        self.record(
            fleet.endpoint,
            variant.name,
            status,
            model,
            now - began - model,
            len(variant.replicas),
            fleet.deploying,
            call.measures,
            variant.component,
        )

    def record(
        self,
        endpoint: str,
        variant: str,
        status: int | None,
        model_seconds: float,
        overhead_seconds: float,
        instances: int,
        deploying: str = "",
        others: Iterable[tuple[str, float]] = (),
        component: str = "",
    ) -> None:
        """Note an invocation; `status` is the container's, None if it gave no answer.

        `deploying` names the config of a fleet that is being deployed; `others` are further
        metrics; `component` is the inference component that was invoked, if one was.
        """
        values = [
            ("Invocations", 1.0),
            ("InvocationsPerInstance", 1.0 / max(1, instances)),
            *errors_of(status),
            ("ModelLatency", model_seconds * 1e6),
            ("OverheadLatency", overhead_seconds * 1e6),
            *others,
        ]
        self.add(endpoint, variant, values)
        if deploying:
            self.add(endpoint, variant, values, deploying)
        if component:
            copies = [("InvocationsPerCopy", 1.0 / max(1, instances))]
            self._noted.append(((("InferenceComponentName", component),), [*values, *copies]))

    def add(
        self, endpoint: str, variant: str, values: Iterable[tuple[str, float]], config: str = ""
    ) -> None:
        """Note values of metrics; no variant means the endpoint's own metrics."""
        named = (
            ("EndpointName", endpoint),
            ("VariantName", variant),
            ("EndpointConfigName", config),
        )
        self._noted.append((named, values))

    def publish(self) -> None:
        """Count and send what was noted."""
        gathered: dict[tuple[_Names, str], Counter[float]] = defaultdict(Counter)
        with self._publishing:
            for _ in range(len(self._noted)):
                names, values = self._noted.popleft()
                for metric, value in values:
                    # Two digits: percentiles stay within a few percent, and the values few.
                    kept = float(f"{value:.1e}") if metric in _MICROSECONDS else value
                    gathered[names, metric][kept] += 1
        now = time.time()
        data: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for (names, metric), counts in gathered.items():
            namespace = _INSTANCES if metric in _OF_INSTANCES else _NAMESPACE
            for part in _parts(list(counts.items())):
                data[namespace].append(_datum(metric, names, part, now))
        for namespace, entries in data.items():
            try:
                self._cloud.put_metric_data(namespace, entries)
            except ServiceError as error:
                logger.warning("metrics were refused: %s", error)


def errors_of(status: int | None) -> list[tuple[str, float]]:
    """Return the error metrics of a container's status, None if it gave no answer."""
    return [
        ("Invocation4XXErrors", float(status is not None and 400 <= status < 500)),
        ("Invocation5XXErrors", float(status is None or status >= 500)),
        ("InvocationModelErrors", float(status is None or not 200 <= status < 300)),
    ]


def _datum(
    metric: str, names: _Names, values: list[tuple[float, int]], now: float
) -> dict[str, Any]:
    return {
        "MetricName": metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in names if value],
        "Timestamp": now,
        "Unit": _UNITS.get(metric, "None"),
        "Values": [value for value, _ in values],
        "Counts": [float(count) for _, count in values],
    }


def _parts(values: list[tuple[float, int]]) -> list[list[tuple[float, int]]]:
    return [values[start : start + _VALUES] for start in range(0, len(values), _VALUES)]
