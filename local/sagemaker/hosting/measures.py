"""An endpoint's CloudWatch metrics: gathered in memory, published every few seconds."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from local.sagemaker.cloud import Cloud
from local.sagemaker.errors import ServiceError

_NAMESPACE = "AWS/SageMaker"
_UNITS = {"ModelLatency": "Microseconds", "OverheadLatency": "Microseconds"}
logger = logging.getLogger(__name__)


@dataclass
class _Statistic:
    count: int = 0
    total: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.least = min(self.least, value)
        self.most = max(self.most, value)


@dataclass
class Measures:
    """Statistics per endpoint, variant and metric since the last publication."""

    cloud: Cloud
    _statistics: dict[tuple[str, str, str], _Statistic] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(
        self,
        endpoint: str,
        variant: str,
        status: int | None,
        model_seconds: float,
        overhead_seconds: float,
        instances: int,
    ) -> None:
        """Note an invocation; `status` is the container's, None if it gave no answer."""
        values = {
            "Invocations": 1.0,
            "InvocationsPerInstance": 1.0 / max(1, instances),
            "Invocation4XXErrors": float(status is not None and 400 <= status < 500),
            "Invocation5XXErrors": float(status is None or status >= 500),
            "InvocationModelErrors": float(status is None or not 200 <= status < 300),
            "ModelLatency": model_seconds * 1e6,
            "OverheadLatency": overhead_seconds * 1e6,
        }
        with self._lock:
            for metric, value in values.items():
                key = (endpoint, variant, metric)
                statistic = self._statistics.get(key)
                if statistic is None:
                    statistic = self._statistics[key] = _Statistic()
                statistic.add(value)

    def publish(self) -> None:
        """Send what was gathered."""
        with self._lock:
            statistics, self._statistics = self._statistics, {}
        now = time.time()
        data: list[dict[str, Any]] = [
            {
                "MetricName": metric,
                "Dimensions": [
                    {"Name": "EndpointName", "Value": endpoint},
                    {"Name": "VariantName", "Value": variant},
                ],
                "Timestamp": now,
                "Unit": _UNITS.get(metric, "None"),
                "StatisticValues": {
                    "SampleCount": float(statistic.count),
                    "Sum": statistic.total,
                    "Minimum": statistic.least,
                    "Maximum": statistic.most,
                },
            }
            for (endpoint, variant, metric), statistic in statistics.items()
        ]
        if not data:
            return
        try:
            self.cloud.put_metric_data(_NAMESPACE, data)
        except ServiceError as error:
            logger.warning("metrics were refused: %s", error)
