"""Columns of every kind: what Python says of the values, and that any split merges to the same."""

import json
import math
import statistics
from collections import Counter

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_profiling import ColumnProfile, FormatError, Profile
from headrace_profiling.histogram import MOST_BINS, Histogram, ordered_bits
from headrace_profiling.measure import TEXT_OF_NUMBERS, measure
from headrace_profiling.texts import Texts

CONNECTION = duckdb.connect()
PHYSICAL = {"number": "DOUBLE", "string": "VARCHAR", "date": "DATE", "timestamp": "TIMESTAMP"}
numbers = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True, width=64),
    st.integers(-1000, 1000).map(float),
)
texts = st.one_of(st.none(), st.text("abcé\u2003😀1.", max_size=3))


def of(values, type_="number", physical=None):
    physical = physical or PHYSICAL[type_]
    CONNECTION.execute(f"CREATE OR REPLACE TABLE t (x {physical})")
    if values:
        CONNECTION.execute(f"INSERT INTO t SELECT unnest(?::{physical}[])", [values])
    return measure(CONNECTION, "t", {"x": type_}).columns["x"]


def sql(query, type_):
    CONNECTION.execute(f"CREATE OR REPLACE VIEW v AS {query}")
    return measure(CONNECTION, "v", {"x": type_}).columns["x"]


def joined(parts):
    return [value for part in parts for value in part]


def without_moments(column):
    """What merges exactly: everything but the last digits of sums."""
    found = column.as_dict()
    found.pop("summary")
    if found["numbers"]:
        del found["numbers"]["total"], found["numbers"]["squares"]
    return found


@given(st.lists(numbers, max_size=60))
def test_counts_and_moments_are_those_of_python(values):
    found = of(values)
    usable = [v for v in values if v is not None and math.isfinite(v)]
    assert (found.rows, found.nulls) == (len(values), values.count(None))
    assert found.nans == sum(v is not None and math.isnan(v) for v in values)
    assert found.infinities == sum(v is not None and math.isinf(v) for v in values)
    assert found.distinct == len(set(usable))
    if not usable:
        assert found.mean is found.std is found.minimum is found.quantile(0.5) is None
        return
    assert (found.minimum, found.maximum) == (min(usable), max(usable))
    scale = max(abs(v) for v in usable)
    if scale == 0 or 1e-140 < scale < 1e150:  # beyond, squares have no float64
        assert found.mean == pytest.approx(statistics.fmean(usable), abs=1e-14 * scale)
        assert found.std == pytest.approx(statistics.pstdev(usable), abs=1e-7 * scale)


def splits(elements):
    return st.lists(st.lists(elements, max_size=25), min_size=1, max_size=5)


@given(splits(numbers))
def test_any_split_of_numbers_merges_to_the_same(parts):
    merged, whole = of(parts[0]), of(joined(parts))
    for part in parts[1:]:
        merged = of(part).merge(merged)  # in another order, too
    assert without_moments(merged) == without_moments(whole)
    if whole.mean is not None and max(abs(whole.minimum), abs(whole.maximum)) < 1e150:
        scale = max(abs(whole.minimum), abs(whole.maximum))
        assert merged.mean == pytest.approx(whole.mean, abs=1e-14 * scale)
        assert merged.std == pytest.approx(whole.std, abs=1e-7 * scale)


@given(splits(texts), st.sampled_from(["string", TEXT_OF_NUMBERS]))
def test_any_split_of_texts_merges_to_the_same(parts, type_):
    merged, whole = of(parts[0], type_, "VARCHAR"), of(joined(parts), type_, "VARCHAR")
    for part in parts[1:]:
        merged = merged.merge(of(part, type_, "VARCHAR"))
    assert without_moments(merged) == without_moments(whole)
    if type_ == "string":
        assert whole.categories == Counter(v for v in joined(parts) if v is not None)


