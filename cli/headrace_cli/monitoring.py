"""Starts monitoring of a model now, and reads what it says."""

import json
from typing import Any

from headrace.aws.executions import FAILED_STATUSES
from headrace.names import execution_name
from headrace.records import now
from headrace_cli.errors import FailedError
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for


def start(session: Session, model: str) -> str:
    """Start monitoring of what the version that serves has answered until now.

    Returns the execution's ARN. Raises UsageError: the model is unknown.
    """
    session.model(model)
    started = session.client("stepfunctions").start_execution(
        stateMachineArn=session.stack.monitoring_state_machine_arn,
        name=execution_name(model, now()),
        input=json.dumps({"model": model}),
    )
    return str(started["executionArn"])


def wait_for_verdict(session: Session, execution: str, timeout: float) -> dict[str, Any]:
    """Return the machine's verdict.

    Raises:
        FailedError: it ended in a fault.
        TimedOutError: it has not ended in time.
    """

    def look() -> dict[str, Any] | None:
        found = session.client("stepfunctions").describe_execution(executionArn=execution)
        if found["status"] in FAILED_STATUSES:
            why = found.get("cause") or found.get("error") or found["status"]
            raise FailedError(f"Monitoring ended without a verdict: {why}", "headrace logs")
        return json.loads(found["output"]) if found["status"] == "SUCCEEDED" else None

    return wait_for(look, "the verdict", timeout=timeout, interval=session.environment.poll_seconds)
