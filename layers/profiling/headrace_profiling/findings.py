"""Checks of one column: an effect, its threshold, and whether there are rows enough to tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace_profiling import distances
from headrace_profiling.buckets import Buckets
from headrace_profiling.columns import ColumnProfile
from headrace_profiling.histogram import together

Status = Literal["healthy", "unsure", "drifted"]
SEVERITY: Mapping[Status, int] = {"healthy": 0, "unsure": 1, "drifted": 2}
_FAMILIES = {"integer": "number", "date": "timestamp"}
_DISTANCES = ("psi", "jensen_shannon", "kolmogorov_smirnov", "l_infinity", "cramers_v")


@dataclass(frozen=True)
class Thresholds:
    """Effects above these are drift; None: measured, never drift.

    `psi`, `jensen_shannon`, `kolmogorov_smirnov`, `l_infinity` and `cramers_v` are distances of the
    values. The others are shares: by how much that of `nulls` or of `not_finite` values changed, or
    that of `mistyped` values rose; what part is `out_of_range` of the baseline or `unseen` in it.
    """

    psi: float | None = 0.2
    jensen_shannon: float | None = None
    kolmogorov_smirnov: float | None = None
    l_infinity: float | None = None
    cramers_v: float | None = None
    nulls: float | None = 0.1
    not_finite: float | None = 0.02
    mistyped: float | None = 0.1
    out_of_range: float | None = 0.05
    unseen: float | None = 0.05
    rows: int = 30  # fewer are unsure, whatever they look like


@dataclass(frozen=True)
class Finding:
    """One check of one column: the effect, and its threshold; None where there is no number."""

    check: str
    status: Status
    value: float | None
    threshold: float | None
    reason: str


def find(
    baseline: ColumnProfile,
    current: ColumnProfile,
    buckets: Buckets,
    measures: Mapping[str, float],
    limits: Thresholds,
) -> list[Finding]:
    """Return the findings of a column that both profiles have."""
    kind = _type(baseline, current)
    fewest = min(baseline.rows, current.rows)
    if fewest < limits.rows:
        whose = "current data have" if fewest == current.rows else "baseline has"
        reason = f"the {whose} {fewest} rows, it takes {limits.rows} to tell"
        return [*kind, Finding("rows", "unsure", fewest, limits.rows, reason)]
    found = [*kind, *_null_shares(baseline, current, limits)]
    if not kind:
        found += _value_shares(baseline, current, limits)
        found += _distances(buckets, measures, limits)
    return found


def _type(baseline: ColumnProfile, current: ColumnProfile) -> list[Finding]:
    was, now = baseline.type, current.type
    if "null" in {was, now} or _FAMILIES.get(was, was) == _FAMILIES.get(now, now):
        return []
    return [Finding("type", "drifted", None, None, f"the type is {now}, it was {was}")]


def _null_shares(
    baseline: ColumnProfile, current: ColumnProfile, limits: Thresholds
) -> list[Finding]:
    found = _changed(
        "nulls", limits.nulls, (baseline.nulls, baseline.rows), (current.nulls, current.rows)
    )
    bad = [c.nans + c.infinities for c in (baseline, current)]
    return found + _changed(
        "not_finite", limits.not_finite, (bad[0], baseline.present), (bad[1], current.present)
    )


def _changed(
    check: str, limit: float | None, was: tuple[int, int], now: tuple[int, int]
) -> list[Finding]:
    if limit is None or not was[1] or not now[1]:
        return []
    before, after = was[0] / was[1], now[0] / now[1]
    verb = "rose" if after > before else "fell"
    reason = f"{check.replace('_', ' ')} {verb} from {before:.2%} to {after:.2%}"
    noise = distances.share_noise(*was, *now)
    return [_decide(check, abs(after - before), limit, noise, reason)]


def _value_shares(
    baseline: ColumnProfile, current: ColumnProfile, limits: Thresholds
) -> list[Finding]:
    shares = {
        "mistyped": (limits.mistyped, _strangers(baseline, current), "of the values are no {type}"),
        "out_of_range": (
            limits.out_of_range,
            _beyond(baseline, current),
            "of the numbers are out of {range}",
        ),
        "unseen": (limits.unseen, _unseen(baseline, current), "of the texts were unseen"),
    }
    found = []
    for check, (limit, hits, words) in shares.items():
        if limit is not None and hits is not None and current.present:
            share = hits / current.present
            noise = distances.share_noise(0, baseline.present, hits, current.present)
            bounds = f"{baseline.minimum} … {baseline.maximum}"
            reason = f"{share:.2%} {words.format(type=baseline.type, range=bounds)}"
            found.append(_decide(check, share, limit, noise, reason))
    return found


def _strangers(baseline: ColumnProfile, current: ColumnProfile) -> int | None:
    """Return how many values more than the baseline's share are of another type than it."""
    if baseline.type == "null":
        return None
    family = _FAMILIES.get(baseline.type, baseline.type)
    outside = [
        sum(n for kind, n in c.kinds.items() if _FAMILIES.get(kind, kind) != family)
        for c in (baseline, current)
    ]
    usual = outside[0] / max(1, baseline.present) * current.present
    return max(0, round(outside[1] - usual))


