"""What monitoring saw in a window: one report, a verdict of each monitor, and the numbers.

A report is JSON in S3 (`monitoring/<model>/reports/<end of window>/report.json`) with an HTML page
beside it, made of nothing but the report.
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

Verdict = Literal["healthy", "drifted", "unsure"]
Monitor = Literal[
    "data-quality",
    "feature-drift",
    "prediction-drift",
    "model-quality",
    "business",
    "bias",
    "attribution-drift",
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bucket(_Part):
    """One bar of a histogram: how many rows of each side it holds.

    A range of numbers (seconds since 1970, of times) has ends; one that is open has no end there.
    """

    label: str
    baseline: int
    window: int
    lower: float | None = None
    upper: float | None = None


class ColumnReport(_Part):
    """A column (or score, or feature): what changed, and how its values are distributed.

    `measures` are headrace_profiling's names; of a feature whose attribution is compared they are
    `training` and `live`. `baseline` has those that the baseline has too (bias of the held-out
    rows). `page.buckets.buckets_of` makes buckets that a person can read.
    """

    name: str
    verdict: Verdict
    reasons: list[str] = []
    measures: dict[str, float | None] = {}
    baseline: dict[str, float | None] = {}
    buckets: list[Bucket] = []


class Segment(_Part):
    """The rows of a value of a column, watched apart."""

    column: str
    value: str


class MonitorReport(_Part):
    """What one monitor saw; its worst columns come first.

    `numbers` are of the window, `baseline` the same ones of the training or held-out rows, `limits`
    those they are held against. `headline` names the number that the trend and the metric show.
    """

    monitor: Monitor
    verdict: Verdict
    reasons: list[str]
    rows: int
    headline: str | None = None
    numbers: dict[str, float | None] = {}
    baseline: dict[str, float | None] = {}
    limits: dict[str, float] = {}
    columns: list[ColumnReport] = []
    segment: Segment | None = None


class TrendPoint(_Part):
    """The headline of one monitor in an earlier window, and in this; versions follow another."""

    at: str
    monitor: Monitor
    verdict: Verdict
    value: float | None = None
    version: int | None = None


class Feedback(_Part):
    """How many of the window's predictions have an outcome, and how long outcomes took."""

    predictions: int
    outcomes: int
    complete: bool
    delay_seconds_median: float | None = None
    delay_seconds_p90: float | None = None


class Report(_Part):
    """Everything that monitoring saw of one version in one window. Times are ISO 8601 in UTC."""

    schema_version: Literal[1] = 1
    model: str
    endpoint: str
    package_version: int
    run: str
    start: str
    end: str
    made_at: str
    verdict: Verdict
    reasons: list[str]
    monitors: list[MonitorReport]
    trend: list[TrendPoint] = []
    feedback: Feedback | None = None
    notes: list[str] = []

    @classmethod
    def if_known(cls, content: bytes) -> "Report | None":
        """Read a report; None if another release wrote it, which the next report replaces."""
        try:
            return cls.model_validate_json(content)
        except ValidationError:
            return None

    def to_json(self) -> bytes:
        """Return the report as it is kept."""
        return self.model_dump_json(exclude_none=True).encode()


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict of several: one that drifted is drift; nothing known is unsure."""
    if "drifted" in verdicts:
        return "drifted"
    return "healthy" if "healthy" in verdicts else "unsure"


def together(monitors: Iterable[MonitorReport]) -> Verdict:
    """Return the verdict of monitors: that a segment is well says nothing of all the other rows."""
    return worst(
        [each.verdict for each in monitors if each.segment is None or each.verdict == "drifted"]
    )
