"""Columns, worst first: both distributions side by side, what was found, and the measures."""

from collections.abc import Iterable, Sequence

from headrace.monitoring.page import charts, words
from headrace.monitoring.page.html import Html, el, named, together
from headrace.monitoring.page.top import badge
from headrace.monitoring.report import ColumnReport, MonitorReport, worst

_MOST_CARDS = 14
_MOST_REASONS = 4
_FEW = 3  # columns that have space for a card each: score and label, say
_DISTANCES = ("psi", "jensen_shannon", "kolmogorov_smirnov", "l_infinity")
_MOST_DISTANCES = 3
_NUMBERS = ("mean", "median", "nulls")


def inputs(reports: Sequence[MonitorReport]) -> Html | None:
    """Return what the endpoint was asked: data quality and feature drift, a column at a time."""
    found = _merged([m for m in reports if m.monitor in ("data-quality", "feature-drift")])
    bad = sum(c.verdict != "healthy" for c in found)
    said = f"{bad or 'None'} of {words.count(len(found), 'column')} changed or could not be judged."
    return _section("Columns", said, "training data", found)


def predictions(reports: Sequence[MonitorReport]) -> Html | None:
    """Return what the endpoint answered."""
    found = _merged([m for m in reports if m.monitor == "prediction-drift"])
    said = "What the endpoint answered."
    return _section("Predictions", said, "held-out rows", found)


def _section(title: str, said: str, baseline: str, columns: Sequence[ColumnReport]) -> Html | None:
    if not columns:
        return None
    few = len(columns) <= _FEW
    cards = [c for c in columns if few or c.verdict != "healthy"][:_MOST_CARDS]
    rest = columns[len(cards) :]
    return together(
        el("h2", title),
        el("p", el("span", said), _legend(baseline), class_="said"),
        el("div", [_card(column) for column in cards], class_="cards") if cards else None,
        el("ul", [_thumbnail(column) for column in rest], class_="thumbnails") if rest else None,
    )


def _card(column: ColumnReport) -> Html:
    shown = [n for n in _DISTANCES if column.measures.get(n) is not None][:_MOST_DISTANCES]
    shown += [n for n in _NUMBERS if column.measures.get(n) is not None and n in column.baseline]
    if not any((column.measures.get("nulls"), column.baseline.get("nulls"))):
        shown = [name for name in shown if name != "nulls"]
    rest = column.reasons[_MOST_REASONS:]
    reasons = [*column.reasons[:_MOST_REASONS], *([f"and {len(rest)} more"] if rest else [])]
    return el(
        "article",
        el("h3", named(column.name), badge(column.verdict)),
        el("ul", [el("li", named(reason, 300)) for reason in reasons], class_="reasons")
        if reasons
        else None,
        charts.distribution(column.buckets, column.name[:60])
        if column.buckets
        else el("p", "There is no distribution to show.", class_="soft"),
        el("dl", together(*(_measure(column, name) for name in shown)), class_="measures")
        if shown
        else None,
        class_="card",
    )


def _measure(column: ColumnReport, name: str) -> Html:
    before, now = column.baseline.get(name), words.number(column.measures[name], name)
    was = el("span", words.number(before, name), " → ", class_="soft") if before is not None else ""
    return el("div", el("dt", words.called(name)), el("dd", was, now))


def _thumbnail(column: ColumnReport) -> Html:
    psi = column.measures.get("psi")
    return el(
        "li",
        el("span", named(column.name, 60), class_="name"),
        charts.small(column.buckets, column.name[:60]) if column.buckets else None,
        el(
            "span",
            badge(column.verdict),
            el("span", f"PSI {words.number(psi, 'psi')}" if psi is not None else "", class_="soft"),
            class_="under",
        ),
        el("span", named(column.reasons[0], 120), class_="reason")
        if column.reasons and column.verdict != "healthy"
        else None,
    )


def _legend(baseline: str) -> Html:
    """Return what filled and line mean."""
    return el(
        "span",
        el("span", el("i", class_="key base"), f" {baseline}"),
        el("span", el("i", class_="key live"), " this window"),
        class_="legend",
    )


def _merged(monitors: Iterable[MonitorReport]) -> list[ColumnReport]:
    """Return each column once, with what all monitors found, the worst first."""
    found: dict[str, ColumnReport] = {}
    for monitor in monitors:
        for column in monitor.columns:
            known = found.get(column.name)
            found[column.name] = column if known is None else _both(known, column)
    return sorted(
        found.values(),
        key=lambda c: (-words.SEVERITY[c.verdict], -(c.measures.get("psi") or 0.0)),
    )


def _both(one: ColumnReport, other: ColumnReport) -> ColumnReport:
    verdicts = [one.verdict, other.verdict]
    unsure = "unsure" in verdicts and "drifted" not in verdicts
    return ColumnReport(
        name=one.name,
        verdict="unsure" if unsure else worst(verdicts),
        reasons=list(dict.fromkeys([*one.reasons, *other.reasons])),
        measures={**one.measures, **other.measures},
        baseline={**one.baseline, **other.baseline},
        buckets=one.buckets or other.buckets,
    )
