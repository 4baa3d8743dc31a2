"""`monitor`: look at live traffic now, instead of when the schedule says."""

from typing import Any

from headrace_cli import monitoring
from headrace_cli.app import app
from headrace_cli.commands.options import Model, Timeout, Wait
from headrace_cli.console import styled
from headrace_cli.exit_codes import ExitCode
from headrace_cli.session import Session, command


@command(app)
def monitor(
    session: Session, model: Model, wait: Wait = False, timeout: Timeout = 300.0
) -> ExitCode:
    """Judge what the version that serves has answered until now; drifted: exit code 1."""
    console = session.console
    execution = monitoring.start(session, model)
    if not wait:
        console.document({"model": model, "execution": execution})
        console.say(f"started [dim]next:[/]  headrace reports {model} --latest")
        return ExitCode.OK
    with console.step(f"monitoring {model}") as step:
        judged = monitoring.wait_for_verdict(session, execution, timeout)
        step.done(styled(judged["verdict"]))
    console.document({"model": model, "execution": execution, **judged})
    _tell(session, model, judged)
    return ExitCode.OK if judged["verdict"] in ("healthy", "unsure") else ExitCode.NEGATIVE


def _tell(session: Session, model: str, judged: dict[str, Any]) -> None:
    console, reported = session.console, judged.get("reported")
    if reported is None:
        console.say(f"No version of {model} serves. [dim]next:[/]  headrace status {model}")
        return
    for reason in reported["reasons"]:
        console.text(f"  {reason}")
    if not session.environment.is_local:  # AWS's console shows nothing of a laptop
        console.text(f"page: {reported['page']}")
    console.say(f"[dim]next:[/]  headrace reports {model} --latest --open")
