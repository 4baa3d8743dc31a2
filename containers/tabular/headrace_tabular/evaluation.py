"""The evaluation of a run, in the form that the gate reads: see evaluation.schema.json."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular import metrics
from headrace_tabular.columns import Columns, Floats, Kind, is_null, take, texts
from headrace_tabular.comparison import compare
from headrace_tabular.errors import ProjectError, TabularError
from headrace_tabular.model import Model, predictions
from headrace_tabular.run import Cost, Problem, Run

MAX_SLICES = 20
MAX_SLICE_VALUES = 20
ROW_WISE_ROWS = 20
LATENCY_CALLS = 200
LATENCY_WARMUP = 20


@dataclass(frozen=True)
class Scored:
    """What one model said about the held-out rows, and how it decides."""

    scores: NDArray[Any]
    threshold: float


@dataclass(frozen=True)
class Candidate:
    """The model as it was saved and will be served, and what it says about the held-out rows."""

    model: Model
    columns: Columns
    scored: Scored


@dataclass(frozen=True)
class Holdout:
    """The held-out rows: raw columns, outcomes, what identifies each row, and its dataset."""

    columns: Columns
    y: Floats
    keys: Sequence[str]
    dataset: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """The number of held-out rows."""
        return len(self.y)


@dataclass(frozen=True)
class Judge:
    """Measures any model on the held-out rows, all of them by the same rules."""

    problem: Problem
    metric: str
    cost: Cost | None
    holdout: Holdout

    def measure(self, scored: Scored, rows: NDArray[np.bool_] | None = None) -> dict[str, float]:
        """Return every metric, on some of the rows if they are given."""
        chosen = slice(None) if rows is None else rows
        y, scores = self.holdout.y[chosen], scored.scores[chosen]
        return metrics.measure(self.problem, y, scores, scored.threshold)

    def report(self, scored: Scored) -> dict[str, Any]:
        """Return the metrics and the cost of one model."""
        return {"metrics": self.measure(scored), "cost": self.price(scored)}

    def price(self, scored: Scored) -> dict[str, float] | None:
        """Return what the model's wrong decisions cost, if costs are known."""
        if self.cost is None or not np.isfinite(scored.scores).all():
            return None
        said, true = scored.scores >= scored.threshold, self.holdout.y == 1
        total = float((said & ~true).sum()) * self.cost.false_positive
        total += float((~said & true).sum()) * self.cost.false_negative
        per_row = total / self.holdout.rows
        return {"threshold": scored.threshold, "per_row": per_row, "total": total}

    def compare(self, candidate: Scored, other: Scored) -> dict[str, Any]:
        """Return the difference of the run's metric, with its confidence interval."""
        prepared = [
            metrics.statistic(
                self.problem, self.metric, self.holdout.y, scored.scores, scored.threshold
            )
            for scored in (candidate, other)
        ]
        return compare(prepared[0], prepared[1], self.holdout.keys, self.holdout.rows)

    def unmeasured(self, reason: str) -> dict[str, Any]:
        """Return the report of a model that could not be scored: no numbers, so it wins nothing."""
        nothing = dict.fromkeys(metrics.GREATER_IS_BETTER[self.problem])
        return {"metrics": nothing, "cost": None, "error": reason}


def score_champion(champion: Model, classes: Sequence[Any], holdout: Holdout) -> Scored:
    """Let the serving model score the held-out rows with its own features and threshold.

    Raises TabularError when it cannot: a column it needs is gone, or it answers another question.
    """
    missing = [item.name for item in champion.inputs if item.name not in holdout.columns]
    if missing:
        raise TabularError(f"it needs the columns {missing}, which the data no longer has")
    theirs = [str(value) for value in champion.classes]
    ours = [str(value) for value in classes]
    if champion.problem == "multiclass":
        scores = champion.scores(holdout.columns)
        aligned = np.zeros((holdout.rows, len(ours)))
        for position, name in enumerate(ours):
            if name in theirs:
                aligned[:, position] = scores[:, theirs.index(name)]
        return Scored(aligned, champion.threshold)
    if theirs != ours:
        raise TabularError(f"it predicts {theirs}, the data has {ours}")
    return Scored(champion.scores(holdout.columns), champion.threshold)


def by_dataset(
    run: Run, judge: Judge, candidate: Scored, champion: Scored | None
) -> list[dict[str, Any]]:
    """Return the metrics on the held-out rows of each dataset version."""
    found = []
    for position, dataset in enumerate(run.datasets):
        rows = judge.holdout.dataset == position
        found.append(
            {
                "version": dataset.version,
                "role": dataset.role,
                "rows": int(rows.sum()),
                "candidate": judge.measure(candidate, rows),
                "champion": judge.measure(champion, rows) if champion else None,
            }
        )
    return found


def by_slice(
    run: Run,
    kinds: Mapping[str, Kind],
    judge: Judge,
    candidate: Scored,
    champion: Scored | None,
) -> list[dict[str, Any]]:
    """Return the metrics on each slice of the held-out rows, the largest first by column."""
    found = []
    for column in run.slices[:MAX_SLICES]:
        values = slice_values(judge.holdout.columns[column], kinds[column])
        names, counts = np.unique(values, return_counts=True)
        for position in np.argsort(-counts, kind="stable")[:MAX_SLICE_VALUES]:
            rows = values == names[position]
            found.append(
                {
                    "column": column,
                    "value": str(names[position]),
                    "rows": int(rows.sum()),
                    "candidate": judge.measure(candidate, rows),
                    "champion": judge.measure(champion, rows) if champion else None,
                }
            )
    return found


def slice_values(values: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """Return the slice each row belongs to: its value, or the quarter a number falls into."""
    null = is_null(values)
    if kind == "boolean":
        names = np.where(values == 1, "true", "false")
    elif kind == "number" and len(np.unique(values[~null])) > MAX_SLICE_VALUES:
        edges = np.quantile(values[~null], [0.25, 0.5, 0.75])
        bounds = ["-inf", *(f"{edge:g}" for edge in edges), "inf"]
        quarters = np.array([f"({bounds[i]}, {bounds[i + 1]}]" for i in range(4)])
        names = quarters[np.searchsorted(edges, values, side="left").clip(0, 3)]
    else:
        names = np.array(texts(values), dtype=object).astype(str)
    return np.where(null, "(null)", names)


def check_row_wise(model: Model, columns: Columns, scores: NDArray[Any]) -> None:
    """Check that rows get the same score alone, as they are served, as they got among others.

    Raises ProjectError: a feature that looks at other rows (a mean, a rank, a shift) means one
    thing in the training job and another behind the endpoint.
    """
    for row in range(min(ROW_WISE_ROWS, len(scores))):
        alone = model.scores(take(columns, np.array([row])))[0]
        if not np.allclose(alone, scores[row], rtol=1e-4, atol=1e-5, equal_nan=True):
            raise ProjectError(
                f"a row scores {alone} alone and {scores[row]} among others: features() must"
                " compute each row from that row only, since endpoints are sent single rows"
            )


def measure_latency(model: Model, columns: Columns) -> dict[str, float]:
    """Return how long one row takes from raw columns to its prediction, in milliseconds."""
    rows = len(next(iter(columns.values())))
    taken = []
    for call in range(LATENCY_WARMUP + LATENCY_CALLS):
        row = take(columns, np.array([call % rows]))
        start = time.perf_counter()
        predictions(model, model.scores(row))
        taken.append((time.perf_counter() - start) * 1000)
    p50, p99 = np.quantile(taken[LATENCY_WARMUP:], [0.5, 0.99])
    return {"rows": 1, "p50": float(p50), "p99": float(p99)}
