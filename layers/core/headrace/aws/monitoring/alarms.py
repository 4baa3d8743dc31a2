"""Monitors' alarms in CloudWatch: those of the version that serves, and of nothing else."""

from typing import Any

from headrace.aws.alarms import VERSION_DIMENSION, describe_alarms
from headrace.definition import ModelDefinition
from headrace.deployment.alarms import MONITORS, alarm_name
from headrace.monitoring.alarms import build_monitor_alarm
from headrace.monitoring.judging import watched_monitors
from headrace.monitoring.report import Report
from headrace.requests import build_tags
from headrace.settings import Settings


def ensure_monitor_alarms(
    report: Report, definition: ModelDefinition, settings: Settings, cloudwatch: Any
) -> None:
    """Make the alarms of the monitors that are switched on; remove the others.

    An alarm of the version before is deleted first: one that is changed keeps its state
    (PutMetricAlarm, API reference), and would ring for a version that nobody has judged yet.
    """
    endpoint, version = report.endpoint, report.package_version
    wanted = watched_monitors(definition)
    names = {alarm_name(endpoint, monitor): monitor for monitor in MONITORS}
    old = [
        alarm.name
        for alarm in describe_alarms(names, cloudwatch)
        if names[alarm.name] not in wanted
        or alarm.dimensions.get(VERSION_DIMENSION) != str(version)
    ]
    if old:
        cloudwatch.delete_alarms(AlarmNames=old)
    for monitor in wanted:
        cloudwatch.put_metric_alarm(
            **build_monitor_alarm(
                monitor,
                endpoint=endpoint,
                version=version,
                schedule=definition.monitoring.schedule,
                tags=build_tags({"stack": settings.stack, "model": report.model}),
            )
        )
