"""What changed between two profiles, in effects that mean the same at every size."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from headrace_profiling import ColumnProfile, Profile, Thresholds, compare
from headrace_profiling.numbers import Numbers

RNG = np.random.default_rng(3)


def numbers(values, rows=None, kind="number"):
    values = np.asarray(values, float)
    rows = rows or len(values)
    kinds = {kind: len(values)} if len(values) else {}
    return ColumnProfile(rows, rows - len(values), kinds, Numbers.of(values))


def of(**columns):
    return Profile(next(iter(columns.values())).rows, columns)


def only(baseline, current, thresholds=None):
    (column,) = compare(of(x=baseline), of(x=current), thresholds).columns
    return column


def statuses(column):
    return {f.check: f.status for f in column.findings}


def exact_psi(one, other):
    """PSI over deciles of the first sample, as textbooks have it."""
    edges = np.quantile(one, np.arange(0.1, 1, 0.1))
    p, q = (np.bincount(np.searchsorted(edges, s), minlength=10) / len(s) for s in (one, other))
    p, q = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    return float(((q - p) * np.log(q / p)).sum())


SHAPES = {
    "normal": lambda shift: RNG.normal(0 + shift, 1, 20_000),
    "offset": lambda shift: RNG.normal(1e6 + shift, 1, 20_000),
    "skewed": lambda shift: RNG.lognormal(shift, 2, 20_000),
    "epochs": lambda shift: 1.76e9 + 86400 * RNG.exponential(1 + shift, 20_000),
    "counts": lambda shift: RNG.poisson(3 + shift, 20_000).astype(float),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0])
def test_numbers_are_compared_as_exactly_as_from_the_values(shape, shift):
    one, other = SHAPES[shape](0.0), SHAPES[shape](shift)
    found = only(numbers(one), numbers(other)).measures
    exact = stats.ks_2samp(one, other, method="asymp").statistic
    assert found["kolmogorov_smirnov"] == pytest.approx(exact, abs=2e-3)
    if shape != "counts":  # few values are compared one by one, not by deciles
        assert found["psi"] == pytest.approx(exact_psi(one, other), rel=0.05, abs=2e-3)


def test_an_effect_means_the_same_at_every_size():
    """A hair's breadth of drift is significant in a million rows, and still no drift."""
    few, many = (
        only(numbers(RNG.normal(0, 1, n)), numbers(RNG.normal(0.03, 1, n)))
        for n in (2000, 1_000_000)
    )
    assert few.status == many.status == "healthy"
    assert many.measures["kolmogorov_smirnov_p"] < 1e-6
    drifted = only(numbers(RNG.normal(0, 1, 2000)), numbers(RNG.normal(1, 1, 2000)))
    assert statuses(drifted)["psi"] == "drifted"
    assert "0.2 is the limit" in next(f.reason for f in drifted.findings if f.check == "psi")


@pytest.mark.parametrize(("rows", "expected"), [(5, "unsure"), (40, "unsure"), (2000, "healthy")])
def test_too_little_data_is_unsure_never_healthy(rows, expected):
    baseline, current = numbers(RNG.normal(0, 1, 10_000)), numbers(RNG.normal(0, 1, rows))
    assert only(baseline, current).status == expected
    assert compare(of(x=baseline), of(x=current)).status == expected


def test_what_is_plain_needs_few_rows():
    found = only(numbers(RNG.normal(0, 1, 10_000)), numbers(RNG.normal(50, 1, 60)))
    assert statuses(found)["psi"] == statuses(found)["out_of_range"] == "drifted"


def test_nothing_to_compare_is_unsure():
    assert compare(Profile(0, {}), Profile(0, {})).status == "unsure"
    empty = ColumnProfile(0, 0, {})
    assert only(numbers([1.0] * 100), empty).status == "unsure"


def test_nulls_nans_and_columns():
    values = RNG.normal(0, 1, 1000)
    holes = np.where(np.arange(1000) < 100, math.nan, values)
    assert statuses(only(numbers(values), numbers(values, rows=1200)))["nulls"] == "drifted"
    assert statuses(only(numbers(values), numbers(holes)))["not_finite"] == "drifted"
    gone = compare(of(x=numbers(values), y=numbers(values)), of(x=numbers(values), z=numbers([1])))
    assert {c.name: statuses(c) for c in gone.columns if c.name != "x"} == {
        "y": {"missing_column": "drifted"},
        "z": {"new_column": "drifted"},
    }
    assert gone.columns[-1].name == "x"  # the worst come first
    assert set(gone.reasons) == {"y: the column is missing", "z: the column is new"}
    json.dumps(gone.as_dict(), allow_nan=False)


def test_all_null_now():
    found = only(numbers(RNG.normal(0, 1, 1000)), ColumnProfile(1000, 1000, {}))
    assert found.status == "drifted"
    assert "nulls rose from 0.00% to 100.00%" in found.findings[0].reason


def test_constants():
    assert only(numbers([5.0] * 500), numbers([5.0] * 900)).status == "healthy"
    assert statuses(only(numbers([5.0] * 500), numbers([6.0] * 500)))["psi"] == "drifted"
    spread = only(numbers([5.0] * 5000), numbers(RNG.normal(5, 1, 5000)))
    assert statuses(spread)["psi"] == "drifted"


def test_an_integer_column_that_gets_fractions_keeps_its_type():
    one = numbers(np.arange(1000) % 7, kind="integer")
    assert "type" not in statuses(only(one, numbers(np.arange(1000) % 7)))
    assert statuses(only(one, ColumnProfile(2000, 0, {"timestamp": 2000}))) == {
        "type": "drifted",
        "nulls": "healthy",
        "not_finite": "healthy",
    }


def test_thresholds_are_optional():
    values, moved = RNG.normal(0, 1, 5000), RNG.normal(0.3, 1, 5000)
    assert only(numbers(values), numbers(moved), Thresholds(psi=None)).status == "healthy"
    strict = Thresholds(kolmogorov_smirnov=0.05, jensen_shannon=0.05, l_infinity=0.01)
    found = statuses(only(numbers(values), numbers(moved), strict))
    assert found["kolmogorov_smirnov"] == found["jensen_shannon"] == "drifted"
