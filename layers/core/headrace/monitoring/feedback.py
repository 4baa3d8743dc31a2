"""What is known of how predictions turned out: a document a slot, whose numbers add up. Pure.

Delays, from a prediction to the arrival of its outcome, are counted in buckets of equal ratio: a
quantile is right within 10 %.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from headrace.definition import Problem
from headrace.monitoring.report import Feedback

_BUCKETS_PER_DOUBLING = 4


class QualityDocument(BaseModel):
    """The predictions of one slot, and their outcomes.

    Each prediction counts once, with the outcome that came first: `repeated` are outcomes that came
    for it again, `contradictions` predictions whose outcomes are not all the same, `unscored` known
    outcomes that are no class, or of predictions that are no probability, label or number. Nothing
    that comes after `until` counts. `counts` are the problem's of headrace_profiling.model_quality,
    also for each value of a column in `segments`; `bias` has bias.Facet's counts by column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    slot: str
    seconds: int
    until: AwareDatetime
    problem: Problem
    predictions: int
    outcomes: int
    repeated: int = 0
    contradictions: int = 0
    unscored: int = 0
    outcome_parts: list[str] = []
    delays: dict[int, int] = {}
    counts: dict[str, Any] | None = None
    segments: dict[str, dict[str, dict[str, Any]]] = {}
    bias: dict[str, dict[str, Any]] = {}


def delay_bucket(seconds: float) -> int:
    """Return the bucket of a delay; what seems to have come before its prediction took none."""
    return math.floor(_BUCKETS_PER_DOUBLING * math.log2(1 + max(0.0, seconds)))


def delay_quantile(delays: Mapping[int, int], share: float) -> float | None:
    """Return the delay in seconds that this share of the outcomes did not exceed; None: no one."""
    wanted, passed = share * sum(delays.values()), 0
    for bucket, number in sorted(delays.items()):
        passed += number
        if passed >= wanted:
            return math.exp2((bucket + 0.5) / _BUCKETS_PER_DOUBLING) - 1
    return None


def add_delays(documents: Iterable[QualityDocument]) -> dict[int, int]:
    """Return the delays of several slots together."""
    total: dict[int, int] = {}
    for document in documents:
        for bucket, number in document.delays.items():
            total[bucket] = total.get(bucket, 0) + number
    return total


def feedback(documents: Iterable[QualityDocument], now: datetime) -> Feedback:
    """Return what is known of several slots; complete once no outcome of theirs can still come."""
    known = list(documents)
    delays = add_delays(known)
    return Feedback(
        predictions=sum(each.predictions for each in known),
        outcomes=sum(each.outcomes for each in known),
        complete=all(each.until < now or each.outcomes == each.predictions for each in known),
        delay_seconds_median=delay_quantile(delays, 0.5),
        delay_seconds_p90=delay_quantile(delays, 0.9),
    )
