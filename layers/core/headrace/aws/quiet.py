"""One-time schedules that look whether a drop has been quiet: nobody polls."""

import json
from datetime import datetime, timedelta
from typing import Any, Self

from headrace.aws.clients import client
from headrace.datasets.settings import IntakeSettings
from headrace.names import digest


class QuietChecks:
    """Schedules the function that seals quiet drops."""

    def __init__(self, settings: IntakeSettings, scheduler: Any) -> None:
        self._settings = settings
        self._scheduler = scheduler

    @classmethod
    def of(cls, settings: IntakeSettings) -> Self:
        """Return the schedules of this stack, with the process's own client."""
        return cls(settings, client("scheduler"))

    def schedule(self, model: str, drop: str, due: str) -> None:
        """Have the drop looked at just after `due`; asking again for the same time is harmless."""
        here = self._settings
        # Expressions know whole seconds: the next one, so that `due` has passed by then.
        at = datetime.fromisoformat(due).replace(microsecond=0) + timedelta(seconds=1)
        try:
            self._scheduler.create_schedule(
                Name=f"quiet-{digest(model, drop, due, length=40)}",
                GroupName=here.schedule_group,
                ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
                ScheduleExpressionTimezone="UTC",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target={
                    "Arn": here.schedule_target_arn,
                    "RoleArn": here.schedule_role_arn,
                    "Input": json.dumps({"model": model, "drop": drop}),
                    "RetryPolicy": {"MaximumRetryAttempts": 20, "MaximumEventAgeInSeconds": 86400},
                    "DeadLetterConfig": {"Arn": here.schedule_dead_letters_arn},
                },
            )
        except self._scheduler.exceptions.ConflictException:
            return
