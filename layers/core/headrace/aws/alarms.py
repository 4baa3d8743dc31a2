"""CloudWatch alarms, as they are at this moment."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class AlarmState(NamedTuple):
    """An alarm as CloudWatch has it."""

    name: str
    state: str
    reason: str


def describe_alarms(names: Iterable[str], cloudwatch: Any) -> list[AlarmState]:
    """Return those alarms that exist, metric alarms and composite ones."""
    wanted = list(names)
    if not wanted:
        return []
    reply = cloudwatch.describe_alarms(
        AlarmNames=wanted, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    return [
        AlarmState(alarm["AlarmName"], alarm["StateValue"], alarm.get("StateReason", ""))
        for alarm in (*reply.get("MetricAlarms", []), *reply.get("CompositeAlarms", []))
    ]
