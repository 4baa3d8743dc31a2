"""The monitor that stands for AWS's: the container contract, without a local AWS.

Formats: "Schema for Statistics", "Schema for Constraints", "Schema for Violations", "Model Quality
Metrics" and "Ingest Ground Truth Labels" of the developer guide.
"""

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.local.conftest import ROOT

PYTHON = ROOT / ".venv" / "tabular" / "bin" / "python"
CAPTURE = json.dumps(
    {"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}}
)
MERGED = json.dumps({"sagemakerMergeJson": {"captureIndexNames": ["endpointOutput"]}})


def run(base: Path, module: str = "headrace_monitor", **variables: str) -> str:
    """Run the container; return its message. Its paths are below `base`."""
    (base / "output").mkdir(exist_ok=True)
    environment = {
        "SAGEMAKER_BASE_DIR": str(base),
        "PYTHONPATH": str(ROOT / "local" / "containers"),
        "PATH": os.defpath,
        "dataset_source": "/opt/ml/processing/input",
        "output_path": "/opt/ml/processing/output",
        **variables,
    }
    command = [str(PYTHON), "-m", module]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    message = (base / "output" / "message").read_text()
    assert (ended.returncode == 0) == message.startswith("Completed"), ended.stderr
    return message


def report(base: Path, name: str) -> Any:
    return json.loads((base / "processing" / "output" / f"{name}.json").read_text())


def put(base: Path, name: str, lines: list[str]) -> None:
    file = base / "processing" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def captured(data: str, output: str, number: int = 0, hour: int = 10) -> str:
    def side(mode: str, text: str) -> dict[str, str]:
        return {"observedContentType": "text/csv", "mode": mode, "data": text, "encoding": "CSV"}

    return json.dumps(
        {
            "captureData": {
                "endpointInput": side("INPUT", data),
                "endpointOutput": side("OUTPUT", output),
            },
            "eventMetadata": {
                "eventId": f"event-{number}",
                "inferenceTime": f"2026-01-02T{hour}:00:01Z",
            },
            "eventVersion": "0",
        }
    )


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """A baseline of 400 rows: a label, a number, a category."""
    random.seed(1)
    rows = [f"{i % 2},{random.gauss(50, 5):.3f},{'nord' if i % 3 else 'sud'}" for i in range(400)]
    put(tmp_path, "input/rows.csv", ["label,amount,region", *rows])
    message = run(tmp_path, dataset_format='{"csv": {"header": true}}')
    assert message == "Completed: Job completed successfully with no violations."
    for name in ("statistics", "constraints"):
        put(tmp_path, f"baseline/{name}.json", [json.dumps(report(tmp_path, name))])
    (tmp_path / "processing" / "input" / "rows.csv").unlink()
    return tmp_path


def monitor(base: Path, **variables: str) -> str:
    return run(
        base,
        dataset_format=CAPTURE,
        baseline_statistics="/opt/ml/processing/baseline/statistics.json",
        baseline_constraints="/opt/ml/processing/baseline/constraints.json",
        start_time="2026-01-02T10:00:00Z",
        end_time="2026-01-02T11:00:00Z",
        publish_cloudwatch_metrics="Enabled",
        sagemaker_endpoint_name="shop",
        sagemaker_monitoring_schedule_name="hourly",
        **variables,
    )


def test_a_baseline_is_suggested(baseline: Path) -> None:
    statistics, constraints = report(baseline, "statistics"), report(baseline, "constraints")
    assert statistics["dataset"] == {"item_count": 400}
    label, amount, region = statistics["features"]
    assert (label["inferred_type"], amount["inferred_type"]) == ("Integral", "Fractional")
    numbers = amount["numerical_statistics"]
    assert numbers["common"] == {"num_present": 400, "num_missing": 0}
    assert numbers["mean"] == pytest.approx(50, abs=1)
    buckets = numbers["distribution"]["kll"]["buckets"]
    assert len(buckets) == 10
    assert sum(bucket["count"] for bucket in buckets) == 400
    assert region["string_statistics"]["distinct_count"] == 2
    assert [entry["completeness"] for entry in constraints["features"]] == [1.0, 1.0, 1.0]
    assert constraints["features"][2]["string_constraints"] == {"domains": ["nord", "sud"]}
    comparison = constraints["monitoring_config"]["distribution_constraints"]
    assert comparison["comparison_method"] == "Robust"


def test_alike_data_have_no_violations(baseline: Path) -> None:
    """Columns of a captured CSV take the baseline's names, outputs first; the window counts."""
    random.seed(2)
    lines = [captured(f"{random.gauss(50, 5):.3f},nord", str(i % 2)) for i in range(200)]
    lines += [captured(f"{random.gauss(50, 5):.3f},sud", str(i % 2)) for i in range(100)]
    put(baseline, "input/shop/main/2026/01/02/10/a.jsonl", lines)
    put(baseline, "input/shop/main/2026/01/02/11/a.jsonl", [captured("-1,x", "9", hour=11)])
    assert monitor(baseline) == "Completed: Job completed successfully with no violations."
    assert report(baseline, "statistics")["dataset"]["item_count"] == 300
    assert report(baseline, "constraint_violations") == {"violations": []}


def test_every_check_finds_its_violation(baseline: Path) -> None:
    random.seed(3)
    amounts = ["" if i < 5 else f"{random.gauss(70, 5):.3f}" for i in range(100)]
    lines = [captured(f"{amounts[i]},west,1", "0.5") for i in range(100)]
    put(baseline, "input/shop/main/2026/01/02/10/a.jsonl", lines)
    message = monitor(baseline)
    found = {
        (each["constraint_check_type"], each["feature_name"])
        for each in report(baseline, "constraint_violations")["violations"]
    }
    assert found == {
        ("extra_column_check", "Extra columns"),
        ("data_type_check", "label"),
        ("baseline_drift_check", "label"),
        ("completeness_check", "amount"),
        ("baseline_drift_check", "amount"),
        ("categorical_values_check", "region"),
        ("baseline_drift_check", "region"),
    }
    assert message == "CompletedWithViolations: Job completed successfully with 7 violations."
    metrics_file = baseline / "output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
    metrics = {m["MetricName"]: m for m in map(json.loads, metrics_file.read_text().splitlines())}
    assert metrics["feature_baseline_drift_amount"]["Value"] > 0.5
    assert metrics["feature_non_null_amount"]["Value"] == 95
    assert metrics["feature_data_amount"]["StatisticValues"]["SampleCount"] == 95
    assert metrics["feature_data_amount"]["Dimensions"] == [
        {"Name": "Endpoint", "Value": "shop"},
        {"Name": "MonitoringSchedule", "Value": "hourly"},
    ]


def test_drift_is_the_largest_difference_of_the_distributions(tmp_path: Path) -> None:
    """With "Simple", 1..100 against 26..125 differ by exactly 0.25; a preprocessor may rename."""
    put(tmp_path, "input/rows.csv", ["x", *map(str, range(1, 101))])
    run(tmp_path, dataset_format='{"csv": {"header": true}}')
    constraints = report(tmp_path, "constraints")
    constraints["monitoring_config"]["distribution_constraints"]["comparison_method"] = "Simple"
    put(tmp_path, "baseline/constraints.json", [json.dumps(constraints)])
    put(tmp_path, "baseline/statistics.json", [json.dumps(report(tmp_path, "statistics"))])
    (tmp_path / "processing" / "input" / "rows.csv").unlink()
    put(tmp_path, "input/a.jsonl", [captured(str(i), "0") for i in range(26, 126)])
    script = "def preprocess_handler(inference_record):\n"
    put(
        tmp_path,
        "code/pre.py",
        [script + "    return {'x': float(inference_record.endpoint_input.data)}"],
    )
    monitor(tmp_path, record_preprocessor_script="/opt/ml/processing/code/pre.py")
    violations = report(tmp_path, "constraint_violations")["violations"]
    drift = next(v for v in violations if v["constraint_check_type"] == "baseline_drift_check")
    assert drift["description"].startswith("Baseline drift distance: 0.25")


def test_ground_truth_is_merged_and_quality_measured(tmp_path: Path) -> None:
    """400 predictions, of which 300 have their truth and 60 of those are wrong."""
    lines = [captured("1", str(i % 2), number=i) for i in range(400)]
    put(tmp_path, "input/shop/main/2026/01/02/10/a.jsonl", lines)
    truths = [
        json.dumps(
            {
                "groundTruthData": {"data": str((i + (i % 5 == 0)) % 2), "encoding": "CSV"},
                "eventMetadata": {"eventId": f"event-{i}"},
                "eventVersion": "0",
            }
        )
        for i in range(300)
    ]
    put(tmp_path, "groundtruth/2026/01/02/10/t.jsonl", truths)
    truth = "/opt/ml/processing/groundtruth"
    message = run(tmp_path, "headrace_monitor.merge", ground_truth_source=truth)
    assert message == "Completed: 300 records have ground truth."

    limits = {
        "accuracy": {"threshold": 0.9, "comparison_operator": "LessThanThreshold"},
        "recall": {"threshold": 0.5, "comparison_operator": "LessThanThreshold"},
    }
    document = {"version": 0.0, "binary_classification_constraints": limits}
    put(tmp_path, "baseline/constraints.json", [json.dumps(document)])
    (tmp_path / "processing" / "output").rename(tmp_path / "processing" / "merged")
    message = run(
        tmp_path,
        analysis_type="MODEL_QUALITY",
        problem_type="BinaryClassification",
        dataset_format=MERGED,
        dataset_source="/opt/ml/processing/merged",
        inference_attribute="0",
        baseline_constraints="/opt/ml/processing/baseline/constraints.json",
    )
    assert message.startswith("CompletedWithViolations")
    metrics = report(tmp_path, "statistics")["binary_classification_metrics"]
    assert metrics["accuracy"]["value"] == 0.8
    assert 0 < metrics["accuracy"]["standard_deviation"] < 0.05
    assert metrics["confusion_matrix"] == {"0": {"0": 120, "1": 30}, "1": {"0": 30, "1": 120}}
    (violation,) = report(tmp_path, "constraint_violations")["violations"]
    assert violation["metric_name"] == "accuracy"
    assert violation["constraint_check_type"] == "LessThanThreshold"


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    put(tmp_path, "input/a.jsonl", [captured("1", "0")])
    message = run(tmp_path, dataset_format=CAPTURE, analysis_type="MODEL_BIAS")
    assert "MODEL_BIAS is not done by the local AWS's monitor; map an image" in message
    assert "is not a JSON object" in run(tmp_path, dataset_format="csv")
