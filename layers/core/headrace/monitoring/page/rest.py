"""The end of the page: segments, notes, all numbers as they are, and what the measures mean."""

from collections.abc import Iterator, Sequence

from headrace.monitoring.page import words
from headrace.monitoring.page.html import Html, el, named, table, together
from headrace.monitoring.page.top import badge
from headrace.monitoring.report import Monitor, MonitorReport, Report

_MOST_MEASURES = 12


def segments(reports: Sequence[MonitorReport]) -> Html | None:
    """Return a table: a row per segment, a column per monitor; the worst segments first."""
    found: dict[tuple[str, str], dict[Monitor, MonitorReport]] = {}
    for report in reports:
        if report.segment:
            key = (report.segment.column, report.segment.value)
            found.setdefault(key, {})[report.monitor] = report
    if not found:
        return None
    shown = [m for m in words.MONITORS if any(m in segment for segment in found.values())]
    ranked = sorted(
        found.items(),
        key=lambda item: (
            -max(words.SEVERITY[m.verdict] for m in item[1].values()),
            -max(m.rows for m in item[1].values()),
        ),
    )
    titles = ["Segment", ">Rows", *(words.MONITORS[m] for m in shown)]
    rows = [
        el(
            "tr",
            el("th", named(column, 60), " = ", named(value or "(empty text)", 60), scope="row"),
            el("td", f"{max(m.rows for m in monitors.values()):,}", class_="number"),
            [_cell(monitors.get(monitor)) for monitor in shown],
        )
        for (column, value), monitors in ranked
    ]
    return together(el("h2", "Segments"), table("Segments", titles, rows))


def notes(report: Report) -> Html | None:
    """Return what else was noticed."""
    if not report.notes:
        return None
    said = [el("li", named(note, 1000)) for note in report.notes]
    return together(el("h2", "Notes"), el("ul", said))


def raw(report: Report) -> Html:
    """Return every number of every monitor, folded."""
    parts = [_raw(m) for m in report.monitors if m.segment is None]
    meanings = [
        together(el("dt", words.called(name)), el("dd", words.MEANINGS[name]))
        for name in sorted(_used(report), key=words.called)
        if name in words.MEANINGS
    ]
    explained = el(
        "details", el("summary", "What the measures mean"), el("dl", meanings, class_="meanings")
    )
    return together(
        el("h2", "All numbers"),
        parts,
        explained if meanings else None,
    )


def footer(report: Report) -> Html:
    """Return where the page comes from."""
    said = f"Made by Headrace at {words.moment(report.made_at)} from report.json beside this page. "
    return el("footer", el("p", said, "All times are UTC."))


def _cell(found: MonitorReport | None) -> Html:
    if found is None:
        return el("td")
    measure = words.headline(found) or ""
    value = found.numbers.get(measure)
    said = f"{words.called(measure)} {words.number(value, measure)}" if value is not None else ""
    worst = next((c.name for c in found.columns if c.verdict == "drifted"), None)
    return el(
        "td",
        badge(found.verdict),
        el("span", said, class_="soft line") if said else None,
        el("span", named(worst, 60), class_="soft line") if worst else None,
    )


def _raw(report: MonitorReport) -> Html:
    """Return a monitor's numbers, limits and columns' measures."""
    names = list(dict.fromkeys([*report.numbers, *report.limits]))
    totals = [
        el(
            "tr",
            el("th", el("code", name), scope="row"),
            *(
                el("td", _exact(side.get(name)), class_="number")
                for side in (report.numbers, report.baseline, report.limits)
            ),
        )
        for name in names
    ]
    measured = list(dict.fromkeys(n for c in report.columns for n in c.measures))[:_MOST_MEASURES]
    columns = [
        el(
            "tr",
            el("th", named(column.name), scope="row"),
            el("td", column.verdict),
            *(el("td", _exact(column.measures.get(name)), class_="number") for name in measured),
        )
        for column in report.columns
    ]
    title = words.MONITORS[report.monitor]
    return el(
        "details",
        el("summary", title, el("span", words.count(report.rows, "row"), class_="soft")),
        table(f"{title}: numbers", ["Number", ">Window", ">Baseline", ">Limit"], totals)
        if totals
        else None,
        table(
            f"{title}: columns", ["Column", "Verdict", *(f">{name}" for name in measured)], columns
        )
        if columns
        else None,
    )


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _used(report: Report) -> set[str]:
    def names() -> Iterator[str]:
        for monitor in report.monitors:
            yield from (*monitor.numbers, *monitor.limits)
            for column in monitor.columns:
                yield from column.measures

    return set(names())
