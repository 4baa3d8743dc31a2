"""The pieces of training that need no XGBoost: baselines and the leakage guard."""

from __future__ import annotations

import numpy as np
import pytest

from headrace_tabular import baselines, leakage
from headrace_tabular.encoding import Feature
from headrace_tabular.metrics import roc_auc

RANDOM = np.random.default_rng(0)
ROWS = 3000
SIGNAL = RANDOM.normal(size=ROWS)
NOISE = RANDOM.normal(size=ROWS)
CLASS = RANDOM.integers(0, 3, ROWS).astype(float)
X = np.stack([SIGNAL, NOISE, CLASS], axis=1).astype(np.float32)
X[::10, 1] = np.nan
FEATURES = [
    Feature("signal", "number"),
    Feature("noise", "number"),
    Feature("c", "text", tuple("abc")),
]


def test_logistic_regression_finds_the_line():
    chance = 1 / (1 + np.exp(-(2 * SIGNAL + np.where(CLASS == 1, 1.5, 0))))
    y = (RANDOM.random(ROWS) < chance).astype(float)
    kind, predict = baselines.simple("binary", X, y, FEATURES, 2)
    assert kind == "logistic regression"
    assert np.abs(predict(X) - chance).mean() < 0.03


def test_ridge_regression_finds_the_line():
    y = 3 * SIGNAL + 5 * (CLASS == 2) + 7
    kind, predict = baselines.simple("regression", X, y, FEATURES, 0)
    assert kind == "ridge regression"
    assert np.abs(predict(X) - y).mean() < 0.05


def test_one_against_the_rest_finds_the_classes():
    _, predict = baselines.simple("multiclass", X, CLASS, FEATURES, 3)
    said = predict(X)
    assert said.sum(axis=1) == pytest.approx(np.ones(ROWS))
    assert (said.argmax(axis=1) == CLASS).all()


def test_a_perfectly_separable_label_still_has_finite_weights():
    _, predict = baselines.simple("binary", X, (SIGNAL > 0).astype(float), FEATURES, 2)
    assert np.isfinite(predict(X)).all()
    assert roc_auc((SIGNAL > 0).astype(float), predict(X))(np.ones(ROWS)) > 0.99


@pytest.mark.parametrize(
    ("problem", "y", "expected"),
    [
        ("binary", np.array([1.0, 0, 0, 0]), 0.25),
        ("regression", np.array([1.0, 2, 3, 6]), 3.0),
        ("multiclass", np.array([0.0, 0, 1, 2]), [0.5, 0.25, 0.25]),
    ],
)
def test_the_trivial_baseline_says_the_average(problem, y, expected):
    _, predict = baselines.trivial(problem, y, 3)
    assert predict(X[:2]).tolist() == [expected, expected]


def warned(problem, y):
    return leakage.warnings(problem, X, y, FEATURES, "label")


def test_a_column_that_knows_the_answer_is_named():
    (said,) = warned("binary", (SIGNAL > 0.3).astype(float))
    assert "feature 'signal' alone predicts 'label'" in said
    (said,) = warned("regression", -np.exp(SIGNAL))
    assert "feature 'signal'" in said
    (said,) = warned("multiclass", (CLASS + 1) % 3)
    assert "feature 'c'" in said


def test_a_column_that_only_helps_is_not_named():
    assert warned("binary", (SIGNAL + 0.2 * NOISE > 0).astype(float)) == []
    assert warned("regression", SIGNAL + 0.2 * NOISE) == []
    assert warned("multiclass", np.digitize(SIGNAL + 0.2 * NOISE, [-1, 1]).astype(float)) == []
