"""The CloudWatch alarms of an automatic rollback, read as the model's execution role.

"Auto-Rollback Configuration and Monitoring": the role needs cloudwatch:DescribeAlarms on them.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.instance import DeploymentError


class Alarms:
    """The alarms that end a deployment; there may be none."""

    def __init__(self, context: Context, endpoint: str, role: str, names: list[str]) -> None:
        self._context = context
        self._endpoint = endpoint
        self._role = role
        self._names = names
        self._client: Any = None

    def check(self) -> None:
        """Raise DeploymentError if an alarm is in ALARM, is missing, or may not be read."""
        if not self._names:
            return
        try:
            if self._client is None:
                self._client = self._context.client("cloudwatch", self._role, self._endpoint[:64])
            found = self._client.describe_alarms(
                AlarmNames=self._names, AlarmTypes=["CompositeAlarm", "MetricAlarm"]
            )
        except ServiceError as error:
            raise DeploymentError(error.message) from error
        except (ClientError, BotoCoreError) as error:
            raise DeploymentError(
                f"Could not read the auto-rollback alarms {', '.join(self._names)}. Please ensure "
                f"that the role {self._role} has permission to perform cloudwatch:DescribeAlarms. "
                f"{error}"
            ) from error
        alarms = [*found["MetricAlarms"], *found["CompositeAlarms"]]
        states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
        if missing := [name for name in self._names if name not in states]:
            raise DeploymentError(
                f"Auto-rollback alarm(s) {', '.join(missing)} could not be found in CloudWatch."
            )
        if ringing := [name for name in self._names if states[name] == "ALARM"]:
            raise DeploymentError(
                f"Auto-rollback alarm(s) {', '.join(ringing)} went into the ALARM state; the "
                "deployment was rolled back."
            )
