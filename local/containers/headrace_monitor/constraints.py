"""Constraints suggested from a dataset (constraints.json), and their violations.

Formats: "Schema for Constraints", "Schema for Violations". What AWS's image sets by default it sets
here: every value of the type, every known category, drift up to 0.1, the "Robust" distance.
"""

from __future__ import annotations

from typing import Any

from headrace_monitor.profile import (
    Column,
    categorical_distance,
    numerical_distance,
)

_DOMAIN = 100  # categories of a domain that is suggested
_DEFAULTS: dict[str, Any] = {
    "evaluate_constraints": "Enabled",
    "emit_metrics": "Enabled",
    "datatype_check_threshold": 1.0,
    "domain_content_threshold": 1.0,
    "distribution_constraints": {
        "perform_comparison": "Enabled",
        "comparison_threshold": 0.1,
        "comparison_method": "Robust",
        "categorical_comparison_threshold": 0.1,
        "categorical_drift_method": "LInfinity",
    },
}
Violation = dict[str, str]


def suggest(columns: list[Column]) -> dict[str, Any]:
    """Return constraints that the dataset just meets."""
    return {
        "version": 0.0,
        "features": [_suggested(column) for column in columns],
        "monitoring_config": _DEFAULTS,
    }


def _suggested(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": column.name,
        "inferred_type": column.inferred,
        "completeness": column.completeness,
    }
    if column.inferred in ("Integral", "Fractional"):
        entry["num_constraints"] = {"is_non_negative": bool((column.numbers >= 0).all())}
    elif column.inferred == "String" and len(column.counts) <= min(
        _DOMAIN, len(column.values) // 10
    ):
        entry["string_constraints"] = {"domains": sorted(column.counts)}
    return entry


def check(
    columns: list[Column], constraints: dict[str, Any], baseline: dict[str, Any] | None
) -> tuple[list[Violation], dict[str, float]]:
    """Return the violations, and the drift of each feature that has a baseline."""
    config = _merged(_DEFAULTS, constraints.get("monitoring_config", {}))
    wanted = {entry["name"]: entry for entry in constraints.get("features", [])}
    statistics = {entry["name"]: entry for entry in (baseline or {}).get("features", [])}
    found = _columns(len(columns), len(wanted)) if _enabled(config) else []
    drift: dict[str, float] = {}
    for column in columns:
        entry = wanted.get(column.name)
        if entry is None:
            continue
        own = _merged(config, entry.get("monitoringConfigOverrides", {}))
        if not _enabled(own):
            continue
        found += [
            violation
            for violation in (_completeness(column, entry), _type(column, entry, own))
            if violation
        ]
        found += _domain(column, entry, own)
        if column.name in statistics:
            found += _drift(column, statistics[column.name], own, drift)
    return found, drift


def _enabled(config: dict[str, Any]) -> bool:
    return bool(config["evaluate_constraints"] == "Enabled")


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **over}
    for name, value in base.items():
        if isinstance(value, dict) and isinstance(over.get(name), dict):
            merged[name] = {**value, **over[name]}
    return merged


def _columns(now: int, then: int) -> list[Violation]:
    if now == then:
        return []
    words = "missing" if now < then else "extra"
    return [
        _violation(
            f"{words.capitalize()} columns",
            f"{words}_column_check",
            f"There are {words} columns in current dataset. Number of columns in current dataset: "
            f"{now}, Number of columns in baseline constraints: {then}",
        )
    ]


def _completeness(column: Column, entry: dict[str, Any]) -> Violation | None:
    expected = entry.get("completeness", 0.0)
    if column.completeness >= expected:
        return None
    return _violation(
        column.name,
        "completeness_check",
        f"Data completeness requirement is not met. Expected completeness: {expected:.1%}. "
        f"Observed completeness: {column.completeness:.1%}.",
    )


def _type(column: Column, entry: dict[str, Any], config: dict[str, Any]) -> Violation | None:
    expected = entry.get("inferred_type", "Unknown")
    if expected in ("Unknown", "String") or not column.values:
        return None
    # A whole number is a fractional one too: writers of CSV drop the ".0".
    fitting = column.kinds["Integral"] + (
        column.kinds["Fractional"] if expected == "Fractional" else 0
    )
    share, threshold = fitting / len(column.values), config["datatype_check_threshold"]
    if share >= threshold:
        return None
    return _violation(
        column.name,
        "data_type_check",
        f"Data type match requirement is not met. Expected data type: {expected}, Expected match: "
        f"{threshold:.1%}. Observed: Only {share:.1%} of data is {expected}.",
    )


def _domain(column: Column, entry: dict[str, Any], config: dict[str, Any]) -> list[Violation]:
    domain = set(entry.get("string_constraints", {}).get("domains", []))
    if not domain or not column.values:
        return []
    known = sum(count for value, count in column.counts.items() if value in domain)
    share, threshold = known / len(column.values), config["domain_content_threshold"]
    if share >= threshold:
        return []
    unknown = sorted(set(column.counts) - domain)[:5]
    return [
        _violation(
            column.name,
            "categorical_values_check",
            f"Value domain requirement is not met. Expected match: {threshold:.1%}. Observed: Only "
            f"{share:.1%} of data is in the domain. Unknown values: {', '.join(unknown)}.",
        )
    ]


def _drift(
    column: Column, entry: dict[str, Any], config: dict[str, Any], drift: dict[str, float]
) -> list[Violation]:
    rules = config["distribution_constraints"]
    if rules["perform_comparison"] != "Enabled":
        return []
    robust = rules["comparison_method"] == "Robust"
    if "numerical_statistics" in entry:
        distance = numerical_distance(column, entry, robust)
        threshold = rules["comparison_threshold"]
    else:
        distance = categorical_distance(column, entry, robust)
        threshold = rules["categorical_comparison_threshold"]
    if distance is None:
        return []
    drift[column.name] = distance
    if distance <= threshold:
        return []
    return [
        _violation(
            column.name,
            "baseline_drift_check",
            f"Baseline drift distance: {distance} exceeds threshold: {threshold}",
        )
    ]


def _violation(feature: str, check: str, description: str) -> Violation:
    return {
        "feature_name": feature,
        "constraint_check_type": check,
        "description": description,
    }
