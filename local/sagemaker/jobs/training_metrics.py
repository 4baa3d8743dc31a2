"""A training job's metrics: found in its output by regular expressions, told to CloudWatch."""

from __future__ import annotations

import logging
import math
import re
import time

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.store import Record

_NAMESPACE = "/aws/sagemaker/TrainingJobs"
_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
logger = logging.getLogger(__name__)

# The metrics of the built-in XGBoost ("Tune an XGBoost Model" of the developer guide), which a job
# of its image has without defining them.
_XGBOOST = (
    *("accuracy", "aft-nloglik", "auc", "aucpr", "balanced_accuracy", "cox-nloglik", "error"),
    *("f1", "f1_binary", "f1_macro", "gamma-deviance", "gamma-nloglik", "logloss", "mae", "map"),
    *("mape", "merror", "mlogloss", "mphe", "mse", "ndcg", "poisson-nloglik", "precision", "r2"),
    *("recall", "rmse", "rmsle", "tweedie-nloglik"),
)
_LIMIT = 40  # MetricDefinitions of a job


def built_in(algorithm: str, request: Record) -> list[Record]:
    """Return the definitions that a built-in algorithm's job has by itself: at most 40.

    Those that it evaluates or is tuned for come first, then the validation channel's.
    """
    if algorithm != "xgboost":
        return []
    given = request.get("HyperParameters") or {}
    wanted = f"{given.get('eval_metric', '')} {given.get('_tuning_objective_metric', '')}"
    named = [name for name in _XGBOOST if name in re.findall(r"[\w-]+", wanted)]
    pairs = [
        (data, name)
        for names in (named, [name for name in _XGBOOST if name not in named])
        for data in ("validation", "train")
        for name in names
    ]
    return [
        {"Name": f"{data}:{name}", "Regex": rf".*\[[0-9]+\].*#011{data}-{name}:{_NUMBER}.*"}
        for data, name in pairs[:_LIMIT]
    ]


class MetricScan:
    """Finds a job's metrics; the last value of each is its final one."""

    def __init__(self, context: Context, record: Record) -> None:
        self._context = context
        self._job: str = record["TrainingJobName"]
        self._last: dict[str, Record] = {}
        self._definitions = [
            (definition["Name"], re.compile(definition["Regex"]))
            for definition in record["AlgorithmSpecification"].get("MetricDefinitions", [])
        ]

    def final(self) -> list[Record] | None:
        """Return the last value of each metric, None if there is none."""
        return list(self._last.values()) or None

    def scan(self, line: str) -> None:
        """Find the metrics in a line of output."""
        for name, pattern in self._definitions:
            found = pattern.search(line)
            if not found or not found.groups():
                continue
            try:
                value = float(found[1])
            except ValueError:
                continue
            if not math.isfinite(value):
                continue  # CloudWatch takes no NaN, and JSON has none
            datum = {"MetricName": name, "Value": value, "Timestamp": time.time()}
            self._last[name] = datum
            for observe in self._context.metric_observers:
                observe(self._job, name, value)
            dimensions = [{"Name": "TrainingJobName", "Value": self._job}]
            try:
                self._context.cloud.put_metric_data(
                    _NAMESPACE, [{**datum, "Dimensions": dimensions}]
                )
            except ServiceError as error:
                logger.warning("the metric %s was refused: %s", name, error)
