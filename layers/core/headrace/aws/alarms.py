"""CloudWatch alarms, as they are at this moment."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from headrace.deployment.alarms import MONITORS, alarm_name

VERSION_DIMENSION = "Version"


class AlarmState(NamedTuple):
    """An alarm as CloudWatch has it; a composite one has a rule."""

    name: str
    state: str
    reason: str
    dimensions: Mapping[str, str]
    rule: str = ""


def describe_alarms(names: Iterable[str], cloudwatch: Any) -> list[AlarmState]:
    """Return those alarms that exist, metric alarms and composite ones."""
    wanted = list(names)
    if not wanted:
        return []
    reply = cloudwatch.describe_alarms(
        AlarmNames=wanted, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    return [
        AlarmState(
            alarm["AlarmName"],
            alarm["StateValue"],
            alarm.get("StateReason", ""),
            {each["Name"]: each["Value"] for each in alarm.get("Dimensions", [])},
            alarm.get("AlarmRule", ""),
        )
        for alarm in (*reply.get("MetricAlarms", []), *reply.get("CompositeAlarms", []))
    ]


def ringing_monitors(endpoint: str, version: int | None, cloudwatch: Any) -> list[str]:
    """Return the names of monitors' alarms that ring about this version, and about no other.

    Until the next report they are still those of the version before, whose fault they are not.
    """
    names = [alarm_name(endpoint, monitor) for monitor in MONITORS]
    return [
        alarm.name
        for alarm in describe_alarms(names, cloudwatch)
        if alarm.state == "ALARM" and alarm.dimensions.get(VERSION_DIMENSION) == str(version)
    ]