@given(st.integers(0, 2**32), st.sampled_from(["normal", "lognormal", "epochs", "ids", "mixture"]))
def test_any_split_has_the_same_bins_when_they_are_too_many(seed, shape):
    rng = np.random.default_rng(seed)
    values = {
        "normal": lambda: rng.normal(0, 1, 9000),
        "lognormal": lambda: rng.lognormal(0, 4, 9000),
        "epochs": lambda: 1.7e9 + rng.uniform(0, 3e6, 9000),
        "ids": lambda: np.arange(9000.0) + 10**12,
        "mixture": lambda: np.where(rng.random(9000) < 0.9, 0, rng.normal(1e6, 1, 9000)),
    }[shape]()
    whole = Histogram.of(ordered_bits(values))
    assert whole.total == 9000
    assert len(whole.keys) <= MOST_BINS
    cuts = np.sort(rng.integers(0, 9000, 3))
    merged = Histogram.empty()
    for part in np.split(np.sort(values) if seed % 2 else values, cuts):
        merged = Histogram.of(ordered_bits(part), merged.shift).merge(merged)
    assert merged == whole


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1),
    st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
)
def test_quantiles_of_few_values_are_exact(values, share):
    exact = sorted(values)[int(share * (len(values) - 1))]
    assert of(values).quantile(share) == exact


@pytest.mark.parametrize("spread", ["normal() * 3", "exp(normal() * 4)", "1.7e9 + 1e6 * normal()"])
def test_quantiles_of_many_values_are_within_their_bound(spread):
    normal = "sqrt(-2 * ln(1 - random())) * cos(6.283185307179586 * random())"
    CONNECTION.execute("SELECT setseed(0.5)")
    CONNECTION.execute(
        f"CREATE OR REPLACE TABLE v AS SELECT {spread.replace('normal()', normal)} AS x "
        "FROM range(200000)"
    )
    values = np.sort(CONNECTION.execute("SELECT x FROM v").fetchnumpy()["x"])
    found = measure(CONNECTION, "v", {"x": "number"}).columns["x"]
    CONNECTION.execute("DROP TABLE v")
    error = found.numbers.bins.relative_error
    assert error <= 2**-5
    for share in (0.001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999):
        exact = values[int(share * (len(values) - 1))]
        assert found.quantile(share) == pytest.approx(exact, rel=error)
    assert found.distinct == pytest.approx(200_000, rel=0.07)  # three standard errors
    assert found.mean == pytest.approx(math.fsum(values) / len(values), rel=1e-12)
    assert found.std == pytest.approx(values.std(), rel=1e-9)


@given(st.lists(st.one_of(numbers, texts), max_size=30))
def test_a_profile_survives_json(values):
    mixed = of([None if v is None else str(v) for v in values], TEXT_OF_NUMBERS, "VARCHAR")
    profile = Profile(mixed.rows, {"x": mixed})
    assert Profile.from_json(profile.to_json()) == profile
    assert ColumnProfile.from_dict(json.loads(json.dumps(mixed.as_dict()))) == mixed


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', '{"version": 1, "rows": 1}'])
def test_another_document_is_no_profile(text):
    with pytest.raises(FormatError):
        Profile.from_json(text)


def test_ten_thousand_categories():
    """The frequent ones are found, with what was missed of each; the others are estimated."""
    query = "SELECT 'c' || least(i % 20_000, i % 50) AS x FROM range(100_000) t(i)"
    few = sql(query, "string")
    assert (few.distinct, few.texts.frequent.missed) == (50, 0)
    many = sql(
        "SELECT 'é' || CASE WHEN i % 4 = 0 THEN 0 ELSE i % 10_000 END AS x "
        "FROM range(100_000) t(i)",
        "string",
    )
    frequent = many.texts.frequent
    assert many.distinct == pytest.approx(7501, rel=0.07)
    assert 0 < frequent.missed < 100_000 / 257
    exact = 25_000
    assert exact - frequent.missed <= frequent.counts["é0"] <= exact
    assert len(json.dumps(many.as_dict())) < 8000
    assert many.texts.buckets.sum() == 100_000
    for value, count in frequent.counts.items():
        true = exact if value == "é0" else 10
        assert true - frequent.missed <= count <= true


