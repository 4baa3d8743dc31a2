import json
import math
import statistics
from collections import Counter

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_profiling import measure as measuring
from headrace_profiling.measure import measure
from headrace_profiling.profile import SMALLEST_HASHES, ColumnProfile, merge

CONNECTION = duckdb.connect()
numbers = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True, width=32),
    st.integers(-1000, 1000).map(float),
)


def profile(values, type_="number"):
    physical = {"number": "DOUBLE", "string": "VARCHAR", "date": "DATE"}[type_]
    CONNECTION.execute(f"CREATE OR REPLACE TABLE t (x {physical})")
    if values:
        CONNECTION.execute(f"INSERT INTO t SELECT unnest(?::{physical}[])", [values])
    return measure(CONNECTION, "t", {"x": type_}, len(values))["x"]


@given(st.lists(numbers, max_size=60))
def test_counts_and_moments_are_those_of_python(values):
    found = profile(values)
    usable = [v for v in values if v is not None and math.isfinite(v)]
    assert found.rows == len(values)
    assert found.nulls == values.count(None)
    assert found.nans == sum(v is not None and math.isnan(v) for v in values)
    assert found.infinities == sum(v is not None and math.isinf(v) for v in values)
    assert found.count == len(usable) == sum(found.bins.values())
    assert found.distinct == len(set(usable))
    if not usable:
        assert found.mean is found.std is found.minimum is found.quantile(0.5) is None
        return
    assert (found.minimum, found.maximum) == (min(usable), max(usable))
    scale = max(abs(v) for v in usable)
    assert found.mean == pytest.approx(statistics.fmean(usable), abs=1e-9 * scale)
    assert found.std == pytest.approx(statistics.pstdev(usable), abs=1e-6 * scale)


@given(st.lists(numbers, max_size=60), st.lists(numbers, max_size=60))
def test_merging_is_profiling_all_at_once(one, other):
    merged, whole = profile(one).merge(profile(other)), profile(one + other)
    for name in ("rows", "nulls", "nans", "infinities", "minimum", "maximum", "bins", "hashes"):
        assert getattr(merged, name) == getattr(whole, name)
    if whole.mean is not None:
        scale = max(abs(whole.minimum), abs(whole.maximum))
        assert merged.mean == pytest.approx(whole.mean, abs=1e-9 * scale)
        assert merged.std == pytest.approx(whole.std, abs=1e-6 * scale)


@given(
    st.lists(st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6), min_size=1),
    st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
)
def test_quantiles_are_within_their_bound(values, share):
    exact = sorted(values)[int(share * (len(values) - 1))]
    assert profile(values).quantile(share) == pytest.approx(exact, rel=0.0111, abs=1e-12)


@given(st.lists(st.one_of(st.none(), st.text("abc", max_size=2))))
def test_categories_are_counted(values):
    found = profile(values, "string")
    assert found.categories == Counter(v for v in values if v is not None)
    assert list(found.categories.values()) == sorted(found.categories.values(), reverse=True)


@given(st.lists(numbers, max_size=30))
def test_a_profile_survives_json(values):
    found = profile(values)
    text = json.dumps(found.as_dict(), allow_nan=False)
    assert ColumnProfile.from_dict(json.loads(text)) == found


def test_many_distinct_values_are_estimated(monkeypatch):
    values = [float(i) for i in range(20_000)]
    found = profile(values)
    assert len(found.hashes) == SMALLEST_HASHES
    assert found.distinct == pytest.approx(20_000, rel=0.25)
    halves = profile(values[:12_000]).merge(profile(values[8_000:]))
    assert halves.distinct == found.distinct
    # A sample of the hashes gives the same smallest ones, and few values are seen all the same.
    monkeypatch.setattr(measuring, "_ALL_HASHES_ROWS", 1000)
    assert profile(values).hashes == found.hashes
    assert profile([1.0, 2.0, math.nan] * 7000).distinct == 2


def test_dates_have_bounds():
    found = profile(["2026-01-02", None, "2025-12-31"], "date")
    assert (found.minimum, found.maximum) == ("2025-12-31", "2026-01-02")
    assert found.distinct == 2


def test_tables_merge_column_by_column():
    one, other = {"x": profile([1.0])}, {"x": profile([3.0])}
    merged = merge([one, other])
    assert (merged["x"].mean, merged["x"].rows) == (2.0, 2)
    assert merge([]) == {}
