"""`retrain`: a person wants a new candidate, and hears what comes of it."""

from typing import Annotated

import typer

from headrace_cli import retraining
from headrace_cli.app import app
from headrace_cli.commands.options import Model, Timeout, Wait
from headrace_cli.console import styled
from headrace_cli.exit_codes import ExitCode
from headrace_cli.journey import numbers
from headrace_cli.session import Session, command

_ANSWER_SECONDS = 60.0


@command(app)
def retrain(
    session: Session,
    model: Model,
    reason: Annotated[
        str, typer.Option(help="Why; the run's record remembers it.", show_default=False)
    ],
    again: Annotated[
        bool,
        typer.Option("--again", help="Even if a run has learnt from the same data and code."),
    ] = False,
    wait: Wait = False,
    timeout: Timeout = 3600.0,
) -> ExitCode:
    """Train a new candidate on the data there are."""
    console = session.console
    name = retraining.request(session, model, reason, again=again)
    with console.step(f"waiting for the answer to request {name}") as step:
        answer = retraining.wait_for_answer(session, model, name, min(timeout, _ANSWER_SECONDS))
        step.done(styled(answer.answer or ""))
    for said in answer.reasons:
        console.text(f"  {said}")
    run = None
    if wait and answer.answer == "waiting":
        with console.step("waiting for its turn") as step:
            answer = retraining.wait_for_answer(session, model, name, timeout, final=True)
            step.done(styled(answer.answer or ""))
    if wait and answer.run:
        with console.step(f"waiting for run {answer.run}") as step:
            run = retraining.wait_for_run(session, model, answer.run, timeout)
            step.done(styled(run.status))
        console.say(numbers(run))
    console.document({"request": answer, "run": run})
    if answer.run and not wait:
        console.say(f"[dim]next:[/]  headrace watch {model}")
    negative = answer.answer == "refused" or (run is not None and run.status != "better")
    return ExitCode.NEGATIVE if negative else ExitCode.OK
