"""Model Monitor's files, written, read and checked."""

import json

import numpy as np
import pytest

from headrace_profiling import FormatError, Profile, compare, model_monitor
from headrace_profiling.columns import ColumnProfile
from headrace_profiling.numbers import Numbers
from headrace_profiling.texts import Texts

RNG = np.random.default_rng(11)


def numbers(values, rows=None, kind="number"):
    values = np.asarray(values, float)
    rows = rows or len(values)
    return ColumnProfile(rows, rows - len(values), {kind: len(values)}, Numbers.of(values))


def texts(values):
    hashes = np.array([hash(v) & (2**64 - 1) for v in values], np.uint64)
    found = Texts.of(
        hashes,
        np.array([len(v) for v in values]),
        lambda rows: [values[row] for row in rows],
        "python",
    )
    return ColumnProfile(len(values), 0, {"string": len(values)}, texts=found)


# As Model Monitor's container writes it, one feature of each kind, shortened.
AWS_STATISTICS = {
    "version": 0.0,
    "dataset": {"item_count": 6},
    "features": [
        {
            "name": "amount",
            "inferred_type": "Fractional",
            "numerical_statistics": {
                "common": {"num_present": 5, "num_missing": 1},
                "mean": 3.0,
                "sum": 15.0,
                "std_dev": 1.4142135623730951,
                "min": 1.0,
                "max": 5.0,
                "distribution": {
                    "kll": {
                        "buckets": [{"lower_bound": 1.0, "upper_bound": 5.0, "count": 5.0}],
                        "sketch": {
                            "parameters": {"c": 0.64, "k": 2048.0},
                            "data": [[5.0], [1.0, 3.0]],
                        },
                    }
                },
            },
        },
        {
            "name": "region",
            "inferred_type": "String",
            "string_statistics": {
                "common": {"num_present": 6, "num_missing": 0},
                "distinct_count": 2.0,
                "distribution": {
                    "categorical": {
                        "buckets": [{"value": "a", "count": 4}, {"value": "b", "count": 2}]
                    }
                },
            },
        },
    ],
}


def test_a_baseline_of_model_monitor_becomes_a_profile():
    profile = model_monitor.read_statistics(json.dumps(AWS_STATISTICS))
    amount, region = profile.columns["amount"], profile.columns["region"]
    assert (profile.rows, amount.rows, amount.nulls) == (6, 6, 1)
    assert (amount.mean, amount.minimum, amount.maximum) == (3.0, 1.0, 5.0)
    assert amount.std == pytest.approx(2**0.5)
    assert [amount.quantile(q) for q in (0, 0.5, 1)] == [1, 3, 5]
    assert (region.categories, region.distinct) == ({"a": 4, "b": 2}, 2)
    assert Profile.from_json(profile.to_json()) == profile


def test_without_a_sketch_the_buckets_count():
    document = json.loads(json.dumps(AWS_STATISTICS))
    del document["features"][0]["numerical_statistics"]["distribution"]["kll"]["sketch"]
    found = model_monitor.read_statistics(json.dumps(document)).columns["amount"]
    assert found.quantile(0.5) == 3.0


@pytest.mark.parametrize("rows", [1, 2047, 2049, 100_001])
def test_statistics_survive_a_round_trip(rows):
    values = RNG.lognormal(0, 1, rows)
    profile = Profile(
        rows + 3,
        {
            "x": numbers(values, rows + 3),
            "i": numbers(np.arange(rows + 3) % 5, kind="integer"),
            "s": texts([f"v{i % 4}" for i in range(rows + 3)]),
            "n": ColumnProfile(rows + 3, rows + 3, {}),
        },
    )
    text = model_monitor.write_statistics(profile)
    feature = json.loads(text)["features"][0]["numerical_statistics"]
    sketch = feature["distribution"]["kll"]["sketch"]
    assert sum(len(items) << level for level, items in enumerate(sketch["data"])) == rows
    assert sum(b["count"] for b in feature["distribution"]["kll"]["buckets"]) == rows
    again = model_monitor.read_statistics(text)
    x = again.columns["x"]
    assert (x.rows, x.nulls, x.mean) == (rows + 3, 3, pytest.approx(values.mean()))
    assert x.std == pytest.approx(values.std(), abs=1e-12)
    assert again.columns["i"].type == "integer"
    assert again.columns["s"].categories == profile.columns["s"].categories
    if rows > 30:
        changed = compare(profile, again)
        ks = {c.name: c.measures.get("kolmogorov_smirnov", 0) for c in changed.columns}
        assert max(ks.values()) < 2e-3