def _beyond(baseline: ColumnProfile, current: ColumnProfile) -> int | None:
    """Return how many numbers lie in bins beyond the baseline's outermost."""
    if not baseline.numbers or not baseline.numbers.count or not current.numbers:
        return None
    one, other = together(baseline.numbers.bins, current.numbers.bins)
    used = np.flatnonzero(one.counts)
    return int(other.counts[: used[0]].sum() + other.counts[used[-1] + 1 :].sum())


def _unseen(baseline: ColumnProfile, current: ColumnProfile) -> int | None:
    """Return at least how many texts the baseline does not have; None if it does not know all."""
    if not baseline.texts or not current.texts or not baseline.texts.frequent.complete:
        return None
    known, found = baseline.texts.frequent.counts, current.texts.frequent
    seen = sum(found.counts.get(value, 0) + found.missed for value in known)
    listed = sum(n for value, n in found.counts.items() if value not in known)
    return max(listed, current.texts.count - seen)


def _distances(
    buckets: Buckets, measures: Mapping[str, float], limits: Thresholds
) -> list[Finding]:
    rows, current_rows = int(buckets.baseline.sum()), int(buckets.current.sum())
    if not rows or not current_rows:
        return []
    many = int(np.count_nonzero(buckets.baseline + buckets.current))
    noises = {
        "psi": distances.psi_noise(many, rows, current_rows),
        "jensen_shannon": distances.jensen_shannon_noise(many, rows, current_rows),
        "kolmogorov_smirnov": distances.kolmogorov_smirnov_noise(rows, current_rows),
        "l_infinity": distances.l_infinity_noise(many, rows, current_rows),
        "cramers_v": distances.cramers_v_noise(many, rows, current_rows),
    }
    found = []
    for check in _DISTANCES:
        limit = getattr(limits, check)
        if limit is not None and check in measures:
            words = f"{check.replace('_', ' ')} is {measures[check]:.3g}{_worst(buckets)}"
            found.append(_decide(check, measures[check], limit, noises[check], words))
    return found


def _worst(buckets: Buckets) -> str:
    before, after = distances.shares(buckets.baseline), distances.shares(buckets.current)
    i = int(np.abs(after - before).argmax())
    return f" (most of it: {buckets.labels[i]} went from {before[i]:.1%} to {after[i]:.1%})"


def _decide(check: str, value: float, limit: float, noise: float, reason: str) -> Finding:
    """Drifted: above the limit and above chance. Unsure: chance alone gets above the limit."""
    if value > limit and value > noise:
        return Finding(check, "drifted", value, limit, f"{reason}; {limit:g} is the limit")
    if noise > limit:
        unsure = f"{reason}; in so few rows chance alone makes {noise:.2g}, {limit:g} is the limit"
        return Finding(check, "unsure", value, limit, unsure)
    return Finding(check, "healthy", value, limit, reason)
