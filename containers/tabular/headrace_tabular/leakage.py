"""Warnings of columns that know the answer: a model that learns from one is useless later."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.columns import Floats
from headrace_tabular.encoding import Feature
from headrace_tabular.metrics import roc_auc
from headrace_tabular.run import Problem

SUSPICIOUS = 0.999
MAX_ROWS = 20_000
MAX_CLASSES = 10


def warnings(
    problem: Problem, x: NDArray[np.float32], y: Floats, features: Sequence[Feature], label: str
) -> list[str]:
    """Return a sentence for every feature that alone predicts the label almost perfectly."""
    step = -(-len(x) // MAX_ROWS)
    said = []
    for position, feature in enumerate(features):
        values = np.nan_to_num(x[::step, position].astype(np.float64), nan=-np.inf)
        strength = agreement(problem, values, y[::step])
        if strength > SUSPICIOUS:
            said.append(
                f"feature '{feature.name}' alone predicts '{label}' almost perfectly"
                f" ({strength:.4f}): is it known only after the outcome? If so, name it in"
                " `data.exclude`"
            )
    return said


def agreement(problem: Problem, values: Floats, y: Floats) -> float:
    """Return how well the order of one column gives the label, from 0.5 (not) to 1 (exactly).

    Classes: the area under the ROC curve in its better direction, for several classes the mean
    over their pairs (Hand and Till, 2001). Numbers: the rank correlation, whatever its sign.
    """
    if problem == "regression":
        if len(np.unique(values)) < 2 or len(np.unique(y)) < 2:
            return 0.5
        ranks = np.corrcoef(ranked(values), ranked(y))[0, 1]
        return float(abs(ranks) / 2 + 0.5)
    classes = np.unique(y)[:MAX_CLASSES]
    areas = []
    for one, other in combinations(classes, 2):
        rows = (y == one) | (y == other)
        area = roc_auc((y[rows] == other).astype(float), values[rows])(np.ones(int(rows.sum())))
        areas.append(max(area, 1 - area))
    return float(np.mean(areas)) if areas else 0.5


def ranked(values: Floats) -> Floats:
    """Return the rank of each value, equal values sharing their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], dtype=np.float64)
