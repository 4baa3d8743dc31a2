"""How predictions turned out: quality, what mistakes cost, bias between groups, attributions."""

from collections.abc import Callable, Sequence

from headrace.monitoring.page import charts, words
from headrace.monitoring.page.html import Html, el, named, table, together
from headrace.monitoring.page.top import badge
from headrace.monitoring.report import ColumnReport, Feedback, Monitor, MonitorReport

_MOST_ROWS = 60


def outcomes(reports: Sequence[MonitorReport], feedback: Feedback | None) -> Html | None:
    """Return model quality against the held-out rows, and how much of it is known."""
    found = _of(reports, "model-quality")
    if not found and feedback is None:
        return None
    return together(
        _title("Model quality", found),
        _reasons(found),
        _feedback(feedback) if feedback else None,
        _numbers(found) if found else None,
    )


def business(reports: Sequence[MonitorReport]) -> Html | None:
    """Return what wrong predictions cost."""
    found = _of(reports, "business")
    if not found:
        return None
    return together(
        _title("Business cost", found),
        _reasons(found),
        _numbers(found),
    )


def bias(reports: Sequence[MonitorReport]) -> Html | None:
    """Return the measures of each group, by Clarify's names, the worst group first."""
    found = _of(reports, "bias")
    if not found:
        return None
    rows = [
        el(
            "tr",
            el("th", named(column.name, 60), scope="row") if i == 0 else el("td"),
            el("td", el("abbr", name, title=words.MEANINGS.get(name))),
            el("td", words.MEANINGS.get(name, ""), class_="meaning"),
            el("td", words.number(value, name), class_="number"),
            el("td", words.number(column.baseline.get(name), name), class_="number soft"),
            el("td", _limit(found, name), class_="number soft"),
            el("td", badge(column.verdict) if i == 0 else None),
        )
        for column in found.columns[:_MOST_ROWS]
        for i, (name, value) in enumerate(_limited_first(column, found))
    ]
    titles = ("Group", "Measure", "What it is", ">Window", ">Held-out rows", ">Limit", "Verdict")
    return together(
        _title("Bias", found),
        _reasons(found),
        table("Bias measures of each group", titles, rows),
    )


def attributions(reports: Sequence[MonitorReport]) -> Html | None:
    """Return what each feature contributes now, beside training, with its ranks."""
    found = _of(reports, "attribution-drift")
    if not found:
        return None
    ranks = [
        {c.name: i for i, c in enumerate(sorted(found.columns, key=_by(side)), 1)}
        for side in ("training", "live")
    ]
    columns = sorted(found.columns, key=_by("training"))[:_MOST_ROWS]
    top = max((max(_part(c, "training"), _part(c, "live")) for c in columns), default=0.0)
    rows = [
        el(
            "tr",
            el("th", named(c.name, 60), scope="row"),
            el("td", charts.pair(_part(c, "training"), _part(c, "live"), top), class_="bar"),
            el("td", words.number(c.measures.get("training")), class_="number soft"),
            el("td", words.number(c.measures.get("live")), class_="number"),
            el("td", _moved(ranks[0][c.name], ranks[1][c.name]), class_="number"),
        )
        for c in columns
    ]
    titles = ("Feature", "Mean contribution", ">Training", ">Window", ">Rank")
    return together(
        _title("Attributions", found),
        _reasons(found),
        table("Mean contribution of each feature", titles, rows) if rows else None,
    )


def _feedback(feedback: Feedback) -> Html:
    share = feedback.outcomes / feedback.predictions if feedback.predictions else 0.0
    said = (
        f"{feedback.outcomes:,} of {words.count(feedback.predictions, 'prediction')} "
        f"({words.share(share)}) have an outcome"
    )
    state = "The window is complete." if feedback.complete else "Outcomes are still awaited."
    delays = {
        "half of them within": feedback.delay_seconds_median,
        "nine of ten within": feedback.delay_seconds_p90,
    }
    known = [f"{name} {words.duration(s)}" for name, s in delays.items() if s is not None]
    return el(
        "div",
        charts.gauge(share, "Predictions that have an outcome"),
        el("p", ", ".join([said, *known]) + ". " + state),
        class_="feedback",
    )


def _numbers(found: MonitorReport) -> Html:
    first = words.headline(found)
    names = sorted(found.numbers, key=lambda n: (n != first, words.limit_of(found, n) is None))
    rows = [
        el(
            "tr",
            el("th", el("abbr", words.called(name), title=words.MEANINGS.get(name)), scope="row"),
            el("td", words.number(found.numbers[name], name), class_="number strong"),
            el("td", words.number(found.baseline.get(name), name), class_="number soft"),
            el("td", _change(found, name), class_="number"),
            el("td", _limit(found, name), class_="number soft"),
        )
        for name in names
    ]
    return table(
        "Numbers of the window", ("Measure", ">Window", ">Held-out rows", ">Change", ">Limit"), rows
    )


def _change(found: MonitorReport, name: str) -> str:
    now, was = found.numbers[name], found.baseline.get(name)
    if now is None or was is None:
        return words.UNKNOWN
    return words.change(now - was, name)


def _limit(found: MonitorReport, name: str) -> str:
    limit = words.limit_of(found, name)
    if limit is None:
        return ""
    if name == "DI":
        return f"{words.chosen(1 - limit)} to {words.chosen(1 + limit)}"
    return f"± {words.chosen(limit)}" if found.monitor == "bias" else words.limit(limit, name)


def _limited_first(column: ColumnReport, found: MonitorReport) -> list[tuple[str, float | None]]:
    return sorted(column.measures.items(), key=lambda item: item[0] not in found.limits)


def _title(title: str, found: MonitorReport | None) -> Html:
    return el("h2", title, badge(found.verdict) if found else None)


def _reasons(found: MonitorReport | None) -> Html | None:
    if not found or not found.reasons:
        return None
    return el("ul", [el("li", named(r, 300)) for r in found.reasons[:6]], class_="reasons")


def _of(reports: Sequence[MonitorReport], monitor: Monitor) -> MonitorReport | None:
    return next((m for m in reports if m.monitor == monitor), None)


def _part(column: ColumnReport, side: str) -> float:
    return column.measures.get(side) or 0.0


def _by(side: str) -> Callable[[ColumnReport], tuple[float, str]]:
    return lambda column: (-_part(column, side), column.name)


def _moved(was: int, now: int) -> str:
    return f"{was}" if was == now else f"{was} → {now}"
