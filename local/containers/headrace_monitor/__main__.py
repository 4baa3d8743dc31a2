"""One run of the monitor: read, compare, report."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from headrace_monitor import constraints, profile, quality
from headrace_monitor.contract import (
    MESSAGE,
    METRICS,
    Contract,
    MonitorError,
    place,
    write_json,
)
from headrace_monitor.records import load, read

logger = logging.getLogger("monitor")


def main() -> int:
    """Run as the environment says; the exit code is the container's."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
    contract = Contract(os.environ)
    try:
        violations = run(contract)
        script = contract.text("post_analytics_processor_script")
        if script:
            load(script, "postprocess_handler")()
    except MonitorError as error:
        logger.error("%s", error)
        place(MESSAGE).write_text(f"Failed: {error}")
        return 1
    done = "Job completed successfully with"
    place(MESSAGE).write_text(
        f"CompletedWithViolations: {done} {len(violations)} violations."
        if violations
        else f"Completed: {done} no violations."
    )
    return 0


def run(contract: Contract) -> list[dict[str, Any]]:
    """Write the reports; return the violations. Raises MonitorError."""
    analysis = contract.text("analysis_type", "DATA_QUALITY")
    if analysis == "MODEL_QUALITY":
        reports, metrics = quality.reports(contract)
    elif analysis == "DATA_QUALITY":
        reports, metrics = data_quality(contract)
    else:
        raise MonitorError(
            f"analysis_type {analysis} is not done by the local AWS's monitor; map an image of "
            "your own in local/images.yaml"
        )
    output = place(contract.required("output_path"))
    for name, report in reports.items():
        write_json(output / f"{name}.json", report)
    if contract.publishes and metrics:
        place(METRICS).parent.mkdir(parents=True, exist_ok=True)
        place(METRICS).write_text("".join(json.dumps(_datum(contract, m)) + "\n" for m in metrics))
    found: list[dict[str, Any]] = reports.get("constraint_violations", {}).get("violations", [])
    return found


def data_quality(contract: Contract) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the reports on a dataset, and its metrics; a baseline's if there is none yet."""
    wanted = contract.document("baseline_constraints")
    names = [entry["name"] for entry in (wanted or {}).get("features", [])]
    columns_found, rows = read(contract, names)
    columns = [profile.Column.of(name, rows) for name in columns_found]
    logger.info("%d rows of %d columns", len(rows), len(columns))
    if not rows:
        raise MonitorError("There are no records between start_time and end_time")
    reports: dict[str, Any] = {
        "statistics": profile.statistics(columns, len(rows)),
        "constraints": constraints.suggest(columns),
    }
    drift: dict[str, float] = {}
    if wanted is not None:
        baseline = contract.document("baseline_statistics")
        violations, drift = constraints.check(columns, wanted, baseline)
        reports["constraint_violations"] = {"violations": violations}
    return reports, _metrics(columns, drift)


def _metrics(columns: list[profile.Column], drift: dict[str, float]) -> list[dict[str, Any]]:
    """Return metrics under AWS's names ("CloudWatch Metrics" of data quality)."""
    metrics: list[dict[str, Any]] = []
    for column in columns:
        numbers = column.numbers
        if len(numbers) and column.inferred != "String":
            summary = {
                "SampleCount": float(len(numbers)),
                "Sum": float(numbers.sum()),
                "Minimum": float(numbers.min()),
                "Maximum": float(numbers.max()),
            }
            metrics.append(
                {"MetricName": f"feature_data_{column.name}", "StatisticValues": summary}
            )
        metrics += [
            {"MetricName": f"feature_non_null_{column.name}", "Value": float(len(column.values))},
            {"MetricName": f"feature_null_{column.name}", "Value": float(column.missing)},
        ]
    return metrics + [
        {"MetricName": f"feature_baseline_drift_{name}", "Value": distance}
        for name, distance in drift.items()
    ]


def _datum(contract: Contract, metric: dict[str, Any]) -> dict[str, Any]:
    dimensions = {
        "Endpoint": contract.text("sagemaker_endpoint_name"),
        "MonitoringSchedule": contract.text("sagemaker_monitoring_schedule_name"),
    }
    return {
        "Timestamp": contract.text("metric_time", contract.text("start_time")),
        "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions.items() if v],
        **metric,
    }


if __name__ == "__main__":
    sys.exit(main())
