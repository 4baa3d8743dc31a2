"""`drop` and `quarantine`: data goes in, and what was refused can be looked at."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headrace.records import DropRecord, ObjectRecord
from headrace_cli import drops, quarantine
from headrace_cli.app import app
from headrace_cli.commands.options import Limit, Model, Timeout, Wait
from headrace_cli.console import Console, styled
from headrace_cli.exit_codes import ExitCode
from headrace_cli.registry import caller
from headrace_cli.session import Session, command


@command(app)
def drop(
    session: Session,
    model: Model,
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the drop (default: the time now).")] = "",
    manifest: Annotated[
        bool, typer.Option(help="End the drop with a manifest of sizes, hashes and rows.")
    ] = True,
    wait: Wait = False,
    timeout: Timeout = 600.0,
) -> ExitCode:
    """Drop data files for a model: they become a dataset version, or go to quarantine."""
    console, called = session.console, name or drops.drop_name()
    files = drops.collect(paths)
    with console.step(f"dropping {len(files)} files as {called}") as step:
        drops.send_drop(session, model, called, files, manifest=manifest, progress=step.update)
    if not wait:
        console.document({"model": model, "drop": called, "files": sorted(files), "verdict": None})
        console.say(f"[dim]next:[/]  headrace watch {model}")
        return ExitCode.OK
    with console.step(f"waiting for the verdict on {called}") as step:
        verdict = drops.wait_for_drop(session, model, called, timeout)
        step.done(styled(verdict.state))
    objects = drops.read_objects(session, model, called)
    tell_verdict(console, verdict, objects)
    console.document(
        {"model": model, "drop": called, "files": sorted(files), "verdict": verdict}
        | {"quarantined": [o for o in objects if is_quarantined(o)]}
    )
    return ExitCode.OK if verdict.state == "accepted" else ExitCode.NEGATIVE


@command(app, name="quarantine")
def show_quarantine(
    session: Session,
    model: Model,
    drop: Annotated[str, typer.Argument(help="Only this drop.", show_default=False)] = "",
    show: Annotated[str, typer.Option(metavar="KEY", help="Show the content of one object.")] = "",
    limit: Limit = 20,
    set_aside: Annotated[
        str, typer.Option(metavar="DATASET", help="Have later runs leave a dataset out.")
    ] = "",
    take_back: Annotated[
        str, typer.Option(metavar="DATASET", help="Have later runs use a dataset again.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why it is set aside.")] = "",
) -> None:
    """Show what is in quarantine, and why; set a whole dataset aside, or take it back."""
    console = session.console
    if set_aside or take_back:
        dataset = quarantine.find_dataset(session, model, set_aside or take_back)
        quarantine.set_aside(
            session, dataset, (reason or f"set aside by {caller(session)}") if set_aside else None
        )
    objects = quarantine.quarantined(session, model, drop or None)
    if show:
        found = quarantine.show(session, objects, show, limit)
        console.document(asdict(found))
        console.say(f"[bold]{found.uri}[/]")
        if found.rows:
            columns = list(found.rows[0])
            console.table(columns, [[str(r.get(c, "")) for c in columns] for r in found.rows])
        else:
            console.text(found.text)
        return
    aside = [] if drop else quarantine.datasets_set_aside(session, model)
    console.document([r.model_dump(mode="json", exclude_none=True) for r in (*objects, *aside)])
    tell_objects(console, objects)
    for left_out in aside:
        console.say(f"[red]set aside[/] dataset {left_out.dataset_version} of {left_out.drop}")
        console.text(f"  {left_out.set_aside}")
    if not objects and not aside:
        console.say("Nothing is in quarantine.")


def tell_verdict(console: Console, verdict: DropRecord, objects: list[ObjectRecord]) -> None:
    """Say what became of a drop, and of whatever part of it was refused."""
    if verdict.dataset_version:
        console.say(
            f"dataset [bold]{verdict.dataset_version}[/]: {verdict.rows:,} rows "
            f"in {verdict.files} files"
        )
    for reason in verdict.reasons:
        console.text(f"  {reason}")
    tell_objects(console, [o for o in objects if is_quarantined(o)])


def tell_objects(console: Console, objects: list[ObjectRecord]) -> None:
    """Say of each object in quarantine why it is there."""
    for entry in objects:
        whole = entry.verdict == "quarantined"
        what = "the whole file" if whole else f"{entry.quarantined_rows:,} of {entry.rows:,} rows"
        console.say(
            f"[red]quarantined[/] {entry.drop}/{entry.object_key.rpartition('/')[2]}: {what}"
        )
        for reason in entry.reasons:
            console.text(f"  {reason}")


def is_quarantined(entry: ObjectRecord) -> bool:
    """Tell whether an object, or some of its rows, is in quarantine."""
    return entry.verdict == "quarantined" or bool(entry.quarantined_rows)
