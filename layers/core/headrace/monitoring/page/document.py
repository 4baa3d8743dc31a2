"""The whole page: one file, no script, nothing that is loaded from elsewhere."""

from pathlib import Path

from headrace.monitoring.page import columns, quality, rest, top, words
from headrace.monitoring.page.html import Html, el, text, together
from headrace.monitoring.report import Report

_STYLE = Html((Path(__file__).parent / "style.css").read_text())
# Should anything slip through the escaping, it cannot run, load or send anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'"


def render(report: Report) -> str:
    """Return a report as one HTML page, made of nothing but the report."""
    whole = [m for m in report.monitors if m.segment is None]
    sections = {
        "Monitors": top.monitors(report),
        "Columns": columns.inputs(whole),
        "Predictions": columns.predictions(whole),
        "Model quality": quality.outcomes(whole, report.feedback),
        "Business cost": quality.business(whole),
        "Bias": quality.bias(whole),
        "Attributions": quality.attributions(whole),
        "Segments": rest.segments(report.monitors),
        "Notes": rest.notes(report),
        "All numbers": rest.raw(report),
    }
    shown = [(title, title.lower().replace(" ", "-"), s) for title, s in sections.items() if s]
    links = [el("a", title, href=f"#{anchor}") for title, anchor, _ in shown]
    body = el(
        "body",
        top.hero(report),
        el("nav", links, aria_label="Parts of this page"),
        el("main", [el("section", s, id=anchor) for _, anchor, s in shown]),
        rest.footer(report),
    )
    title = (
        f"{words.GLYPHS[report.verdict]} {report.model} v{report.package_version} "
        f"{report.verdict}, {words.moment(report.end)}"
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="robots", content="noindex"),
        el("link", rel="icon", href="data:,"),
        el("title", text(title)),
        el("style", _STYLE),
    )
    return together(Html("<!doctype html>\n"), el("html", head, body, lang="en")) + "\n"
