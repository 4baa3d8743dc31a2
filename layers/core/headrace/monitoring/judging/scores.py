"""Metrics with their standard errors, under the names of model.yaml, from counts that merged.

Both sides of a comparison come from the same counts, so a definition never differs between them.
Shares are binomial; AUC is Hanley and McNeil's (Radiology 143, 1982); F1 by the delta method from
tp / (tp + fp + fn); average precision resampled; errors of a regression as if they were normal.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headrace.definition import Cost
from headrace.monitoring.judging.evidence import Counts
from headrace.monitoring.report import Verdict
from headrace_profiling.histogram import together
from headrace_profiling.model_quality import Binary, Multiclass, Regression

# What chance passes once in a thousand (one-sided normal), as with headrace_profiling's noise.
RARE_SIGMAS = 3.09
_RESAMPLES = 200
_SURE = float(np.finfo(float).eps)
_Floats = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A number, and its standard error."""

    value: float
    error: float

    @property
    def noise(self) -> float:
        """How far off chance alone puts it once in a thousand."""
        return RARE_SIGMAS * self.error


def estimate(counts: Counts) -> dict[str, Estimate]:
    """Return every metric that these counts define; one that is not defined is left out."""
    if isinstance(counts, Binary):
        return _binary(counts)
    if isinstance(counts, Multiclass):
        return _multiclass(counts)
    return _regression(counts)


def estimate_cost(counts: Binary, cost: Cost) -> Estimate | None:
    """Return what mistakes cost per prediction."""
    (_, fp), (fn, _) = counts.confusion.tolist()
    if not counts.rows:
        return None
    mean = (fp * cost.false_positive + fn * cost.false_negative) / counts.rows
    squares = (fp * cost.false_positive**2 + fn * cost.false_negative**2) / counts.rows
    return Estimate(mean, _error_of_mean(mean, squares, counts.rows))


def against_limit(found: Estimate, limit: float, greater_is_better: bool) -> Verdict:
    """Hold a number against the worst that is acceptable: drifted if it is worse beyond chance.

    As near the limit as chance reaches it is unsure: more rows would tell.
    """
    short = (limit - found.value) if greater_is_better else (found.value - limit)
    if short > found.noise:
        return "drifted"
    return "healthy" if short <= -found.noise else "unsure"


def against_change(change: float, noise: float, limit: float) -> Verdict:
    """Hold a change against its limit: drifted above it and above chance (as in `compare`)."""
    if change > limit and change > noise:
        return "drifted"
    return "unsure" if noise > limit else "healthy"


def _binary(counts: Binary) -> dict[str, Estimate]:
    (_, fp), (fn, tp) = counts.confusion.tolist()
    metrics, errors = counts.metrics(), counts.standard_errors()
    names = {"roc_auc": "auc", "accuracy": "accuracy", "precision": "precision", "recall": "recall"}
    found = {name: (metrics[own], errors[own]) for name, own in names.items()}
    f1 = metrics["f1"]
    if f1 is not None:
        jaccard = f1 / (2 - f1)
        found["f1"] = f1, 2 / (1 + jaccard) ** 2 * _share_error(jaccard, tp + fp + fn)
    known = {n: Estimate(v, e) for n, (v, e) in found.items() if v is not None and e is not None}
    return known | _of_scores(counts)


def _of_scores(counts: Binary) -> dict[str, Estimate]:
    """Return what the scores alone decide: log loss, Brier score, average precision."""
    positives, negatives = together(counts.positives, counts.negatives)
    if not counts.rows or not len(positives.keys):
        return {}
    score = np.clip((positives.lower + positives.upper) / 2, 0, 1)
    rows = np.stack([positives.counts, negatives.counts]).astype(float)
    right = np.stack([score, 1 - score])
    losses = {"brier": (1 - right) ** 2, "log_loss": -np.log(np.maximum(right, _SURE))}
    values = {"brier": counts.losses[0] / counts.rows, "log_loss": counts.losses[1] / counts.rows}
    found = {
        name: Estimate(
            values[name],
            _error_of_mean(
                float((rows * loss).sum() / counts.rows),
                float((rows * loss**2).sum() / counts.rows),
                counts.rows,
            ),
        )
        for name, loss in losses.items()
    }
    if positives.total and negatives.total:
        found["average_precision"] = _average_precision(rows)
    return found


def _average_precision(rows: _Floats) -> Estimate:
    """Return the mean precision over the positives, and its spread when rows are drawn again."""
    chance = np.random.default_rng(0)
    shares = rows / rows.sum(axis=1, keepdims=True)
    drawn = [
        chance.multinomial(int(total), share, _RESAMPLES).astype(float)
        for total, share in zip(rows.sum(axis=1), shares, strict=True)
    ]
    values = _precisions(drawn[0], drawn[1])
    return Estimate(float(_precisions(rows[:1], rows[1:])[0]), float(values.std(ddof=1)))


def _precisions(positives: _Floats, negatives: _Floats) -> _Floats:
    """Return average precision of counts by rising score, [draws, scores] each."""
    true = np.cumsum(positives[:, ::-1], axis=1)
    said = true + np.cumsum(negatives[:, ::-1], axis=1)
    precision = np.divide(true, said, out=np.zeros_like(true), where=said > 0)
    return np.asarray((precision * positives[:, ::-1]).sum(axis=1) / true[:, -1])


def _multiclass(counts: Multiclass) -> dict[str, Estimate]:
    metrics = counts.metrics()
    found = {"accuracy": metrics["accuracy"], "f1": metrics["weighted_f1"]}
    return {
        # F1 is a mean of ratios over the classes: a share at its most uncertain bounds its error.
        name: Estimate(value, _share_error(value if name == "accuracy" else 0.5, counts.rows))
        for name, value in found.items()
        if value is not None
    }


def _regression(counts: Regression) -> dict[str, Estimate]:
    metrics, n = counts.metrics(), counts.rows
    mae, mse, rmse, r2 = (metrics[name] for name in ("mae", "mse", "rmse", "r2"))
    if mae is None or mse is None or rmse is None:
        return {}
    found = {
        "mae": Estimate(mae, _error_of_mean(mae, mse, n)),
        "rmse": Estimate(rmse, rmse / math.sqrt(2 * n)),
    }
    if r2 is not None:  # a quotient of two variances, each off by sqrt(2 / n)
        found["r2"] = Estimate(r2, 2 * (1 - r2) * math.sqrt(2 / n))
    return found


def _share_error(share: float, rows: int) -> float:
    """Return the standard error of a share; of 0 or 1 as if one row more were otherwise."""
    if not rows:
        return math.inf
    seen = min(max(share, 1 / (rows + 2)), 1 - 1 / (rows + 2))
    return math.sqrt(seen * (1 - seen) / rows)


def _error_of_mean(mean: float, mean_of_squares: float, rows: int) -> float:
    return math.sqrt(max(0.0, mean_of_squares - mean**2) / rows)


def finite(numbers: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return numbers as a report has them: what is not finite is no number."""
    return {k: v if v is not None and math.isfinite(v) else None for k, v in numbers.items()}
