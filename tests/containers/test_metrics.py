"""Metrics against their definitions, and weights against repeated rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_tabular import metrics
from headrace_tabular.comparison import compare
from headrace_tabular.errors import ProjectError
from headrace_tabular.fit import best_threshold
from headrace_tabular.run import Cost

SCORED = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])),
    min_size=2,
    max_size=40,
)


def arrays(scored):
    y = np.array([float(true) for true, _ in scored])
    return y, np.array([score for _, score in scored])


@given(SCORED)
def test_roc_auc_is_the_chance_that_a_positive_scores_higher(scored):
    y, scores = arrays(scored)
    pairs = [
        1.0 if up > down else 0.5 if up == down else 0.0
        for up in scores[y == 1]
        for down in scores[y == 0]
    ]
    found = metrics.roc_auc(y, scores)(np.ones(len(y)))
    assert found == pytest.approx(np.mean(pairs)) if pairs else np.isnan(found)


@given(SCORED)
def test_average_precision_sums_precision_over_recall(scored):
    y, scores = arrays(scored)
    found = metrics.average_precision(y, scores)(np.ones(len(y)))
    if y.all() or not y.any():
        assert np.isnan(found)
        return
    expected, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        said = scores >= threshold
        new = (y[said] == 1).sum() / y.sum()
        expected += (new - recall) * (y[said] == 1).mean()
        recall = new
    assert found == pytest.approx(expected)


@given(SCORED, st.data())
def test_a_weight_counts_a_row_that_many_times(scored, data):
    y, scores = arrays(scored)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(y), max_size=len(y))))
    if not times.any():
        times[0] = 1
    for metric in metrics.GREATER_IS_BETTER["binary"]:
        weighted = metrics.statistic("binary", metric, y, scores, 0.5)(times.astype(float))
        y2, scores2 = np.repeat(y, times), np.repeat(scores, times)
        repeated = metrics.statistic("binary", metric, y2, scores2, 0.5)(np.ones(len(y2)))
        assert weighted == pytest.approx(repeated, nan_ok=True), metric


def test_binary_metrics_of_a_worked_example():
    y, scores = np.array([1.0, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1])
    found = metrics.measure("binary", y, scores, 0.5)
    assert found == pytest.approx(
        {
            "roc_auc": 0.75,
            "average_precision": (1 + 2 / 3) / 2,
            "log_loss": -np.log([0.9, 0.4, 0.4, 0.9]).mean(),
            "accuracy": 0.5,
            "precision": 0.5,
            "recall": 0.5,
            "f1": 0.5,
            "brier": (0.01 + 0.36 + 0.36 + 0.01) / 4,
        }
    )


def test_multiclass_metrics_of_a_worked_example():
    y = np.array([0.0, 1, 2, 2])
    scores = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.5, 0.2, 0.3]])
    found = metrics.measure("multiclass", y, scores, 0.5)
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert found["f1"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.8, 0.6, 0.3]).mean())


def test_regression_metrics_of_a_worked_example():
    found = metrics.measure("regression", np.array([1.0, 2, 3]), np.array([1.0, 2, 5]), 0.5)
    assert found == pytest.approx({"rmse": np.sqrt(4 / 3), "mae": 2 / 3, "r2": -1.0})


def test_one_class_has_no_area_and_is_written_as_null():
    found = metrics.measure("binary", np.ones(3), np.array([0.1, 0.2, 0.9]), 0.5)
    written = json.dumps(metrics.without_nan({"metrics": [found]}), allow_nan=False)
    assert json.loads(written)["metrics"][0]["roc_auc"] is None
    assert found["recall"] == pytest.approx(1 / 3)


def test_a_model_that_answers_nan_has_no_metric():
    y, scores = np.array([0.0, 1, 1]), np.array([0.1, 0.9, np.nan])
    assert np.isnan(list(metrics.measure("binary", y, scores, 0.5).values())).all()


def test_no_rows_have_no_metrics():
    assert np.isnan(list(metrics.measure("binary", np.empty(0), np.empty(0), 0.5).values())).all()


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ProjectError, match=r"'gini'.*roc_auc"):
        metrics.check_metric("binary", "gini")


@given(SCORED, st.integers(0, 9), st.integers(0, 9))
def test_no_threshold_costs_less_than_the_chosen_one(scored, false_positive, false_negative):
    y, scores = arrays(scored)
    cost = Cost(false_positive, false_negative)

    def price(threshold):
        said = scores >= threshold
        return (said & (y == 0)).sum() * false_positive + (~said & (y == 1)).sum() * false_negative

    chosen = price(best_threshold(y, scores, cost))
    assert chosen == min(price(threshold) for threshold in [*scores, 2.0])


def test_without_costs_the_threshold_is_a_half():
    assert best_threshold(np.array([0.0, 1.0]), np.array([0.1, 0.2]), None) == 0.5


def scored_by(noise, seed):
    random = np.random.default_rng(seed)
    truth = random.random(2000)
    y = (random.random(2000) < truth).astype(float)
    return y, truth + random.normal(0, noise, 2000)


def test_the_bootstrap_tells_a_better_model_from_an_equal_one():
    y, good = scored_by(0.0, 1)
    bad = good + np.random.default_rng(2).normal(0, 0.5, len(y))
    groups = [str(row) for row in range(len(y))]
    better = compare(metrics.roc_auc(y, good), metrics.roc_auc(y, bad), groups, len(y))
    assert better["ci_low"] > 0.02
    assert better["ci_low"] < better["difference"] < better["ci_high"]
    same = compare(metrics.roc_auc(y, good), metrics.roc_auc(y, good), groups, len(y))
    assert (same["difference"], same["ci_low"], same["ci_high"]) == (0, 0, 0)


def test_rows_of_one_entity_are_drawn_together():
    """Ten copies of each row are no more evidence than the rows themselves."""
    y, good = scored_by(0.1, 3)
    y, good = y[:200], good[:200]
    bad = good + np.random.default_rng(4).normal(0, 0.3, 200)

    def width(groups, y, good, bad):
        found = compare(metrics.roc_auc(y, good), metrics.roc_auc(y, bad), groups, len(y))
        return found["ci_high"] - found["ci_low"]

    once = width([str(row) for row in range(200)], y, good, bad)
    repeated = [str(row) for row in range(200)] * 10
    ten = width(repeated, np.tile(y, 10), np.tile(good, 10), np.tile(bad, 10))
    assert ten == pytest.approx(once, rel=0.15)
