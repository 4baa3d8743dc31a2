"""Step Functions executions, started once per name."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Self

from headrace.aws.clients import client

# The statuses after which an execution does nothing any more, other than SUCCEEDED.
FAILED_STATUSES = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})


class Executions:
    """Starts and looks up executions of one state machine."""

    def __init__(self, state_machine_arn: str, stepfunctions: Any) -> None:
        self._machine = state_machine_arn
        self._stepfunctions = stepfunctions

    @classmethod
    def of(cls, state_machine_arn: str) -> Self:
        """Return the executions of a state machine, with the process's own client."""
        return cls(state_machine_arn, client("stepfunctions"))

    def arn(self, name: str) -> str:
        """Return the ARN an execution of this name has, started or not."""
        return f"{self._machine.replace(':stateMachine:', ':execution:')}:{name}"

    def start(self, name: str, payload: Mapping[str, Any]) -> str:
        """Start an execution unless one of this name was ever started; return its ARN.

        The same name and input while it runs is a success; once it has ended, the name stays
        taken for 90 days (StartExecution, API reference): both mean that it was started.
        """
        with contextlib.suppress(self._stepfunctions.exceptions.ExecutionAlreadyExists):
            self._stepfunctions.start_execution(
                stateMachineArn=self._machine, name=name, input=json.dumps(payload)
            )
        return self.arn(name)

    def status(self, name: str) -> str | None:
        """Return an execution's status, or None when none of this name is known."""
        try:
            reply = self._stepfunctions.describe_execution(executionArn=self.arn(name))
        except self._stepfunctions.exceptions.ExecutionDoesNotExist:
            return None
        return str(reply["status"])
