"""Data quality, and drift of what is asked and answered: column by column, worst first."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from headrace.monitoring.judging.wording import listed, too_few
from headrace.monitoring.page.buckets import buckets_of
from headrace.monitoring.report import ColumnReport, Monitor, MonitorReport, Verdict
from headrace.monitoring.section import DataQuality, Drift
from headrace_profiling import (
    ColumnComparison,
    ColumnProfile,
    Finding,
    Profile,
    Thresholds,
    compare,
)
from headrace_profiling.distances import RARE

_SEVERITY: dict[Verdict, int] = {"healthy": 0, "unsure": 1, "drifted": 2}
_DISTANCES = ("psi", "jensen_shannon", "kolmogorov_smirnov", "l_infinity")
_NO_DISTANCE = Thresholds(psi=None)
_NO_SHARE = Thresholds(
    psi=None, nulls=None, not_finite=None, mistyped=None, out_of_range=None, unseen=None
)


def judge_data_quality(
    baseline: Profile, window: Profile, limits: DataQuality, rows: int, ignored: Collection[str]
) -> MonitorReport:
    """Say whether live inputs look like the training data's: complete, of their type, in range."""
    wanted = limits.model_dump()
    thresholds = replace(_NO_DISTANCE, **wanted, rows=rows)
    found = [c for c in compare(baseline, window, thresholds).columns if c.name not in ignored]
    return _report("data-quality", found, baseline, window, rows, wanted, "faults", _faults)


def judge_drift(
    monitor: Monitor,
    baseline: Profile,
    window: Profile,
    limits: Drift,
    rows: int,
    ignored: Collection[str],
    populations: int = 1,
) -> MonitorReport | None:
    """Say whether columns are distributed as in the baseline; None if nothing has a limit.

    `populations` are compared in one window, this and its segments: the more there are, the more
    often chance alone would be called drift of one of them.
    """
    wanted = {name: getattr(limits, name) for name in _DISTANCES}
    headline = next((name for name in _DISTANCES if wanted[name] is not None), "psi")
    names = [
        name for name in baseline.columns if name not in ignored and limits.columns.get(name) != 0
    ]
    if not (any(wanted.values()) or limits.columns):
        return None
    found = []
    for name in names:
        own = {"psi": limits.columns[name]} if name in limits.columns else {}
        thresholds = replace(_NO_SHARE, **{**wanted, **own}, rows=rows)
        compared = _drift(name, baseline, window, thresholds)
        found.append(_beyond_chance(compared, len(names) * populations))
    told = {name: limit for name, limit in wanted.items() if limit is not None}
    told |= {f"psi of {name}": limit for name, limit in limits.columns.items() if limit}
    return _report(
        monitor, found, baseline, window, rows, told, headline, lambda c: c.measures.get(headline)
    )


def _drift(
    name: str, baseline: Profile, window: Profile, thresholds: Thresholds
) -> ColumnComparison:
    """Compare one column; one that cannot be compared is unsure, and data quality says why."""
    before, now = baseline.columns[name], window.columns.get(name)
    if now is None:
        return ColumnComparison(name, (_unsure("it is missing in the window"),))
    compared = compare(
        Profile(before.rows, {name: before}), Profile(now.rows, {name: now}), thresholds
    ).columns[0]
    if any(f.check == "type" for f in compared.findings):
        told = _unsure(f"the type is {now.type}, it was {before.type}")
        return replace(compared, findings=(told,))
    if _values(before) and not _values(now):
        return replace(compared, findings=(_unsure("it has no values in the window"),))
    return compared


def _beyond_chance(compared: ColumnComparison, tries: int) -> ColumnComparison:
    """Call drift unsure that chance makes of one of so many columns once in a thousand windows."""
    names = ("chi_square_p", "kolmogorov_smirnov_p")
    chance = min(
        (compared.measures[name] for name in names if name in compared.measures), default=0
    )
    if compared.status != "drifted" or chance < RARE / tries:
        return compared
    told = f"; of {tries} columns chance alone makes as much of one"
    findings = [
        replace(f, status="unsure", reason=f.reason + told) if f.status == "drifted" else f
        for f in compared.findings
    ]
    return replace(compared, findings=tuple(findings))


