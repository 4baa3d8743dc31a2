"""Metrics of joined outcomes against scikit-learn, and merging."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from headrace_profiling.model_quality import Binary, Multiclass, Regression

few_scores = st.integers(0, 20).map(lambda i: i / 20)
joined = st.lists(st.tuples(st.booleans(), few_scores), min_size=1, max_size=60)


def arrays(rows):
    return np.array([r[0] for r in rows]), np.array([r[1] for r in rows])


@given(joined)
def test_binary_metrics_are_scikit_learns(rows):
    actual, score = arrays(rows)
    predicted = score >= 0.5
    found = Binary.of(actual, score).metrics()
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(actual, predicted))
    assert found["brier_score"] == pytest.approx(((actual - score) ** 2).mean())
    assert found["log_loss"] == pytest.approx(sk.log_loss(actual, score, labels=[False, True]))
    named = {
        "precision": sk.precision_score,
        "recall": sk.recall_score,
        "f1": sk.f1_score,
        "f2": lambda a, p, **k: sk.fbeta_score(a, p, beta=2, **k),
        "f0_5": lambda a, p, **k: sk.fbeta_score(a, p, beta=0.5, **k),
    }
    for name, function in named.items():
        expected = function(actual, predicted, zero_division=0)
        assert (found[name] or 0) == pytest.approx(expected), name
    if len(set(actual)) == 2:
        assert found["auc"] == pytest.approx(sk.roc_auc_score(actual, score))
    else:
        assert found["auc"] is None


def test_many_scores_have_an_auc_with_a_bound():
    rng = np.random.default_rng(2)
    actual = rng.random(50_000) < 0.2
    score = 1 / (1 + np.exp(-rng.normal(actual * 1.5 - 2, 1)))
    quality = Binary.of(actual, score)
    found = quality.metrics()
    assert 0 < found["auc_error"] < 1e-3
    assert found["auc"] == pytest.approx(sk.roc_auc_score(actual, score), abs=found["auc_error"])
    x, y = zip(*quality.curve(), strict=True)
    assert sk.auc(x, y) == pytest.approx(found["auc"])
    errors = quality.standard_errors()
    resampled = []
    for _ in range(60):
        rows = rng.integers(0, len(actual), 2000)
        part = Binary.of(actual[rows], score[rows])
        resampled.append(part.metrics())
    of_2000 = Binary.of(actual[:2000], score[:2000]).standard_errors()
    for name in ("auc", "recall", "accuracy"):
        assert np.std([m[name] for m in resampled]) == pytest.approx(of_2000[name], rel=0.35)
        assert errors[name] < of_2000[name]


def test_calibration_and_cost():
    actual = np.array([1, 0, 0, 0] * 25, bool)
    assert Binary.of(actual, np.full(100, 0.25)).metrics()["calibration_error"] == 0
    off = Binary.of(actual, np.full(100, 0.75))
    assert off.metrics()["calibration_error"] == pytest.approx(0.5)
    assert off.cost(false_positive=120, false_negative=900) == 75 * 120 / 100
    assert Binary.of([], []).cost(1, 1) is None
    assert set(Binary.of([], []).metrics().values()) == {None}


@given(joined, joined)
def test_merging_is_taking_all_at_once(one, other):
    parts = [Binary.of(*arrays(rows)) for rows in (one, other)]
    merged, whole = (parts[0] + parts[1]).as_dict(), Binary.of(*arrays(one + other)).as_dict()
    for name in ("scores", "losses"):
        assert merged.pop(name) == pytest.approx(whole.pop(name))
    assert merged == whole
    again = Binary.from_dict(json.loads(json.dumps(parts[0].as_dict())))
    assert again.metrics() == parts[0].metrics()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1))
def test_multiclass_metrics_are_scikit_learns(rows):
    actual, predicted = zip(*rows, strict=True)
    half = len(rows) // 2
    quality = Multiclass.of(actual[:half], predicted[:half]) + Multiclass.of(
        actual[half:], predicted[half:]
    )
    found = Multiclass.from_dict(json.loads(json.dumps(quality.as_dict()))).metrics()
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(actual, predicted))
    settings = {"average": "weighted", "zero_division": 0}
    assert found["weighted_precision"] == pytest.approx(
        sk.precision_score(actual, predicted, **settings)
    )
    assert found["weighted_recall"] == pytest.approx(sk.recall_score(actual, predicted, **settings))
    assert found["weighted_f1"] == pytest.approx(sk.f1_score(actual, predicted, **settings))


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2), st.data())
def test_regression_metrics_are_scikit_learns(rows, data):
    actual, predicted = (np.array(side) for side in zip(*rows, strict=True))
    cut = data.draw(st.integers(0, len(rows)))
    quality = Regression.of(actual[:cut], predicted[:cut]) + Regression.of(
        actual[cut:], predicted[cut:]
    )
    found = Regression.from_dict(json.loads(json.dumps(quality.as_dict()))).metrics()
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(actual, predicted))
    assert found["mse"] == pytest.approx(sk.mean_squared_error(actual, predicted))
    if actual.std() > 1e-3:
        assert found["r2"] == pytest.approx(sk.r2_score(actual, predicted), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("scores", [[2.0], [float("nan")], [0.5, 0.5], [[0.5]]])
def test_what_is_no_score_is_refused(scores):
    with pytest.raises(ValueError, match="must be"):
        Binary.of([True], scores)
    with pytest.raises(ValueError, match="must be"):
        Regression.of([float("inf")], scores)
