"""`monitor`: look at live traffic now, instead of when the schedule says."""

import json
from typing import Any

from headrace.aws.executions import FAILED_STATUSES
from headrace.names import execution_name
from headrace.records import now
from headrace_cli.app import app
from headrace_cli.commands.options import Model, Timeout, Wait
from headrace_cli.console import Console, styled
from headrace_cli.errors import FailedError
from headrace_cli.exit_codes import ExitCode
from headrace_cli.session import Session, command
from headrace_cli.waiting import wait_for


@command(app)
def monitor(
    session: Session, model: Model, wait: Wait = False, timeout: Timeout = 300.0
) -> ExitCode:
    """Judge what the version that serves has answered until now; drifted: exit code 1."""
    session.model(model)
    console = session.console
    started = session.client("stepfunctions").start_execution(
        stateMachineArn=session.stack.monitoring_state_machine_arn,
        name=execution_name(model, now()),
        input=json.dumps({"model": model}),
    )
    execution = started["executionArn"]
    if not wait:
        console.document({"model": model, "execution": execution})
        console.say(f"started [dim]next:[/]  headrace reports {model} --latest")
        return ExitCode.OK
    with console.step(f"monitoring {model}") as step:
        judged = _wait(session, execution, timeout)
        step.done(styled(judged["verdict"]))
    console.document({"model": model, "execution": execution, **judged})
    _tell(console, model, judged)
    return ExitCode.OK if judged["verdict"] in ("healthy", "unsure") else ExitCode.NEGATIVE


def _wait(session: Session, execution: str, timeout: float) -> dict[str, Any]:
    """Return the machine's verdict. Raises FailedError: it ended in a fault."""

    def look() -> dict[str, Any] | None:
        found = session.client("stepfunctions").describe_execution(executionArn=execution)
        if found["status"] in FAILED_STATUSES:
            why = found.get("cause") or found.get("error") or found["status"]
            raise FailedError(f"Monitoring ended without a verdict: {why}", "headrace logs")
        return json.loads(found["output"]) if found["status"] == "SUCCEEDED" else None

    return wait_for(look, "the verdict", timeout=timeout, interval=session.environment.poll_seconds)


def _tell(console: Console, model: str, judged: dict[str, Any]) -> None:
    reported = judged.get("reported")
    if reported is None:
        console.say(f"No version of {model} serves. [dim]next:[/]  headrace status {model}")
        return
    for reason in reported["reasons"]:
        console.text(f"  {reason}")
    console.text(f"page: {reported['page']}")
    console.say(f"[dim]next:[/]  headrace reports {model} --latest --open")