def _values(column: ColumnProfile) -> int:
    return column.present - column.nans - column.infinities


def _unsure(reason: str) -> Finding:
    return Finding("comparable", "unsure", None, None, f"{reason}, so it cannot be compared")


def _faults(compared: ColumnComparison) -> float:
    return float(compared.status == "drifted")


def _report(
    monitor: Monitor,
    found: list[ColumnComparison],
    baseline: Profile,
    window: Profile,
    rows: int,
    limits: dict[str, float],
    headline: str,
    value: Callable[[ColumnComparison], float | None],
) -> MonitorReport:
    """Put the worst columns first; too few rows of all are unsure, whatever they look like."""
    few = too_few(window.rows, rows)
    every = monitor != "data-quality"  # whose columns feature drift draws
    found = sorted(found, key=lambda c: (-_SEVERITY[c.status], -_excess(c), c.name))
    columns = [
        _column(c, few is not None, baseline, window, drawn=every or c.status == "drifted")
        for c in found
    ]
    values = [v for v in map(value, found) if v is not None]
    total = sum(values) if headline == "faults" else max(values, default=None)
    if few:  # what columns look like in so few rows is no number to draw
        total = None
    verdict, reasons = ("unsure", [few]) if few else _sum_up(columns, headline, total)
    return MonitorReport(
        monitor=monitor,
        verdict=verdict,
        reasons=reasons,
        rows=window.rows,
        headline=headline,
        numbers={headline: total, "columns": len(columns), "drifted": _count(columns, "drifted")},
        limits=limits,
        columns=columns,
    )


def _sum_up(
    columns: list[ColumnReport], headline: str, value: float | None
) -> tuple[Verdict, list[str]]:
    if not columns:
        return "unsure", ["there is no column to compare"]
    for verdict in ("drifted", "unsure"):
        told = [
            f"{c.name}: {reason}" for c in columns if c.verdict == verdict for reason in c.reasons
        ]
        if told:
            return verdict, listed(told)
    if headline == "faults":
        return "healthy", [f"{len(columns)} columns look like the training data's"]
    worst = (
        f"; the largest {headline.replace('_', ' ')} is {value:.3g}" if value is not None else ""
    )
    return "healthy", [f"{len(columns)} columns are distributed as in the training data{worst}"]


def _count(columns: Iterable[ColumnReport], verdict: Verdict) -> int:
    return sum(c.verdict == verdict for c in columns)


def _excess(compared: ColumnComparison) -> float:
    """Return how many times its limit the worst effect of a column is."""
    return max(
        (f.value / f.threshold for f in compared.findings if f.value and f.threshold), default=0.0
    )


def _column(
    compared: ColumnComparison, few: bool, baseline: Profile, window: Profile, *, drawn: bool
) -> ColumnReport:
    worst_first = sorted(compared.findings, key=lambda f: -_SEVERITY[f.status])
    told = [f.reason for f in worst_first if f.status == compared.status != "healthy"]
    before, now = (side.columns.get(compared.name) for side in (baseline, window))
    return ColumnReport(
        name=compared.name,
        verdict="unsure" if few else compared.status,
        reasons=[] if few else told,
        measures={**_numbers(now), **compared.measures},
        baseline=_numbers(before),
        buckets=buckets_of(before, now) if drawn else [],
    )


def _numbers(column: ColumnProfile | None) -> dict[str, float | None]:
    """Return what a person wants to see of a column on both sides."""
    if column is None or not column.rows:
        return {}
    found: dict[str, float | None] = {"nulls": column.nulls / column.rows}
    if column.numbers and column.type not in {"date", "timestamp"}:
        found |= {"mean": column.mean, "median": column.quantile(0.5)}
    return found
