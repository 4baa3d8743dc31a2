"""A tuning job's training jobs as its operations show them: summaries, counters, the best.

A tuning job's record names them in `_children`: name, definition, tuned values and objective.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from local.sagemaker.families.jobs import TERMINAL
from local.sagemaker.store import Record, Store
from local.sagemaker.tuning.stopping import is_better

_TRAINING = "TrainingJob"
_SHOWN = (
    "TrainingJobName",
    "TrainingJobArn",
    "TrainingJobStatus",
    "CreationTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "FailureReason",
)


def summaries(store: Store, record: Record) -> list[Record]:
    """Return HyperParameterTrainingJobSummary of each training job that was not deleted."""
    return [
        summary(job, child)
        for child in record.get("_children", [])
        if (job := store.get(_TRAINING, child["name"])) is not None
    ]


def summary(job: Record, child: Record) -> Record:
    """Return one training job's summary."""
    shown: dict[str, Any] = {member: job[member] for member in _SHOWN if member in job}
    shown["TunedHyperParameters"] = child["tuned"]
    if child["definition"]:
        shown["TrainingJobDefinitionName"] = child["definition"]
    value = objective(job, child["metric"])
    if value is not None:
        shown["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "Type": child["type"],
            "MetricName": child["metric"],
            "Value": value,
        }
    status = job["TrainingJobStatus"]
    if status not in TERMINAL:
        shown["ObjectiveStatus"] = "Pending"
    else:
        counts = value is not None and status != "Failed"
        shown["ObjectiveStatus"] = "Succeeded" if counts else "Failed"
    return shown


def objective(job: Record, metric: str) -> float | None:
    """Return the final value of a metric, None if the job never emitted it."""
    for found in job.get("FinalMetricDataList", []):
        if found["MetricName"] == metric:
            return float(found["Value"])
    return None


def value_of(shown: Record) -> float | None:
    """Return a summary's objective, None if it has none that counts."""
    if shown["ObjectiveStatus"] != "Succeeded":
        return None
    return float(shown["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def best(found: Iterable[Record], maximize: bool) -> Record | None:
    """Return the summary of the best training job."""
    winner: Record | None = None
    for shown in found:
        value = value_of(shown)
        if value is None:
            continue
        leading = value_of(winner) if winner else None
        if leading is None or is_better(value, leading, maximize):
            winner = shown
    return winner


def counters(found: list[Record]) -> Record:
    """Return the counters of statuses and of objectives."""
    statuses = [_counter(shown) for shown in found]
    objectives = [shown["ObjectiveStatus"] for shown in found]
    names = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
    return {
        "TrainingJobStatusCounters": {name: statuses.count(name) for name in names},
        "ObjectiveStatusCounters": {
            name: objectives.count(name) for name in ("Succeeded", "Pending", "Failed")
        },
    }


def _counter(shown: Record) -> str:
    status: str = shown["TrainingJobStatus"]
    if status == "Failed":
        is_ours = shown.get("FailureReason", "").startswith("InternalServerError")
        return "RetryableError" if is_ours else "NonRetryableError"
    return status if status in TERMINAL else "InProgress"
