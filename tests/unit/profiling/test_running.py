"""Columns read batch by batch are what they are at once, however their values change meanwhile."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_profiling.histogram import Histogram, mix, ordered_bits
from headrace_profiling.numbers import Numbers
from headrace_profiling.running import RunningNumbers
from headrace_profiling.sketches import Distinct
from headrace_profiling.texts import RunningTexts

ROWS = 6000
RNG = np.random.default_rng
SHAPES = {
    "normal": lambda rng: rng.normal(0, 1, ROWS),
    "positive": lambda rng: rng.lognormal(3, 1, ROWS),
    "prices": lambda rng: rng.integers(0, 10**6, ROWS) / 100,
    "whole": lambda rng: rng.integers(-50, 50, ROWS).astype(float),
    "more and more": lambda rng: np.arange(ROWS) ** 2.0,
    "whole, then fractions": lambda rng: np.r_[np.arange(ROWS / 2), rng.random(ROWS // 2)],
    "exact, then many": lambda rng: np.r_[np.full(ROWS // 2, 7.0), rng.normal(7, 1, ROWS // 2)],
    "all sizes": lambda rng: 10 ** rng.uniform(-300, 300, ROWS) * rng.choice([-1, 1], ROWS),
    "jumping": lambda rng: np.r_[rng.random(ROWS // 2), 1e9 + rng.random(ROWS // 2)],
    "holes": lambda rng: rng.choice([math.nan, math.inf, -math.inf, 1.5, -2.5], ROWS),
    "times": lambda rng: 1.76e9 + rng.integers(0, 10**6, ROWS),
    "zeros": lambda rng: rng.choice([-0.0, 0.0, 1.0], ROWS),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_in_batches_are_the_same(shape):
    for seed in range(4):
        rng = RNG(seed)
        values = SHAPES[shape](rng)
        running = RunningNumbers()
        for part in np.split(values, np.sort(rng.integers(0, ROWS, rng.integers(1, 30)))):
            running.add(part)
        found = Numbers.found(running)
        finite = values[np.isfinite(values)]
        bits = ordered_bits(finite)
        assert found.bins == Histogram.of(bits)
        assert found.distinct == Distinct.of(mix(bits))
        assert (found.count, found.values) == (len(finite), ROWS)
        assert (found.minimum, found.maximum) == (finite.min(), finite.max())
        assert found.whole == (np.rint(finite) == finite).sum()
        if shape != "all sizes":  # whose squares have no float64
            mean = math.fsum(finite) / len(finite)
            assert found.mean == pytest.approx(mean, abs=1e-14 * np.abs(finite).max())
            assert found.std == pytest.approx(finite.std(), rel=1e-9)


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 400), max_size=40), min_size=1, max_size=6),
    st.sampled_from([1, 20, 400]),
    st.booleans(),
)
def test_texts_in_batches_are_the_same(parts, different, crowded):
    """Also when hashes share the slots of the table (`crowded`)."""
    parts = [[f"é{i % different}" for i in part] for part in parts]

    def hashed(words):
        few = 3 if crowded else 2**14
        numbers = np.array([int(word[1:]) for word in words], np.int64)
        return (mix(numbers) >> np.uint64(14)) | (
            (numbers % few).astype(np.uint64) << np.uint64(50)
        )

    def read(batches):
        running = RunningTexts("test")
        for words in batches:
            running.add(
                hashed(words),
                lambda rows, words=words: np.array([len(w) for w in words], np.int64)[rows],
                lambda rows, words=words: [words[row] for row in rows],
            )
        return running.found()

    words = [word for part in parts for word in part]
    found, whole = read(parts), read([words])
    assert found.count == len(words)
    assert found.characters == sum(map(len, words))
    assert (found.buckets == whole.buckets).all()
    assert found.distinct == whole.distinct == Distinct.of(hashed(words))
    true = Counter(words)
    assert found.frequent.complete == (len(true) <= 256)
    for word, count in true.items():
        assert count - found.frequent.missed <= found.frequent.counts.get(word, 0) <= count
