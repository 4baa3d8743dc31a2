"""What any model has to beat: knowing nothing, and a straight line.

Written on numpy because they are small, and the library that has them takes seconds to import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.columns import Floats
from headrace_tabular.encoding import Feature
from headrace_tabular.run import Problem

Predictor = Callable[[NDArray[np.float32]], Floats]

MAX_ROWS = 50_000
MAX_INDICATORS = 20
RIDGE = 1.0
STEPS = 25


def trivial(problem: Problem, y: Floats, classes: int) -> tuple[str, Predictor]:
    """Return the kind and the predictor that always gives the training rows' average."""
    if problem == "multiclass":
        prior = np.bincount(y.astype(np.int64), minlength=classes) / len(y)
        return "prior probability", lambda x: np.tile(prior, (len(x), 1))
    mean = float(y.mean())
    kind = "prior probability" if problem == "binary" else "mean"
    return kind, lambda x: np.full(len(x), mean)


def simple(
    problem: Problem,
    x: NDArray[np.float32],
    y: Floats,
    features: Sequence[Feature],
    classes: int,
) -> tuple[str, Predictor]:
    """Return the kind and the predictor of a linear model, fitted on at most 50,000 rows."""
    step = -(-len(x) // MAX_ROWS)
    prepare = Design(x[::step], features)
    design, outcome = prepare(x[::step]), y[::step]
    if problem == "regression":
        weights = ridge(design, outcome)
        return "ridge regression", lambda rows: prepare(rows) @ weights
    if problem == "binary":
        weights = logistic(design, outcome)
        return "logistic regression", lambda rows: sigmoid(prepare(rows) @ weights)
    each = np.stack([logistic(design, (outcome == k).astype(float)) for k in range(classes)], 1)

    def one_vs_rest(rows: NDArray[np.float32]) -> Floats:
        odds = sigmoid(prepare(rows) @ each) + 1e-12
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    return "logistic regression, one against the rest", one_vs_rest


class Design:
    """The matrix of a linear model: standardised numbers, categories as indicators, a constant.

    A missing number counts as the mean and has an indicator of its own.
    """

    def __init__(self, x: NDArray[np.float32], features: Sequence[Feature]) -> None:
        self.indicators = [
            (position, code)
            for position, feature in enumerate(features)
            if feature.kind == "text" and len(feature.categories) <= MAX_INDICATORS
            for code in range(len(feature.categories))
        ]
        categorical = {position for position, _ in self.indicators}
        self.numbers = [p for p in range(len(features)) if p not in categorical]
        values = x[:, self.numbers].astype(np.float64)
        present = ~np.isnan(values)
        count = np.maximum(present.sum(axis=0), 1)
        self.mean = np.where(present, values, 0).sum(axis=0) / count
        spread = np.where(present, (values - self.mean) ** 2, 0).sum(axis=0) / count
        self.deviation = np.where(spread > 0, np.sqrt(spread), 1.0)
        self.gaps = [i for i in range(len(self.numbers)) if not present[:, i].all()]

    def __call__(self, x: NDArray[np.float32]) -> Floats:
        """Return the design matrix of these rows."""
        numbers = x[:, self.numbers].astype(np.float64)
        scaled = np.nan_to_num((numbers - self.mean) / self.deviation, nan=0.0)
        parts = [np.ones((len(x), 1)), np.clip(scaled, -10, 10)]
        parts.append(np.isnan(numbers[:, self.gaps]).astype(float))
        parts += [(x[:, [position]] == code).astype(float) for position, code in self.indicators]
        return np.hstack(parts)


def ridge(design: Floats, y: Floats) -> Floats:
    """Solve a least-squares problem with a small penalty on all but the constant."""
    penalty = np.full(design.shape[1], RIDGE)
    penalty[0] = 1e-9
    return np.asarray(np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ y))


def logistic(design: Floats, y: Floats) -> Floats:
    """Fit a logistic regression with the same penalty by Newton's method."""
    penalty = np.full(design.shape[1], RIDGE)
    penalty[0] = 1e-9
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        probability = sigmoid(design @ weights)
        slope = design.T @ (probability - y) + penalty * weights
        curve = (design * np.maximum(probability * (1 - probability), 1e-6)[:, None]).T @ design
        move = np.linalg.solve(curve + np.diag(penalty), slope)
        weights -= move
        if np.abs(move).max() < 1e-6:
            break
    return weights


def sigmoid(values: Floats) -> Floats:
    """Return 1 / (1 + e^-v) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(values / 2)))
