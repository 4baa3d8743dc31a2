"""constraint_violations.json, and which constraints a profile violates.

The distances are those of Model Monitor's engine (Deequ, com.amazon.deequ.analyzers.Distance):
the largest difference of cumulative shares for numbers and of shares for categories; Robust takes
off 1.8 sqrt((n + m) / (n m)), what samples of n and m values differ by chance.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from headrace_profiling.columns import ColumnProfile
from headrace_profiling.distances import kolmogorov_smirnov
from headrace_profiling.histogram import together
from headrace_profiling.model_monitor.constraints import (
    Constraints,
    FeatureConstraints,
    completeness,
)
from headrace_profiling.model_monitor.documents import read, write
from headrace_profiling.profiles import Profile


@dataclass(frozen=True)
class Violation:
    """One violated constraint of one feature."""

    feature_name: str
    constraint_check_type: str
    description: str


def write_violations(violations: list[Violation]) -> str:
    """Return constraint_violations.json."""
    return write({"violations": [asdict(violation) for violation in violations]})


def read_violations(text: str | bytes) -> list[Violation]:
    """Return the violations of a constraint_violations.json. Raises FormatError."""

    def parse(document: Mapping[str, Any]) -> list[Violation]:
        names = Violation.__dataclass_fields__
        return [Violation(**{n: v[n] for n in names}) for v in document["violations"]]

    return read(text, "constraint_violations.json", parse)


def check(
    constraints: Constraints, current: Profile, baseline: Profile | None = None
) -> list[Violation]:
    """Return what `current` violates; drift is checked of features that `baseline` has."""
    found = _columns(constraints, current) if constraints.config.evaluate_constraints else []
    for feature in constraints.features:
        column = current.columns.get(feature.name)
        if column is None or not feature.config.evaluate_constraints:
            continue
        found += _completeness(feature, column) + _data_type(feature, column)
        found += _domain(feature, column)
        if baseline and feature.name in baseline.columns and feature.config.perform_comparison:
            found += _drift(feature, baseline.columns[feature.name], column)
    return found


def _columns(constraints: Constraints, current: Profile) -> list[Violation]:
    then, now = len(constraints.features), len(current.columns)
    if then == now:
        return []
    words = "missing" if now < then else "extra"
    description = (
        f"There are {words} columns in current dataset. Number of columns in current dataset: "
        f"{now}, Number of columns in baseline constraints: {then}"
    )
    return [Violation(f"{words.capitalize()} columns", f"{words}_column_check", description)]


def _completeness(feature: FeatureConstraints, column: ColumnProfile) -> list[Violation]:
    observed = completeness(column)
    if feature.completeness is None or observed >= feature.completeness:
        return []
    description = (
        "Data completeness requirement is not met. Expected completeness: "
        f"{feature.completeness:.1%}. Observed completeness: {observed:.1%}."
    )
    return [Violation(feature.name, "completeness_check", description)]


def _data_type(feature: FeatureConstraints, column: ColumnProfile) -> list[Violation]:
    wanted = feature.inferred_type
    if wanted not in {"Integral", "Fractional"} or not column.present:
        return []
    # A whole number is a fractional one too: writers of CSV drop the ".0".
    whole = column.numbers.whole if column.numbers else 0
    numbers = column.numbers.values if column.numbers else 0
    share = (numbers if wanted == "Fractional" else whole) / column.present
    threshold = feature.config.datatype_check_threshold
    if share >= threshold:
        return []
    description = (
        f"Data type match requirement is not met. Expected data type: {wanted}, Expected match: "
        f"{threshold:.1%}. Observed: Only {share:.1%} of data is {wanted}."
    )
    return [Violation(feature.name, "data_type_check", description)]


def _domain(feature: FeatureConstraints, column: ColumnProfile) -> list[Violation]:
    if feature.domains is None or not column.texts:
        return []
    counts, domain = column.texts.frequent.counts, set(feature.domains)
    known = sum(n for value, n in counts.items() if value in domain)
    share, threshold = known / column.texts.count, feature.config.domain_content_threshold
    if share >= threshold:
        return []
    unknown = ", ".join(sorted(set(counts) - domain)[:5])
    description = (
        f"Value domain requirement is not met. Expected match: {threshold:.1%}. Observed: Only "
        f"{share:.1%} of data is in the domain. Unknown values: {unknown}."
    )
    return [Violation(feature.name, "categorical_values_check", description)]


def _drift(
    feature: FeatureConstraints, baseline: ColumnProfile, column: ColumnProfile
) -> list[Violation]:
    config = feature.config
    if baseline.numbers:
        found, threshold = _numeric_distance(baseline, column), config.comparison_threshold
    else:
        found = _categorical_distance(baseline, column)
        threshold = config.categorical_comparison_threshold
    if found is None:
        return []
    distance, n, m = found
    if config.comparison_method == "Robust":
        distance = max(0.0, distance - 1.8 * math.sqrt((n + m) / (n * m)))
    if distance <= threshold:
        return []
    description = f"Baseline drift distance: {distance} exceeds threshold: {threshold}"
    return [Violation(feature.name, "baseline_drift_check", description)]


def _numeric_distance(
    baseline: ColumnProfile, column: ColumnProfile
) -> tuple[float, int, int] | None:
    if not baseline.numbers or not column.numbers:
        return None
    one, other = together(baseline.numbers.bins, column.numbers.bins)
    if not one.total or not other.total:
        return None
    return kolmogorov_smirnov(one.counts, other.counts), one.total, other.total


def _categorical_distance(
    baseline: ColumnProfile, column: ColumnProfile
) -> tuple[float, int, int] | None:
    then, now = baseline.categories, column.categories
    if not then or not column.texts or not now:
        return None
    n, m = sum(then.values()), column.texts.count
    distance = max(abs(then.get(value, 0) / n - now.get(value, 0) / m) for value in {*then, *now})
    return distance, n, m
