"""Metrics as functions of row weights, so that a bootstrap resample is one more weighting.

Everything is prepared once (the sort for an area under a curve, the loss of each row) and a
statistic is then called with a weight for each row: all ones for the metric itself. What cannot
be computed, such as an area under a curve of one class, is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.columns import Floats
from headrace_tabular.errors import ProjectError
from headrace_tabular.run import Problem

Statistic = Callable[[Floats], float]

GREATER_IS_BETTER: dict[Problem, dict[str, bool]] = {
    "binary": {
        "roc_auc": True,
        "average_precision": True,
        "log_loss": False,
        "accuracy": True,
        "precision": True,
        "recall": True,
        "f1": True,
        "brier": False,
    },
    "multiclass": {
        "accuracy": True,
        "balanced_accuracy": True,
        "f1": True,
        "log_loss": False,
        "roc_auc_ovr": True,
    },
    "regression": {"rmse": False, "mae": False, "r2": True},
}
EPSILON = 1e-15


def check_metric(problem: Problem, metric: str) -> bool:
    """Return whether more of this metric is better; raise ProjectError for an unknown one."""
    known = GREATER_IS_BETTER[problem]
    if metric not in known:
        raise ProjectError(f"evaluation.metric '{metric}': for {problem} choose from {[*known]}")
    return known[metric]


def measure(problem: Problem, y: Floats, scores: Floats, threshold: float) -> dict[str, float]:
    """Return every metric of the problem (NaN where it cannot be computed).

    `y` holds 0/1, class positions or values; `scores` are [rows] or, multiclass, [rows, classes].
    """
    ones = np.ones(len(y))
    return {
        metric: statistic(problem, metric, y, scores, threshold)(ones) if len(y) else np.nan
        for metric in GREATER_IS_BETTER[problem]
    }


def statistic(
    problem: Problem, metric: str, y: Floats, scores: Floats, threshold: float
) -> Statistic:
    """Prepare one metric for these rows.

    A model that answers one row with NaN has no metric at all: sorted away, it would look good.
    """
    if not np.isfinite(scores).all():
        return lambda _: np.nan
    if problem == "binary":
        return binary(metric, y, scores.astype(np.float64), threshold)
    if problem == "multiclass":
        return multiclass(metric, y.astype(np.int64), scores.astype(np.float64))
    return regression(metric, y, scores.astype(np.float64))


def binary(metric: str, y: Floats, scores: Floats, threshold: float) -> Statistic:
    """Prepare a metric of two classes, `scores` being the probability of the positive one."""
    if metric == "roc_auc":
        return roc_auc(y, scores)
    if metric == "average_precision":
        return average_precision(y, scores)
    if metric == "log_loss":
        clipped = np.clip(scores, EPSILON, 1 - EPSILON)
        return mean_of(-np.where(y == 1, np.log(clipped), np.log1p(-clipped)))
    if metric == "brier":
        return mean_of((scores - y) ** 2)
    said = scores >= threshold
    true = y == 1
    if metric == "accuracy":
        return mean_of((said == true).astype(float))
    both = (said & true).astype(float)
    if metric == "precision":
        return ratio_of(both, said.astype(float))
    if metric == "recall":
        return ratio_of(both, true.astype(float))
    return ratio_of(2 * both, said.astype(float) + true)


def multiclass(metric: str, y: NDArray[np.int64], scores: Floats) -> Statistic:
    """Prepare a metric of several classes; averages are over the classes that `y` has."""
    said = scores.argmax(axis=1)
    present = np.unique(y)
    if metric == "accuracy":
        return mean_of((said == y).astype(float))
    if metric == "log_loss":
        chosen = scores[np.arange(len(y)), y]
        return mean_of(-np.log(np.clip(chosen, EPSILON, 1)))
    by_class: list[Statistic] = []
    for position in present:
        true, claimed = (y == position).astype(float), (said == position).astype(float)
        if metric == "roc_auc_ovr":
            by_class.append(roc_auc(true, scores[:, position]))
        elif metric == "balanced_accuracy":
            by_class.append(ratio_of(true * claimed, true))
        else:
            by_class.append(ratio_of(2 * true * claimed, true + claimed))
    return lambda weights: float(np.mean([one(weights) for one in by_class]))


def regression(metric: str, y: Floats, scores: Floats) -> Statistic:
    """Prepare a metric of a number."""
    if metric == "mae":
        return mean_of(np.abs(y - scores))
    squared = (y - scores) ** 2
    if metric == "rmse":
        mean = mean_of(squared)
        return lambda weights: float(np.sqrt(mean(weights)))

    def r2(weights: Floats) -> float:
        total = weights.sum()
        around = weights @ (y - (weights @ y) / total) ** 2
        return float(1 - (weights @ squared) / around) if around > 0 else np.nan

    return r2


def roc_auc(y: Floats, scores: Floats) -> Statistic:
    """Prepare the area under the ROC curve: P(positive scores higher) + P(equal) / 2."""
    _, place = np.unique(scores, return_inverse=True)
    true = y == 1
    places = int(place.max()) + 1 if len(place) else 0
    up, down = place[true], place[~true]

    def area(weights: Floats) -> float:
        positive = np.bincount(up, weights[true], minlength=places)
        negative = np.bincount(down, weights[~true], minlength=places)
        pairs = positive.sum() * negative.sum()
        if pairs == 0:
            return np.nan
        below = np.cumsum(negative) - negative / 2
        return float(positive @ below / pairs)

    return area


def average_precision(y: Floats, scores: Floats) -> Statistic:
    """Prepare the average precision: precision at each score, weighted by the recall it adds."""
    _, place = np.unique(-scores, return_inverse=True)
    places = int(place.max()) + 1 if len(place) else 0

    def area(weights: Floats) -> float:
        found = np.bincount(place, weights * y, minlength=places)
        total = found.sum()
        if total == 0 or not (weights * (1 - y)).any():
            return np.nan
        claimed = np.cumsum(np.bincount(place, weights, minlength=places))
        precision = np.divide(np.cumsum(found), claimed, where=claimed > 0, out=np.zeros(places))
        return float(precision @ found / total)

    return area


def mean_of(values: Floats) -> Statistic:
    """Prepare a weighted mean."""
    return lambda weights: float(weights @ values / weights.sum())


def ratio_of(above: Floats, below: Floats) -> Statistic:
    """Prepare a ratio of two weighted sums, which is NaN over nothing."""

    def ratio(weights: Floats) -> float:
        divisor = weights @ below
        return float(weights @ above / divisor) if divisor > 0 else np.nan

    return ratio


def without_nan(values: Any) -> Any:
    """Return nested data with every number that is not finite as None: JSON has no NaN."""
    if isinstance(values, Mapping):
        return {name: without_nan(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [without_nan(value) for value in values]
    if isinstance(values, float) and not np.isfinite(values):
        return None
    return values
