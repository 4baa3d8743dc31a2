"""EventBridge schedules of a model's own: made, changed and removed as its project says."""

import json
import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field

from headrace.aws.clients import client
from headrace.settings import Settings

# What a schedule can say of its own invocation ("Adding context attributes", Scheduler user guide).
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
# A run that could not be started is late after an hour: the next one does its work.
_RETRIES = {"MaximumRetryAttempts": 20, "MaximumEventAgeInSeconds": 3600}


class ScheduleSettings(Settings):
    """For the functions that make schedules of models."""

    schedule_group: str = Field(alias="SCHEDULE_GROUP", description="Group of models' schedules.")
    schedule_role_arn: str = Field(
        alias="SCHEDULE_ROLE_ARN", description="Role that schedules invoke with."
    )
    schedule_dead_letters_arn: str = Field(
        alias="SCHEDULE_DEAD_LETTERS_ARN", description="Queue of invocations that failed."
    )


class Schedules:
    """The schedules of this stack's models."""

    def __init__(self, settings: ScheduleSettings, scheduler: Any) -> None:
        self._settings = settings
        self._scheduler = scheduler

    @classmethod
    def of(cls, settings: ScheduleSettings) -> Self:
        """Return the schedules of this stack, with the process's own client."""
        return cls(settings, client("scheduler"))

    def ensure_schedule(
        self,
        name: str,
        expression: str,
        target: str,
        payload: Mapping[str, Any],
        timezone: str = "UTC",
    ) -> None:
        """Have `target` (an ARN the schedules' role may call) invoked with a JSON payload.

        One that is so already is left alone, so that a rate goes on from where it is.
        """
        here = self._settings
        wanted: dict[str, Any] = {
            "Name": name,
            "GroupName": here.schedule_group,
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": timezone,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": target,
                "RoleArn": here.schedule_role_arn,
                "Input": json.dumps(payload),
                "RetryPolicy": _RETRIES,
                "DeadLetterConfig": {"Arn": here.schedule_dead_letters_arn},
            },
        }
        try:
            self._scheduler.create_schedule(**wanted)
        except self._scheduler.exceptions.ConflictException:
            found = self._scheduler.get_schedule(Name=name, GroupName=here.schedule_group)
            if any(found.get(field) != value for field, value in wanted.items()):
                self._scheduler.update_schedule(**wanted)

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule, unless there is none."""
        try:
            self._scheduler.delete_schedule(Name=name, GroupName=self._settings.schedule_group)
        except self._scheduler.exceptions.ResourceNotFoundException:
            return


def rate(seconds: int) -> str:
    """Return the expression of every so many seconds; Scheduler knows whole minutes."""
    minutes = max(1, math.ceil(seconds / 60))
    sizes = {"day": 1440, "hour": 60, "minute": 1}
    unit, size = next(each for each in sizes.items() if minutes % each[1] == 0)
    number = minutes // size
    return f"rate({number} {unit}{'s' if number > 1 else ''})"
