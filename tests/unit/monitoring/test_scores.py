"""Metrics against scikit-learn, and their standard errors against drawing the rows again."""

import numpy as np
import pytest
from sklearn import metrics as sk

from headrace.definition import METRICS, Cost
from headrace.monitoring.judging.quality import GREATER_IS_BETTER
from headrace.monitoring.judging.scores import (
    Estimate,
    against_limit,
    estimate,
    estimate_cost,
)
from headrace_profiling.model_quality import Binary, Multiclass, Regression

ROWS, DRAWS = 600, 80


def binary(chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    outcomes = chance.random(ROWS) < 0.3
    return outcomes, np.round(1 / (1 + np.exp(-(outcomes - 0.5 + chance.normal(size=ROWS)))), 3)


def test_metrics_are_scikit_learns_and_every_one_of_a_project_is_there() -> None:
    outcomes, scores = binary(np.random.default_rng(1))
    found = {name: each.value for name, each in estimate(Binary.of(outcomes, scores)).items()}
    said = scores >= 0.5
    assert found == pytest.approx(
        {
            "roc_auc": sk.roc_auc_score(outcomes, scores),
            "average_precision": sk.average_precision_score(outcomes, scores),
            "accuracy": sk.accuracy_score(outcomes, said),
            "precision": sk.precision_score(outcomes, said),
            "recall": sk.recall_score(outcomes, said),
            "f1": sk.f1_score(outcomes, said),
            "brier": sk.brier_score_loss(outcomes, scores),
            "log_loss": sk.log_loss(outcomes, scores),
        }
    )
    assert found.keys() == {
        name for name in GREATER_IS_BETTER if "binary" in METRICS.get(name, (0, {"binary"}))[1]
    }
    regression = Regression.of([1.0, 2.0, 4.0], [1.5, 2.0, 3.0])
    assert estimate(regression).keys() == {"rmse", "mae", "r2"}
    assert estimate(Multiclass.of("abca", "abba")).keys() == {"accuracy", "f1"}


def test_standard_errors_are_those_of_rows_drawn_again() -> None:
    chance = np.random.default_rng(2)
    cost = Cost(false_positive=1, false_negative=5)
    drawn: dict[str, list[float]] = {}
    for _ in range(DRAWS):
        counts = Binary.of(*binary(chance))
        values = {name: each.value for name, each in estimate(counts).items()}
        paid = estimate_cost(counts, cost)
        assert paid is not None
        for name, value in {**values, "cost": paid.value}.items():
            drawn.setdefault(name, []).append(value)
    counts = Binary.of(*binary(chance))
    errors = {name: each.error for name, each in estimate(counts).items()}
    errors["cost"] = estimate_cost(counts, cost).error  # type: ignore[union-attr]
    assert errors == pytest.approx({n: np.std(v) for n, v in drawn.items()}, rel=0.3)


def test_a_value_near_its_limit_is_unsure() -> None:
    near, far = Estimate(0.72, 0.01), Estimate(0.80, 0.01)
    assert against_limit(near, 0.7, greater_is_better=True) == "unsure"
    assert against_limit(far, 0.7, greater_is_better=True) == "healthy"
    assert against_limit(far, 0.7, greater_is_better=False) == "drifted"
