"""constraints.json: what a dataset must be like, as Model Monitor's containers have it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_profiling.columns import ColumnProfile
from headrace_profiling.model_monitor.documents import inferred_type, read, write
from headrace_profiling.profiles import Profile

_DOMAIN = 100  # categories of a domain that is suggested


@dataclass(frozen=True)
class MonitoringConfig:
    """How constraints are judged, for all features or as one feature's overrides.

    `datatype_check_threshold` and `domain_content_threshold` are the least shares of values that
    are of the type and in the domain, the other two the largest distances. `comparison_method` is
    Simple, or Robust, which discounts chance; `categorical_drift_method` is kept as it is, and
    checked as LInfinity.
    """

    evaluate_constraints: bool = True
    emit_metrics: bool = True
    datatype_check_threshold: float = 1.0
    domain_content_threshold: float = 1.0
    perform_comparison: bool = True
    comparison_threshold: float = 0.1
    comparison_method: str = "Robust"
    categorical_comparison_threshold: float = 0.1
    categorical_drift_method: str = "LInfinity"


@dataclass(frozen=True)
class FeatureConstraints:
    """What one feature must be like; None: not constrained."""

    name: str
    inferred_type: str = "Unknown"
    completeness: float | None = None
    is_non_negative: bool | None = None
    domains: tuple[str, ...] | None = None
    config: MonitoringConfig = field(default_factory=MonitoringConfig)


@dataclass(frozen=True)
class Constraints:
    """A file's constraints; each feature's `config` has its overrides applied."""

    features: tuple[FeatureConstraints, ...]
    config: MonitoringConfig = field(default_factory=MonitoringConfig)


_SWITCHES = ("evaluate_constraints", "emit_metrics")
_SHARES = ("datatype_check_threshold", "domain_content_threshold")
_COMPARISON = (
    "comparison_threshold",
    "comparison_method",
    "categorical_comparison_threshold",
    "categorical_drift_method",
)


def suggest_constraints(profile: Profile, config: MonitoringConfig | None = None) -> Constraints:
    """Return constraints that the profile's data just meet, as Model Monitor's baselining does."""
    judged = config or MonitoringConfig()
    features = [_suggested(name, column, judged) for name, column in profile.columns.items()]
    return Constraints(tuple(features), judged)


def write_constraints(constraints: Constraints) -> str:
    """Return constraints.json."""
    features = [_feature(feature, constraints.config) for feature in constraints.features]
    config = _config(constraints.config)
    return write({"version": 0.0, "features": features, "monitoring_config": config})


def read_constraints(text: str | bytes) -> Constraints:
    """Return the constraints of a constraints.json, ours or Model Monitor's. Raises FormatError."""

    def parse(document: Mapping[str, Any]) -> Constraints:
        config = _judged(document.get("monitoring_config", {}), MonitoringConfig())
        features = tuple(_read_feature(entry, config) for entry in document["features"])
        return Constraints(features, config)

    return read(text, "constraints.json", parse)


def completeness(column: ColumnProfile) -> float:
    """Return the share of rows that have a value; NaN and infinities are none."""
    missing = column.nulls + column.nans + column.infinities
    return 1.0 - missing / column.rows if column.rows else 1.0


def _suggested(name: str, column: ColumnProfile, config: MonitoringConfig) -> FeatureConstraints:
    kind = inferred_type(column)
    numeric = kind in {"Integral", "Fractional"}
    domains = None
    if kind == "String" and column.texts and column.texts.frequent.complete:
        few = len(column.categories) <= min(_DOMAIN, column.texts.count // 10)
        domains = tuple(sorted(column.categories)) if few else None
    return FeatureConstraints(
        name=name,
        inferred_type=kind,
        completeness=completeness(column),
        is_non_negative=(column.minimum or 0.0) >= 0 if numeric else None,
        domains=domains,
        config=config,
    )


def _feature(feature: FeatureConstraints, config: MonitoringConfig) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": feature.name, "inferred_type": feature.inferred_type}
    if feature.completeness is not None:
        entry["completeness"] = feature.completeness
    if feature.is_non_negative is not None:
        entry["num_constraints"] = {"is_non_negative": feature.is_non_negative}
    if feature.domains is not None:
        entry["string_constraints"] = {"domains": list(feature.domains)}
    if feature.config != config:
        entry["monitoringConfigOverrides"] = _config(feature.config)
    return entry


def _read_feature(entry: Mapping[str, Any], config: MonitoringConfig) -> FeatureConstraints:
    domains = entry.get("string_constraints", {}).get("domains")
    return FeatureConstraints(
        name=entry["name"],
        inferred_type=entry.get("inferred_type", "Unknown"),
        completeness=entry.get("completeness"),
        is_non_negative=entry.get("num_constraints", {}).get("is_non_negative"),
        domains=tuple(domains) if domains else None,
        config=_judged(entry.get("monitoringConfigOverrides", {}), config),
    )


def _config(config: MonitoringConfig) -> dict[str, Any]:
    return {
        **{name: _word(getattr(config, name)) for name in _SWITCHES},
        **{name: getattr(config, name) for name in _SHARES},
        "distribution_constraints": {
            "perform_comparison": _word(config.perform_comparison),
            **{name: getattr(config, name) for name in _COMPARISON},
        },
    }


def _judged(entry: Mapping[str, Any], base: MonitoringConfig) -> MonitoringConfig:
    """Return the base with what an entry says of it."""
    rules = entry.get("distribution_constraints", {})
    found = {name: entry[name] for name in _SHARES if name in entry}
    found |= {name: rules[name] for name in _COMPARISON if name in rules}
    found |= {name: entry[name] == "Enabled" for name in _SWITCHES if name in entry}
    if "perform_comparison" in rules:
        found["perform_comparison"] = rules["perform_comparison"] == "Enabled"
    return MonitoringConfig(**{**vars(base), **found})


def _word(enabled: bool) -> str:
    return "Enabled" if enabled else "Disabled"
