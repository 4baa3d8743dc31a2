"""What changed between two profiles: effect sizes, findings with reasons in words, a status.

A finding is `drifted` when an effect is above its threshold and above what chance alone gives in as
many rows, `unsure` when there are too few rows to tell, else `healthy`. Thresholds are of effects:
they mean the same at a thousand rows and at a billion.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from headrace_profiling import distances
from headrace_profiling.buckets import Buckets, bucket
from headrace_profiling.columns import ColumnProfile
from headrace_profiling.findings import SEVERITY, Finding, Status, Thresholds, find
from headrace_profiling.histogram import together
from headrace_profiling.profiles import Profile


@dataclass(frozen=True)
class ColumnComparison:
    """One column in both profiles: `measures` has every number, `buckets` what they are of."""

    name: str
    findings: tuple[Finding, ...]
    measures: Mapping[str, float] = field(default_factory=dict)
    buckets: Buckets | None = None

    @property
    def status(self) -> Status:
        """The worst finding's."""
        return _worst([f.status for f in self.findings], "healthy")


@dataclass(frozen=True)
class Comparison:
    """All columns of both profiles, the worst first."""

    columns: tuple[ColumnComparison, ...]

    @property
    def status(self) -> Status:
        """The worst column's; unsure without any."""
        return _worst([c.status for c in self.columns], "unsure")

    @property
    def reasons(self) -> list[str]:
        """Why the status is not healthy, the worst first."""
        found = [(c.name, f) for c in self.columns for f in c.findings if f.status != "healthy"]
        found.sort(key=lambda item: -SEVERITY[item[1].status])
        return [f"{name}: {finding.reason}" for name, finding in found]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        columns = {
            c.name: {
                "status": c.status,
                "measures": dict(c.measures),
                "findings": [asdict(finding) for finding in c.findings],
            }
            for c in self.columns
        }
        return {"status": self.status, "reasons": self.reasons, "columns": columns}


def compare(
    baseline: Profile, current: Profile, thresholds: Thresholds | None = None
) -> Comparison:
    """Say what changed from `baseline` to `current`. Pure; columns are matched by name."""
    limits = thresholds or Thresholds()
    names = dict.fromkeys([*baseline.columns, *current.columns])
    found = [
        _column(name, baseline.columns.get(name), current.columns.get(name), limits)
        for name in names
    ]
    found.sort(key=lambda c: (-SEVERITY[c.status], -c.measures.get("psi", 0.0)))
    return Comparison(tuple(found))


def measure_distances(
    baseline: ColumnProfile, current: ColumnProfile, buckets: Buckets
) -> dict[str, float]:
    """Return every distance by name; nothing if one of the columns has no values.

    Of numbers PSI, Jensen-Shannon, chi-square and L-infinity are over the baseline's deciles (or
    over each value, if they are few), Kolmogorov-Smirnov over all bins.
    """
    one, other = buckets.baseline, buckets.current
    if not one.sum() or not other.sum():
        return {}
    statistic, freedom = distances.chi_square(one, other)
    measures = {
        "psi": distances.psi(one, other),
        "jensen_shannon": distances.jensen_shannon(one, other),
        "l_infinity": distances.l_infinity(one, other),
        "cramers_v": distances.cramers_v(one, other),
        "chi_square": statistic,
        "chi_square_p": distances.chi_square_p(statistic, freedom),
    }
    if baseline.numbers and current.numbers:
        was, now = together(baseline.numbers.bins, current.numbers.bins)
        if was.total and now.total:
            apart = distances.kolmogorov_smirnov(was.counts, now.counts)
            measures["kolmogorov_smirnov"] = apart
            measures["kolmogorov_smirnov_p"] = distances.kolmogorov_smirnov_p(
                apart, was.total, now.total
            )
    return measures


def _column(
    name: str, baseline: ColumnProfile | None, current: ColumnProfile | None, limits: Thresholds
) -> ColumnComparison:
    if current is None:
        missing = Finding("missing_column", "drifted", None, None, "the column is missing")
        return ColumnComparison(name, (missing,))
    if baseline is None:
        new = Finding("new_column", "drifted", None, None, "the column is new")
        return ColumnComparison(name, (new,))
    buckets = bucket(baseline, current)
    measures = measure_distances(baseline, current, buckets)
    found = find(baseline, current, buckets, measures, limits)
    return ColumnComparison(name, tuple(found), measures, buckets)


def _worst(statuses: list[Status], default: Status) -> Status:
    return max(statuses, key=SEVERITY.__getitem__, default=default)
