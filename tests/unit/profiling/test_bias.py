"""Bias measures against their published formulas, and examples of the developer guide."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.neighbors import KNeighborsClassifier

from headrace_profiling.attribution import global_attributions, ndcg
from headrace_profiling.bias import Facet, fliptest

rows = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from("xyz")), min_size=1
)


def facet(found):
    d, y, z, strata = (list(side) for side in zip(*found, strict=True))
    return Facet.of(d, y, True, z, strata)


def over(part, whole):
    return part / whole if whole else (math.inf if part else 0.0)


def apart(one, other):
    return 0.0 if one == other else one - other


@given(rows)
def test_measures_are_their_formulas(found):
    """Each formula as the page of the measure has it, from boolean arrays."""
    d, y, z = (np.array([row[i] for row in found]) for i in range(3))
    strata = np.array([row[3] for row in found])
    counted = facet(found)
    if d.all() or not d.any():
        assert set(counted.pre_training().values()) == {None}
        assert set(counted.post_training().values()) == {None}
        return
    a = ~d
    pre, post = counted.pre_training(), counted.post_training()
    p, q = ([np.mean(y[side] == v) for v in (False, True)] for side in (a, d))
    assert pre["CI"] == pytest.approx((a.sum() - d.sum()) / len(d))
    assert pre["DPL"] == pytest.approx(y[a].mean() - y[d].mean())
    if min(*p, *q) > 0:
        assert pre["KL"] == pytest.approx(stats.entropy(p, q), abs=1e-12)
        assert pre["JS"] == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-9)
    assert pre["LP"] == pytest.approx(np.linalg.norm(np.subtract(p, q), 2))
    assert pre["TVD"] == pytest.approx(np.linalg.norm(np.subtract(p, q), 1) / 2)
    assert pre["KS"] == pytest.approx(np.abs(np.subtract(p, q)).max())
    assert post["DPPL"] == pytest.approx(z[a].mean() - z[d].mean())
    assert post["DI"] == pytest.approx(over(z[d].mean(), z[a].mean()))
    assert post["DCA"] == pytest.approx(
        apart(over(y[a].sum(), z[a].sum()), over(y[d].sum(), z[d].sum()))
    )
    assert post["DCR"] == pytest.approx(
        apart(over((~y[d]).sum(), (~z[d]).sum()), over((~y[a]).sum(), (~z[a]).sum()))
    )
    rate = {
        "RD": lambda s: over((y & z)[s].sum(), y[s].sum()),
        "SD": lambda s: -over((~y & ~z)[s].sum(), (~y)[s].sum()),
        "DAR": lambda s: over((y & z)[s].sum(), z[s].sum()),
        "DRR": lambda s: -over((~y & ~z)[s].sum(), (~z)[s].sum()),
        "AD": lambda s: (y == z)[s].mean(),
        "TE": lambda s: -over((y & ~z)[s].sum(), (~y & z)[s].sum()),
    }
    for name, of in rate.items():
        assert post[name] == pytest.approx(apart(of(a), of(d))), name
    for name, label in (("CDDL", y), ("CDDPL", z)):
        measured = pre[name] if name == "CDDL" else post[name]
        if label.all() or not label.any():
            assert measured is None
            continue
        disparity = 0.0
        for stratum in set(strata):
            inside = strata == stratum
            share = [
                over((d & inside & side).sum(), (inside & side).sum()) for side in (~label, label)
            ]
            disparity += inside.mean() * (share[0] - share[1])
        assert measured == pytest.approx(disparity)
    benefit = z.astype(int) - y + 1.0
    if benefit.any():
        expected = ((benefit / benefit.mean()) ** 2 - 1).sum() / (2 * len(y))
        assert post["GE"] == pytest.approx(expected)


@given(rows, rows)
def test_counts_merge_and_survive_json(one, other):
    merged = facet(one) + facet(other)
    assert merged == facet(one + other)
    assert Facet.from_dict(json.loads(json.dumps(merged.as_dict()))) == merged


def test_examples_of_the_developer_guide():
    """DCR, example 1: 60 of 100 and 30 of 50 predicted rejections, 50 and 40 observed."""
    y = [False] * 50 + [True] * 50 + [False] * 40 + [True] * 10
    z = [False] * 60 + [True] * 40 + [False] * 30 + [True] * 20
    found = Facet.of([False] * 100 + [True] * 50, y, True, z).post_training()
    assert found["DCR"] == pytest.approx(40 / 30 - 50 / 60)
    assert found["DPPL"] == 0


def test_labels_of_several_values_before_training():
    """Without predictions the post-training measures are unknown, not zero."""
    found = Facet.of([True, True, False, False], ["a", "b", "b", "c"], "b")
    assert found.pre_training()["TVD"] == 0.5
    assert set(found.post_training().values()) == {None}


@pytest.mark.parametrize("others", [7, 60])
def test_the_fliptest_asks_the_nearest_neighbours(others):
    rng = np.random.default_rng(5)
    x = rng.normal(0, 1, (others + 40, 3))
    group = np.arange(len(x)) >= others
    said = rng.random(len(x)) < np.where(group, 0.3, 0.7)
    model = KNeighborsClassifier(5 if others > 10 else 1).fit(x[~group], said[~group])
    expected = (model.predict(x[group]).sum() - said[group].sum()) / 40
    assert fliptest(x, group, said) == pytest.approx(expected)
    assert fliptest(x, np.zeros(len(x)), said) is None


def test_attributions_drift_as_in_the_developer_guide():
    """The guide's example: the ranking of three features is reversed."""
    training = {"SAT score": 0.70, "GPA": 0.50, "Class rank": 0.05}
    live = {"SAT score": 0.10, "GPA": 0.20, "Class rank": 0.70}
    ideal = 0.70 / math.log2(2) + 0.50 / math.log2(3) + 0.05 / math.log2(4)
    reversed_ = 0.05 / math.log2(2) + 0.50 / math.log2(3) + 0.70 / math.log2(4)
    assert ndcg(training, live) == pytest.approx(reversed_ / ideal)
    assert ndcg(training, live) < 0.9
    assert ndcg(training, {name: 2 * value for name, value in training.items()}) == 1
    assert ndcg({"x": 0.0}, {"x": 1.0}) is None
    assert ndcg(training, {"new": 9.0, **training}) < 0.9


def test_global_attributions():
    assert global_attributions([[1.0, -2.0], [-3.0, 0.0]], ["a", "b"]) == {"a": 2.0, "b": 1.0}
    with pytest.raises(ValueError, match="column per feature"):
        global_attributions([[1.0]], ["a", "b"])
