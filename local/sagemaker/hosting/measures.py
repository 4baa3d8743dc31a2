"""An endpoint's CloudWatch metrics: gathered in memory, published every few seconds.

Names, units and dimensions: "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch".
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from typing import Any

from local.sagemaker.cloud import Cloud
from local.sagemaker.errors import ServiceError

_NAMESPACE = "AWS/SageMaker"
_UNITS = {"ModelLatency": "Microseconds", "OverheadLatency": "Microseconds"}
_VALUES = 150  # PutMetricData: values per metric
logger = logging.getLogger(__name__)


class Measures:
    """How often each value of each metric occurred, by endpoint, variant and new config.

    The new fleet of a deployment is measured a second time with the dimension EndpointConfigName
    ("Auto-Rollback Configuration and Monitoring").
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._counts: dict[tuple[str, str, str, str], Counter[float]] = defaultdict(Counter)
        self._lock = threading.Lock()

    def record(
        self,
        endpoint: str,
        variant: str,
        status: int | None,
        model_seconds: float,
        overhead_seconds: float,
        instances: int,
        deploying: str = "",
    ) -> None:
        """Note an invocation; `status` is the container's, None if it gave no answer.

        `deploying` names the config of a fleet that is being deployed.
        """
        values = {
            "Invocations": 1.0,
            "InvocationsPerInstance": 1.0 / max(1, instances),
            "Invocation4XXErrors": float(status is not None and 400 <= status < 500),
            "Invocation5XXErrors": float(status is None or status >= 500),
            "InvocationModelErrors": float(status is None or not 200 <= status < 300),
            # Two digits: percentiles stay within a few percent, and the values few.
            "ModelLatency": float(f"{model_seconds * 1e6:.1e}"),
            "OverheadLatency": float(f"{overhead_seconds * 1e6:.1e}"),
        }
        with self._lock:
            for config in {"", deploying}:
                for metric, value in values.items():
                    self._counts[endpoint, variant, config, metric][value] += 1

    def publish(self) -> None:
        """Send what was gathered."""
        with self._lock:
            gathered, self._counts = self._counts, defaultdict(Counter)
        now = time.time()
        data: list[dict[str, Any]] = [
            {
                "MetricName": metric,
                "Dimensions": [
                    {"Name": name, "Value": value}
                    for name, value in (
                        ("EndpointName", endpoint),
                        ("VariantName", variant),
                        ("EndpointConfigName", config),
                    )
                    if value
                ],
                "Timestamp": now,
                "Unit": _UNITS.get(metric, "None"),
                "Values": [value for value, _ in part],
                "Counts": [float(count) for _, count in part],
            }
            for (endpoint, variant, config, metric), counts in gathered.items()
            for part in _parts(list(counts.items()))
        ]
        if not data:
            return
        try:
            self._cloud.put_metric_data(_NAMESPACE, data)
        except ServiceError as error:
            logger.warning("metrics were refused: %s", error)


def _parts(values: list[tuple[float, int]]) -> list[list[tuple[float, int]]]:
    return [values[start : start + _VALUES] for start in range(0, len(values), _VALUES)]
