"""The alarm of each monitor: it rings while the monitor sees drift of the version that serves.

The version is a dimension of the metric, so the alarm of one version can never ring for what
another one answered. A window that is unsure publishes nothing, which is no drift.
"""

from typing import Any

from headrace.deployment.alarms import alarm_name
from headrace.monitoring.report import Monitor

NAMESPACE = "Headrace"
DRIFTED = "Drifted"
VALUE = "Value"


def dimensions(endpoint: str, version: int, monitor: Monitor) -> dict[str, str]:
    """Return the dimensions of a monitor's metrics."""
    return {"Endpoint": endpoint, "Version": str(version), "Monitor": monitor}


def build_monitor_alarm(
    monitor: Monitor,
    *,
    endpoint: str,
    version: int,
    schedule: int,
    tags: list[dict[str, str]],
) -> dict[str, Any]:
    """Return a PutMetricAlarm request. `schedule` is in seconds; periods are whole minutes."""
    described = dimensions(endpoint, version, monitor)
    return {
        "AlarmName": alarm_name(endpoint, monitor),
        "AlarmDescription": f"Endpoint {endpoint}, version {version}: {monitor}. "
        'See docs/runbook.md, "A monitor\'s alarm rings".',
        "Namespace": NAMESPACE,
        "MetricName": DRIFTED,
        "Dimensions": [{"Name": name, "Value": value} for name, value in described.items()],
        "Statistic": "Maximum",
        "Period": -(-schedule // 60) * 60,
        "EvaluationPeriods": 1,
        "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "Tags": tags,
    }
