"""What a training job reports: `evaluation.json`, version 1.

The container writes a number it could not compute as null; a NaN or an infinity that slips through
is read as null too, so that nothing undefined is ever compared.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from headrace.definition import Problem


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite_or_none)]


class _Part(BaseModel):
    # The container may learn to report more than the gate asks for.
    model_config = ConfigDict(frozen=True, extra="ignore")


class CostEstimate(_Part):
    """What the mistakes on the held-out rows would have cost, at the best threshold."""

    threshold: Number = None
    per_row: Number = None
    total: Number = None


class Scores(_Part):
    """One model's numbers on one set of rows."""

    metrics: dict[str, Number]
    cost: CostEstimate | None = None
    error: str | None = None


class Baselines(_Part):
    """The rivals anybody could write down."""

    trivial: Scores | None = None
    simple: Scores | None = None


class Rows(_Part):
    """How many rows were learnt from, and how many were held out."""

    train: int
    holdout: int


class Comparison(_Part):
    """Candidate minus champion in the primary metric, with a bootstrap interval."""

    difference: Number = None
    ci_low: Number = None
    ci_high: Number = None
    confidence: float = 0.95


class DatasetScores(_Part):
    """Both models on the held-out rows of one dataset version; `known` to the champion or new."""

    version: str
    role: Literal["known", "new"]
    rows: int
    candidate: dict[str, Number]
    champion: dict[str, Number] | None = None


class SliceScores(_Part):
    """Both models on the held-out rows that share a value."""

    column: str
    value: Any
    rows: int
    candidate: dict[str, Number]
    champion: dict[str, Number] | None = None


class Latency(_Part):
    """Milliseconds of one prediction in the job."""

    p50: Number = None
    p99: Number = None


class Evaluation(_Part):
    """All of evaluation.json that the gate reads."""

    schema_version: Literal[1]
    run: str
    problem: Problem
    metric: str
    rows: Rows
    candidate: Scores
    baselines: Baselines = Baselines()
    champion: Scores | None = None
    comparison: Comparison | None = None
    datasets: list[DatasetScores] = []
    slices: list[SliceScores] = []
    latency_ms: Latency | None = None
    warnings: list[str] = []
