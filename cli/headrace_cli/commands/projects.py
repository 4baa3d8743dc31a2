"""`publish`: a model project becomes the one in force."""

from dataclasses import asdict
from typing import Annotated

import typer

from headrace_cli.app import app
from headrace_cli.commands.options import Folder, Timeout
from headrace_cli.console import styled
from headrace_cli.exit_codes import ExitCode
from headrace_cli.publishing import publish as send
from headrace_cli.publishing import wait_for_verdict
from headrace_cli.session import Session, command


@command(app)
def publish(
    session: Session,
    folder: Folder,
    wait: Annotated[bool, typer.Option(help="Wait for the verdict; negative: exit code 1.")] = True,
    timeout: Timeout = 300.0,
) -> ExitCode:
    """Check a model project here, publish it, and see what the stack thinks of it."""
    console = session.console
    with console.step(f"publishing {folder}") as step:
        sent = send(session, folder)
        verdict = wait_for_verdict(session, sent, timeout) if wait else None
        step.done(styled(verdict.status) if verdict else "sent")
    commit = sent.commit or "no git commit"
    console.say(f"[bold]{sent.model}[/] version {sent.project_version} ({commit})")
    console.say(f"[dim]rollout:[/] {sent.rollout}")
    for reason in verdict.reasons if verdict else []:
        console.text(f"  {reason}")
    console.document({**asdict(sent), "verdict": verdict})
    refused = verdict is not None and verdict.status == "refused"
    return ExitCode.NEGATIVE if refused else ExitCode.OK
