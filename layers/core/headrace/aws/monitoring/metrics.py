"""A report's metrics, as log lines that CloudWatch reads (embedded metric format)."""

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from headrace.monitoring.alarms import DRIFTED, NAMESPACE, VALUE, dimensions
from headrace.monitoring.report import Report


def publish_metrics(report: Report) -> None:
    """Publish what each monitor saw: whether it drifted (nothing if unsure), and its headline.

    Three dimensions and two metrics a monitor: CloudWatch charges for each combination.
    """
    for point in report.trend:
        if point.at != report.end:
            continue
        # No dimension `service`, which alarms would have to name too.
        metrics = EphemeralMetrics(namespace=NAMESPACE, service="")
        described = dimensions(report.endpoint, report.package_version, point.monitor)
        for name, value in described.items():
            metrics.add_dimension(name, value)
        if point.verdict != "unsure":
            metrics.add_metric(DRIFTED, MetricUnit.Count, float(point.verdict == "drifted"))
        if point.value is not None:
            metrics.add_metric(VALUE, MetricUnit.NoUnit, point.value)
        if point.verdict != "unsure" or point.value is not None:
            metrics.flush_metrics()