@settings(max_examples=15)
@given(splits(st.sampled_from([f"v{i}" for i in range(400)])))
def test_frequent_values_merge_within_their_bound(parts):
    parts = [[*part, *(f"w{i}" for i in range(200))] for part in parts]
    merged = of(parts[0], "string")
    for part in parts[1:]:
        merged = merged.merge(of(part, "string"))
    true = Counter(joined(parts))
    frequent = merged.texts.frequent
    assert frequent.missed <= merged.present / 257
    for value, count in true.items():
        assert count - frequent.missed <= frequent.counts.get(value, 0) <= count


def test_hashes_of_another_engine_are_not_merged():
    old = of(["a", "b"] * 300, "string")
    new = Texts.from_dict(old.texts.as_dict() | {"hasher": "duckdb:other"})
    merged = old.texts.merge(new)
    assert merged.frequent.counts == {"a": 600, "b": 600}
    assert (merged.hasher, merged.buckets.sum()) == ("", 0)


WEIRD = [
    ([None, None], "number", {"type": "null", "nulls": 2, "distinct": 0, "mean": None}),
    ([], "number", {"type": "null", "rows": 0, "distinct": 0}),
    ([7.0], "number", {"mean": 7.0, "std": 0.0, "distinct": 1}),
    ([3.5] * 9, "number", {"mean": 3.5, "std": 0.0, "distinct": 1, "minimum": 3.5}),
    ([math.inf, -math.inf, math.nan, 1.0], "number", {"infinities": 2, "nans": 1, "mean": 1.0}),
    ([math.inf], "number", {"infinities": 1, "mean": None, "minimum": None, "distinct": 0}),
    ([1e308, 1e308], "number", {"mean": None, "maximum": 1e308, "distinct": 1}),
    ([0.0, -0.0], "number", {"distinct": 1, "mean": 0.0}),
    (["2026-01-02", None], "date", {"type": "date", "minimum": 1767312000.0, "nulls": 1}),
    (["1969-12-31 23:59:59.5", "infinity"], "timestamp", {"minimum": -0.5, "infinities": 1}),
    (["", "ß", "\u0000"], "string", {"distinct": 3, "type": "string"}),
]


@pytest.mark.parametrize(("values", "type_", "expected"), WEIRD)
def test_weird_columns(values, type_, expected):
    found = of(values, type_)
    assert {name: getattr(found, name) for name in expected} == expected
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("query", "type_", "expected"),
    [
        ("SELECT (i / 100)::DECIMAL(9, 2) AS x FROM range(300) t(i)", "number", (0.0, 2.99, 300)),
        ("SELECT i % 2 = 0 AS x FROM range(9) t(i)", "boolean", (None, None, 2)),
        ("SELECT i * 1000 + 10::HUGEINT^15 AS x FROM range(9) t(i)", "integer", (1e15, None, 9)),
        ("SELECT [i] AS x FROM range(9) t(i)", "string", (None, None, 9)),
        ("SELECT i::DOUBLE AS x FROM range(-3000, 3000) t(i)", "number", (-3000.0, 2999.0, 6000)),
    ],
)
def test_physical_types(query, type_, expected):
    found = sql(query, type_)
    assert found.minimum == expected[0]
    assert expected[1] in (None, found.maximum)
    assert found.distinct == pytest.approx(expected[2], rel=0.05)


def test_mixed_types_are_told_apart():
    found = of(["1", "2.5", "n/a", None, "3"], TEXT_OF_NUMBERS, "VARCHAR")
    assert found.kinds == {"integer": 2, "number": 1, "string": 1}
    assert (found.mean, found.categories, found.nulls) == (6.5 / 3, {"n/a": 1}, 1)
    assert found.type == "string"  # a quarter is no number
    mostly = of(["1.5"] * 19 + ["n/a"], TEXT_OF_NUMBERS, "VARCHAR")
    assert mostly.type == "number"


def test_lengths_are_characters():
    found = of(["é", "", None, "😀ab", "plain"], "string").texts
    assert (found.shortest, found.longest, found.characters) == (0, 5, 9)


def test_tables_merge_column_by_column():
    one, other = Profile(1, {"x": of([1.0])}), Profile(1, {"x": of([3.0]), "y": of([1.0])})
    merged = one + other
    assert (merged.rows, merged.columns["x"].mean, merged.columns["x"].rows) == (2, 2.0, 2)
    assert merged.columns["y"].rows == 1
