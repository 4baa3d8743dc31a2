"""`outcomes`: how predictions turned out goes in."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.records import OutcomesRecord
from headrace_cli import outcomes as sending
from headrace_cli.app import app
from headrace_cli.commands.options import Timeout, Wait
from headrace_cli.console import Console, styled
from headrace_cli.exit_codes import ExitCode
from headrace_cli.session import Session, command


@command(app)
def outcomes(
    session: Session,
    file: Annotated[Path, typer.Argument(help="Rows: jsonl, csv or parquet.", show_default=False)],
    model: Annotated[str, typer.Option(help="Name of the model.", show_default=False)],
    wait: Wait = False,
    timeout: Timeout = 120.0,
) -> ExitCode:
    """Tell how predictions turned out: rows name a prediction and its outcome."""
    console = session.console
    with console.step(f"sending {file.name} as outcomes of {model}"):
        sent = sending.send(session, model, file)
    record = sent.known
    if record:
        console.say(f"[yellow]duplicate[/] the same file was accepted at {record.received_at}")
    elif wait:
        with console.step("waiting for the verdict") as step:
            record = sending.wait_for_verdict(session, model, sent, timeout)
            step.done(styled(record.status))
    if record:
        tell_outcomes(console, record)
    else:
        console.say(f"[dim]next:[/]  headrace feedback {model}")
    console.document(
        {"model": model, "object": sent.key, "duplicate": bool(sent.known), "verdict": record}
    )
    refused = record and record.status == "quarantined"
    return ExitCode.NEGATIVE if refused else ExitCode.OK


def tell_outcomes(console: Console, record: OutcomesRecord) -> None:
    """Say what became of the rows of an object, and why."""
    counts = [
        (f"{record.rows:,} accepted", True),
        (f"{record.duplicates:,} duplicate", record.duplicates),
        (f"{record.measured:,} of an A/B test", record.measured),
        (f"[red]{record.quarantined:,} quarantined[/]", record.quarantined),
    ]
    whole = record.status == "quarantined"
    said = "[red]quarantined[/] the whole file"
    console.say(said if whole else ", ".join(text for text, shown in counts if shown))
    for reason in record.reasons:
        console.text(f"  {reason}")
    if record.quarantine_uri:
        console.text(f"  {record.quarantine_uri}")
