"""Distances against scipy and plain formulas; noise against samples without drift."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from headrace_profiling import distances

counts = st.lists(st.integers(0, 500), min_size=2, max_size=12)
pairs = counts.flatmap(
    lambda one: st.tuples(
        st.just(one), st.lists(st.integers(0, 500), min_size=len(one), max_size=len(one))
    )
).filter(lambda pair: all(map(sum, pair)))


@given(pairs)
def test_chi_square_is_scipys(pair):
    table = np.array(pair)
    table = table[:, table.sum(axis=0) > 0]
    statistic, freedom = distances.chi_square(*pair)
    if table.shape[1] == 1:
        assert (statistic, freedom) == (0, 0)
        return
    expected = stats.chi2_contingency(table, correction=False)
    assert statistic == pytest.approx(expected.statistic, abs=1e-9)
    assert freedom == expected.dof
    assert distances.chi_square_p(statistic, freedom) == pytest.approx(expected.pvalue, abs=1e-12)
    cramer = stats.contingency.association(table, method="cramer")
    assert distances.cramers_v(*pair) == pytest.approx(cramer, abs=1e-9)


@given(pairs)
def test_jensen_shannon_is_scipys(pair):
    expected = jensenshannon(*pair, base=2)
    assert distances.jensen_shannon(*pair) == pytest.approx(expected, abs=1e-7)


@given(pairs)
def test_psi_is_its_formula(pair):
    p, q = (np.maximum(np.array(c) / sum(c), max(1e-4, 0.5 / sum(c))) for c in pair)
    expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert distances.psi(*pair) == pytest.approx(expected)
    assert distances.psi(*pair) >= 0


@given(pairs)
def test_kolmogorov_smirnov_is_scipys(pair):
    values = np.arange(len(pair[0]))
    expected = stats.ks_2samp(*(np.repeat(values, c) for c in pair), method="asymp")
    statistic = distances.kolmogorov_smirnov(*pair)
    assert statistic == pytest.approx(expected.statistic)
    rows = [sum(c) for c in pair]
    x = statistic * math.sqrt(rows[0] * rows[1] / sum(rows))
    assert distances.kolmogorov_smirnov_p(statistic, *rows) == pytest.approx(
        stats.kstwobign.sf(x), abs=1e-9
    )


@given(pairs)
def test_distances_of_the_same_are_zero_and_of_the_disjoint_are_one(pair):
    one = pair[0]
    assert distances.psi(one, one) == distances.l_infinity(one, one) == 0
    apart = ([*one, *[0] * len(one)], [*[0] * len(one), *one])
    for distance in (distances.jensen_shannon, distances.kolmogorov_smirnov, distances.cramers_v):
        assert distance(one, one) == pytest.approx(0, abs=1e-7)
        assert distance(*apart) == pytest.approx(1)


@pytest.mark.parametrize("rows", [(100, 100), (5000, 300), (300, 20_000)])
def test_chance_alone_stays_below_the_noise(rows):
    rng = np.random.default_rng(7)
    weights = np.full(10, 0.1)
    noise = {
        distances.psi: distances.psi_noise(10, *rows),
        distances.jensen_shannon: distances.jensen_shannon_noise(10, *rows),
        distances.kolmogorov_smirnov: distances.kolmogorov_smirnov_noise(*rows),
        distances.l_infinity: distances.l_infinity_noise(10, *rows),
        distances.cramers_v: distances.cramers_v_noise(10, *rows),
    }
    samples = [tuple(rng.multinomial(n, weights) for n in rows) for _ in range(1000)]
    for distance, most in noise.items():
        found = np.array([distance(*sample) for sample in samples])
        assert (found > most).mean() <= 0.01, distance.__name__
        # ... and it is no empty promise: chance gets to a third of it.
        assert found.max() > most / 3, distance.__name__