def test_constraints_survive_a_round_trip():
    profile = Profile(
        100,
        {"x": numbers(np.arange(90) - 3, 100), "s": texts(["a", "b"] * 50), "u": texts([*"ab"])},
    )
    suggested = model_monitor.suggest_constraints(profile)
    assert model_monitor.read_constraints(model_monitor.write_constraints(suggested)) == suggested
    x, s, u = suggested.features
    assert (x.inferred_type, x.completeness, x.is_non_negative) == ("Fractional", 0.9, False)
    assert (s.domains, u.domains) == (("a", "b"), None)
    assert model_monitor.check(suggested, profile, profile) == []


def test_overrides_of_a_feature_count():
    text = json.dumps(
        {
            "version": 0,
            "features": [
                {
                    "name": "x",
                    "inferred_type": "Fractional",
                    "completeness": 1.0,
                    "monitoringConfigOverrides": {
                        "distribution_constraints": {"comparison_threshold": 0.9}
                    },
                },
                {"name": "y", "monitoringConfigOverrides": {"evaluate_constraints": "Disabled"}},
            ],
            "monitoring_config": {
                "distribution_constraints": {"comparison_method": "Simple"},
                "datatype_check_threshold": 0.5,
            },
        }
    )
    x, y = model_monitor.read_constraints(text).features
    assert (x.config.comparison_threshold, x.config.comparison_method) == (0.9, "Simple")
    assert (x.config.datatype_check_threshold, y.config.evaluate_constraints) == (0.5, False)


def test_every_violation_is_found():
    baseline = Profile(
        1000,
        {
            "x": numbers(RNG.normal(0, 1, 1000)),
            "i": numbers(np.arange(1000), kind="integer"),
            "s": texts(["a", "b"] * 500),
        },
    )
    current = Profile(
        1000,
        {
            "x": numbers(RNG.normal(2, 1, 900), 1000),
            "i": numbers(np.arange(1000) + 0.5),
            "s": texts(["a"] * 800 + ["c"] * 200),
            "new": numbers([1.0] * 1000),
        },
    )
    found = model_monitor.check(model_monitor.suggest_constraints(baseline), current, baseline)
    assert {(v.feature_name, v.constraint_check_type) for v in found} == {
        ("Extra columns", "extra_column_check"),
        ("x", "completeness_check"),
        ("x", "baseline_drift_check"),
        ("i", "data_type_check"),
        ("s", "categorical_values_check"),
        ("s", "baseline_drift_check"),
    }
    assert model_monitor.read_violations(model_monitor.write_violations(found)) == found
    del current.columns["new"], current.columns["s"]
    (missing, *_) = model_monitor.check(model_monitor.suggest_constraints(baseline), current)
    assert missing.constraint_check_type == "missing_column_check"


def test_the_robust_distance_discounts_chance():
    baseline = Profile(20, {"x": numbers(RNG.normal(0, 1, 20))})
    current = Profile(20, {"x": numbers(RNG.normal(0.3, 1, 20))})
    for method, few in (("Simple", 1), ("Robust", 0)):
        config = model_monitor.MonitoringConfig(comparison_method=method)
        constraints = model_monitor.suggest_constraints(baseline, config)
        assert len(model_monitor.check(constraints, current, baseline)) == few


@pytest.mark.parametrize("read", ["statistics", "constraints", "violations"])
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"features": [{}]}', '{"violations": [1]}'])
def test_another_document_is_refused(read, text):
    with pytest.raises(FormatError, match=f"{read}.json"):
        getattr(model_monitor, f"read_{read}")(text)
