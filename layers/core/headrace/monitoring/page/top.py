"""What a person sees first: the verdict, why, what to do next, and all monitors at a glance."""

from headrace.monitoring.page import charts, words
from headrace.monitoring.page.html import Html, el, head, named, together
from headrace.monitoring.report import Monitor, MonitorReport, Report, Verdict

_MOST_REASONS = 7
_VERDICTS: dict[Verdict, str] = {
    "drifted": "has drifted",
    "healthy": "is healthy",
    "unsure": "cannot be judged yet",
}
# What `recovery` and `retraining` do by themselves is the project's choice; this is what a person
# does, in the order of how much it matters.
_STEPS: dict[Monitor, tuple[str, str]] = {
    "data-quality": (
        "Ask whoever sends the requests what changed. Mend that first: a model that is trained on "
        "broken inputs learns them.",
        "headrace logs {model} --endpoint",
    ),
    "feature-drift": (
        "The inputs are not those that the model has learnt from. Train on newer data, once there "
        "are some; until then trust predictions less.",
        'headrace retrain {model} --reason "…"',
    ),
    "model-quality": (
        "If predictions got worse with this version, bring back the one before.",
        'headrace rollback {model} --reason "…"',
    ),
    "business": (
        "Mistakes cost more than agreed: see what changed, and when.",
        "headrace history {model}",
    ),
    "bias": ("Look at the groups below before this version decides about more people.", ""),
    "prediction-drift": (
        "Answers are spread differently. If inputs moved too, newer data will help; if not, look "
        "at the code of the features.",
        "headrace runs {model}",
    ),
    "attribution-drift": (
        "Other features decide than in training: see below which, and train on newer data.",
        'headrace retrain {model} --reason "…"',
    ),
}


def badge(verdict: Verdict) -> Html:
    """Return a verdict as a sign and a word, in its colour."""
    sign = el("span", words.GLYPHS[verdict], aria_hidden="true")
    return el("span", sign, " ", verdict, class_=f"badge {verdict}")


def hero(report: Report) -> Html:
    """Return the verdict in words, its reasons, and what to do next."""
    verdict = report.verdict
    title = el(
        "h1",
        el("span", words.GLYPHS[verdict], class_="sign", aria_hidden="true"),
        named(report.model),
        f" v{report.package_version} {_VERDICTS[verdict]}",
    )
    return el(
        "header",
        el("p", "Headrace monitoring report", class_="kicker"),
        title,
        el("p", summary(report), class_="lead"),
        _facts(report),
        el("div", _why(report), _next(report), class_="two"),
        class_=f"hero {verdict}",
    )


def summary(report: Report) -> str:
    """Say in one sentence which monitors said what, about which window."""
    whole = [m for m in report.monitors if m.segment is None]
    of = {
        v: [words.MONITORS[m.monitor].lower() for m in whole if m.verdict == v] for v in _VERDICTS
    }
    parts = f"{words.count(len(report.monitors) - len(whole), 'segment verdict')}"
    over = words.span(report.start, report.end)
    window = f"In the {over} to {words.moment(report.end)}"
    if not whole:
        return f"{window} nothing was watched."
    if of["drifted"]:
        crossed = "its limits" if len(of["drifted"]) == 1 else "their limits"
        said = f"{window}, {words.listed(of['drifted'])} crossed {crossed}."
    elif report.verdict == "drifted":
        said = f"{window} the whole is within its limits, a segment is not ({parts})."
    elif of["healthy"]:
        said = f"{window}, {words.listed(of['healthy'])} stayed within limits."
    else:
        said = f"{window} there was too little to judge by."
    missing = of["unsure"] if of["drifted"] or of["healthy"] else []
    return f"{said} Too little is known of {words.listed(missing)}." if missing else said


def monitors(report: Report) -> Html | None:
    """Return the table of monitors of the whole traffic, with their trends."""
    whole = [m for m in report.monitors if m.segment is None]
    if not whole:
        return None
    whole.sort(key=lambda m: -words.SEVERITY[m.verdict])
    titles = ("Monitor", "Verdict", "Now", "Limit", "Trend")
    return together(
        el("h2", "Monitors"),
        el(
            "table",
            el("caption", "Every monitor's verdict, number, limit and trend", class_="unseen"),
            head(titles),
            el("tbody", [_monitor(report, m) for m in whole]),
            class_="monitors",
        ),
        el(
            "p",
            "The dashed line is the limit, ▲ a window that drifted, ○ one that was unsure.",
            class_="note",
        ),
    )


