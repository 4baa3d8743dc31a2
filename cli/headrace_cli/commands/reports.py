"""`reports`: what monitoring saw, as a list, in words, or as the page for a browser."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from headrace.monitoring.report import MonitorReport, Report
from headrace_cli import reports as kept
from headrace_cli.app import app
from headrace_cli.commands.options import Limit, Model
from headrace_cli.console import Console, clock, styled
from headrace_cli.exit_codes import ExitCode
from headrace_cli.session import Session, command

_MOST_REASONS = 2
_LISTED = {"model", "package_version", "run", "start", "end", "verdict", "reasons"}


@command(app)
def reports(
    session: Session,
    model: Model,
    report: Annotated[
        str, typer.Argument(help="Show this report in full.", show_default=False)
    ] = "",
    latest: Annotated[bool, typer.Option("--latest", help="Show the newest one in full.")] = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Open its page in a browser (default: the newest).")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Write its page to this file (default: the newest).", show_default=False),
    ] = None,
    limit: Limit = 20,
) -> ExitCode | None:
    """List what monitoring saw of a model, or show one report; drifted: exit code 1."""
    if not (report or latest or open_ or output):
        _list(session, model, limit)
        return None
    name = kept.choose(session, model, report)
    found = kept.read(session, model, name)
    page = kept.save_page(session, model, name, output) if open_ or output else None
    session.console.document({"name": name, "page": page, "report": found})
    _tell(session.console, name, found)
    if page:
        opened = open_ and webbrowser.open(page.resolve().as_uri())
        session.console.text(f"{'opened' if opened else 'page:'} {page}")
    else:
        session.console.say(f"[dim]next:[/]  headrace reports {model} {name} --open")
    return ExitCode.NEGATIVE if found.verdict == "drifted" else ExitCode.OK


def _list(session: Session, model: str, limit: int) -> None:
    names = kept.names(session, model)[:limit]
    read = [(name, kept.find(session, model, name)) for name in names]
    found = [(name, report) for name, report in read if report]
    session.console.document(
        [
            {
                "name": name,
                **report.model_dump(mode="json", include=_LISTED),
                "drifted": _drifted(report.monitors),
            }
            for name, report in found
        ]
    )
    if not found:
        session.console.say(f"No report yet. [dim]next:[/]  headrace monitor {model}")
        return
    session.console.table(
        ["REPORT", "WINDOW ENDS", "VERSION", "VERDICT", ">ROWS", "DRIFTED"],
        [
            [
                name,
                clock(report.end),
                f"v{report.package_version}",
                styled(report.verdict),
                f"{_rows(report):,}",
                ", ".join(_drifted(report.monitors)),
            ]
            for name, report in found
        ],
    )


def _tell(console: Console, name: str, report: Report) -> None:
    """Print a report in words: the verdict, and a line a monitor; segments where they drifted."""
    version = f"{escape(report.model)} v{report.package_version}"
    console.say(f"[bold]{version}[/] {styled(report.verdict)}  [dim]{name}[/]")
    console.say(f"[dim]{clock(report.start)} to {clock(report.end)}, {_rows(report):,} rows[/]")
    for monitor in report.monitors:
        if monitor.segment and monitor.verdict != "drifted":
            continue
        segment = monitor.segment
        where = f" where {segment.column} is {segment.value}" if segment else ""
        console.say(f"  {styled(monitor.verdict)} {monitor.monitor}{escape(where)}")
        for reason in monitor.reasons[:_MOST_REASONS]:
            console.text(f"    {reason}")
    for note in report.notes:
        console.text(f"  note: {note}")


def _drifted(monitors: Sequence[MonitorReport]) -> list[str]:
    return list(dict.fromkeys(m.monitor for m in monitors if m.verdict == "drifted"))


def _rows(report: Report) -> int:
    return max((m.rows for m in report.monitors if m.segment is None), default=0)