def _monitor(report: Report, monitor: MonitorReport) -> Html:
    measure = words.headline(monitor) or ""
    value, limit = monitor.numbers.get(measure), words.limit_of(monitor, measure)
    points = [p for p in report.trend if p.monitor == monitor.monitor]
    title = f"Trend of {words.MONITORS[monitor.monitor].lower()}"
    reason = monitor.reasons[0] if monitor.reasons else f"{monitor.rows:,} rows, nothing found"
    return el(
        "tr",
        el(
            "th",
            words.MONITORS[monitor.monitor],
            el("span", named(reason, 300), class_="reason"),
            scope="row",
        ),
        el("td", badge(monitor.verdict), data_label="Verdict"),
        el(
            "td",
            el("span", words.number(value, measure), class_="big"),
            el("span", words.called(measure) if measure else "", class_="soft"),
            data_label="Now",
            class_="number",
        ),
        el("td", words.limit(limit, measure), data_label="Limit", class_="number soft"),
        el("td", charts.sparkline(points, limit, title, measure), data_label="Trend"),
        class_=monitor.verdict,
    )


def _facts(report: Report) -> Html:
    whole = [m.rows for m in report.monitors if m.segment is None]
    facts = {
        "Version": f"v{report.package_version}",
        "Window": f"{words.moment(report.start)} to {words.moment(report.end)}",
        "Rows looked at": f"{max(whole):,}" if whole else words.UNKNOWN,
        "Endpoint": report.endpoint,
        "Trained by": report.run,
    }
    pairs = [el("div", el("dt", name), el("dd", named(said))) for name, said in facts.items()]
    return el("dl", pairs, class_="facts")


def _why(report: Report) -> Html:
    told = [el("li", named(reason, 300)) for reason in reasons(report)]
    return el("div", el("h2", "Why"), el("ul", told))


def reasons(report: Report) -> list[str]:
    """Return why the verdict is what it is: the first reason of each monitor that says so."""
    said = [m for m in report.monitors if m.verdict == report.verdict and m.reasons]
    whole = [m for m in said if m.segment is None]
    found = [
        f"{words.MONITORS[m.monitor]}: {m.reasons[0]}"
        + (f" (and {words.count(len(m.reasons) - 1, 'more reason')})" if m.reasons[1:] else "")
        for m in whole[:_MOST_REASONS]
    ]
    parts = {f"{m.segment.column} = {m.segment.value}" for m in said if m.segment}
    if parts:
        found.append(f"{words.count(len(parts), 'segment')} too: {words.listed(sorted(parts)[:5])}")
    return found or report.reasons[:_MOST_REASONS]


def _next(report: Report) -> Html:
    steps = [
        together(el("span", said), el("code", command) if command else None)
        for said, command in advice(report)
    ]
    listed = el("ol", [el("li", step) for step in steps]) if len(steps) > 1 else el("p", steps)
    return el("div", el("h2", "What to do next"), listed, class_="next")


def advice(report: Report) -> list[tuple[str, str]]:
    """Return what a person does now: a sentence and a command, the most important first."""
    drifted = {m.monitor for m in report.monitors if m.verdict == "drifted"}
    found = [
        (said, command.format(model=report.model))
        for said, command in (step for monitor, step in _STEPS.items() if monitor in drifted)
    ]
    feedback = report.feedback
    if not drifted and feedback and not feedback.complete:
        found.append(
            (
                "Send the outcomes as they come; a window counts once enough of them are known.",
                f"headrace outcomes FILE --model {report.model}",
            )
        )
    elif report.verdict == "unsure":
        found.append(("Wait for more traffic, or lengthen monitoring.window in model.yaml.", ""))
    elif report.verdict == "healthy":
        found.append(("Nothing. The next report comes by itself.", ""))
    return found[:3]
