"""Monitoring schedules at work on a whole local AWS: processing jobs on captured data."""

import datetime as dt
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import BUCKET, ROLE, SCRIPT, Clients
from tests.local.sagemaker.monitors import (
    ANALYZER,
    HOURLY,
    INPUT,
    NOW,
    RESOURCES,
    data_quality,
    output,
    schedule,
)

PREPROCESSOR = """
def preprocess_handler(inference_record):
    amount, region = inference_record.endpoint_input.data.split(",")
    return {"amount": float(amount), "region": region}
"""


@pytest.fixture(scope="module")
def monitored(clients: Clients) -> Iterator[str]:
    """An endpoint whose requests and responses are captured; the prefix of its data."""
    name, prefix = "monitored", "test-monitoring"
    content_types = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/{prefix}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": content_types,
    }
    clients.config(name, ("main", clients.model(name), 1.0), DataCaptureConfig=capture)
    clients.deploy(name, name)
    random.seed(4)
    truths = []
    for number in range(40):
        clients.ask(name, f"{random.gauss(70, 5):.2f},nord", InferenceId=f"order-{number}")
        label = {"data": "one" if number % 4 else "two", "encoding": "CSV"}
        truth = {"groundTruthData": label, "eventMetadata": {"eventId": f"order-{number}"}}
        truths.append(json.dumps(truth))

    def delivered() -> bool:
        keys = clients.keys(f"{prefix}/captured/{name}/main/")
        return sum(clients.get(f"s3://{BUCKET}/{key}").count(b"\n") for key in keys) == 40

    wait_until(delivered, what="the captured data")
    hour = dt.datetime.now(dt.UTC).strftime("%Y/%m/%d/%H")
    clients.put(f"{prefix}/truth/{hour}/truth.jsonl", "\n".join(truths))
    clients.put(f"{prefix}/code/preprocessor.py", PREPROCESSOR)
    yield prefix
    clients.delete(name)


def finished(clients: Clients, name: str) -> dict[str, Any]:
    """Wait for a schedule's first execution to end."""

    def ended() -> dict[str, Any] | None:
        found = clients.sagemaker.list_monitoring_executions(
            MonitoringScheduleName=name, SortOrder="Ascending"
        )["MonitoringExecutionSummaries"]
        running = ("Pending", "InProgress")
        if found and found[0]["MonitoringExecutionStatus"] not in running:
            return found[0]
        return None

    return wait_until(ended, seconds=40, what=f"the execution of {name}")


def baseline(clients: Clients, name: str) -> str:
    """Suggest a baseline as the SDK's DefaultModelMonitor does; return where it is."""
    random.seed(5)
    rows = [f"{random.gauss(50, 5):.2f},{'nord' if i % 2 else 'sud'}" for i in range(200)]
    source = clients.put(f"{name}/baseline/data.csv", "\n".join(["amount,region", *rows]))
    root = "/opt/ml/processing"
    given = {
        "S3Uri": source,
        "LocalPath": f"{root}/input/baseline_dataset_input",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    target = {"S3Uri": f"s3://{BUCKET}/{name}/results", "S3UploadMode": "EndOfJob"}
    clients.sagemaker.create_processing_job(
        ProcessingJobName=f"{name}-baseline",
        RoleArn=ROLE,
        AppSpecification={"ImageUri": ANALYZER},
        ProcessingResources=RESOURCES,
        Environment={
            "dataset_format": '{"csv": {"header": true, "output_columns_position": "START"}}',
            "dataset_source": given["LocalPath"],
            "output_path": f"{root}/output",
            "publish_cloudwatch_metrics": "Disabled",
        },
        ProcessingInputs=[{"InputName": "baseline_dataset_input", "S3Input": given}],
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "monitoring_output",
                    "S3Output": {**target, "LocalPath": f"{root}/output"},
                }
            ]
        },
    )
    describe = clients.sagemaker.describe_processing_job
    job = wait_until(
        lambda: (
            (found := describe(ProcessingJobName=f"{name}-baseline"))["ProcessingJobStatus"]
            != "InProgress"
            and found
        ),
        what="the baseline",
    )
    assert job["ProcessingJobStatus"] == "Completed", job
    return f"s3://{BUCKET}/{name}/results"


def test_drift_in_captured_data(clients: Clients, monitored: str, unique: str) -> None:
    """Baseline, NOW, preprocessor, violations, reports' layout, exit message, metrics."""
    baseline(clients, unique)
    application = {
        "ImageUri": ANALYZER,
        "RecordPreprocessorSourceUri": f"s3://{BUCKET}/{monitored}/code/preprocessor.py",
    }
    clients.sagemaker.create_data_quality_job_definition(
        **data_quality(
            unique,
            DataQualityAppSpecification=application,
            DataQualityBaselineConfig={"BaseliningJobName": f"{unique}-baseline"},
        )
    )
    clients.sagemaker.create_monitoring_schedule(**schedule(unique, NOW))
    execution = finished(clients, unique)
    told = (execution["MonitoringExecutionStatus"], execution.get("FailureReason"))
    assert told == ("CompletedWithViolations", None)
    job_name = execution["ProcessingJobArn"].rpartition("/")[2]
    job = clients.sagemaker.describe_processing_job(ProcessingJobName=job_name)
    assert job_name.startswith("model-monitoring-")
    assert job["MonitoringScheduleArn"].endswith(f":monitoring-schedule/{unique}")
    assert job["ExitMessage"].startswith("CompletedWithViolations: ")
    when = f"{execution['ScheduledTime'].astimezone(dt.UTC):%Y/%m/%d/%H}"
    folder = f"s3://{BUCKET}/{unique}/reports/monitored/{unique}/{when}"
    violations = json.loads(clients.get(f"{folder}/constraint_violations.json"))["violations"]
    assert ("amount", "baseline_drift_check") in {
        (each["feature_name"], each["constraint_check_type"]) for each in violations
    }
    statistics = json.loads(clients.get(f"{folder}/statistics.json"))
    assert statistics["dataset"]["item_count"] == 40
    found = clients.cloudwatch.get_metric_statistics(
        Namespace="aws/sagemaker/Endpoints/data-metrics",
        MetricName="feature_baseline_drift_amount",
        Dimensions=[
            {"Name": "Endpoint", "Value": "monitored"},
            {"Name": "MonitoringSchedule", "Value": unique},
        ],
        StartTime=time.time() - 2 * 3600,  # a metric has the time of its window
        EndTime=time.time() + 60,
        Period=7200,
        Statistics=["Maximum"],
    )
    assert found["Datapoints"][0]["Maximum"] > 0.5
    described = clients.sagemaker.describe_monitoring_schedule(MonitoringScheduleName=unique)
    summary = described["LastMonitoringExecutionSummary"]
    assert summary["ProcessingJobArn"] == execution["ProcessingJobArn"]


def test_model_quality_merges_first(clients: Clients, monitored: str, unique: str) -> None:
    """Two jobs: ground truth joined by inference id, then the predictions measured."""
    given = {**INPUT, "InferenceAttribute": "text"}
    clients.sagemaker.create_model_quality_job_definition(
        JobDefinitionName=unique,
        ModelQualityAppSpecification={
            "ImageUri": ANALYZER,
            "ProblemType": "MulticlassClassification",
        },
        ModelQualityJobInput={
            "EndpointInput": given,
            "GroundTruthS3Input": {"S3Uri": f"s3://{BUCKET}/{monitored}/truth"},
        },
        ModelQualityJobOutputConfig=output(f"s3://{BUCKET}/{unique}/reports"),
        JobResources=RESOURCES,
        RoleArn=ROLE,
    )
    clients.sagemaker.create_monitoring_schedule(**schedule(unique, NOW, "ModelQuality"))
    execution = finished(clients, unique)
    assert execution["MonitoringExecutionStatus"] == "Completed", execution
    name = execution["ProcessingJobArn"].rpartition("/")[2]
    assert name.startswith("model-quality-monitoring-")
    merge = name.replace("model-quality-monitoring", "groundtruth-merge")
    job = clients.sagemaker.describe_processing_job(ProcessingJobName=merge)
    assert job["ExitMessage"] == "Completed: 40 records have ground truth."
    (statistics,) = [
        key for key in clients.keys(f"{unique}/reports/monitored/") if "statistics" in key
    ]
    report = json.loads(clients.get(f"s3://{BUCKET}/{statistics}"))
    assert report["multiclass_classification_metrics"]["accuracy"]["value"] == 0.75


def test_an_image_of_one_s_own_on_the_hour(clients: Clients, monitored: str, unique: str) -> None:
    """Any mapped image is run with the documented environment, every "hour" until stopped."""
    given = {**INPUT, "StartTimeOffset": "-PT1H", "EndTimeOffset": "-PT0H"}
    clients.sagemaker.create_data_quality_job_definition(
        **data_quality(
            unique,
            DataQualityAppSpecification={"ImageUri": SCRIPT, "Environment": {"LEVEL": "3"}},
            DataQualityJobInput={"EndpointInput": given},
        )
    )
    clients.sagemaker.create_monitoring_schedule(**schedule(unique, HOURLY))
    execution = finished(clients, unique)
    clients.sagemaker.stop_monitoring_schedule(MonitoringScheduleName=unique)
    assert execution["MonitoringExecutionStatus"] == "Completed", execution
    when = f"{execution['ScheduledTime'].astimezone(dt.UTC):%Y/%m/%d/%H}"
    folder = f"s3://{BUCKET}/{unique}/reports/monitored/{unique}/{when}"
    job = json.loads(clients.get(f"{folder}/config.json"))
    environment = job["Environment"]
    assert environment["LEVEL"] == "3"
    assert environment["dataset_source"] == "/opt/ml/processing/input/endpoint"
    assert environment["output_path"] == "/opt/ml/processing/output"
    assert environment["publish_cloudwatch_metrics"] == "Enabled"
    assert environment["sagemaker_endpoint_name"] == "monitored"
    assert environment["sagemaker_monitoring_schedule_name"] == unique
    assert json.loads(environment["dataset_format"])["sagemakerCaptureJson"] == {
        "captureIndexNames": ["endpointInput", "endpointOutput"]
    }
    start, end = (
        dt.datetime.fromisoformat(environment[name]) for name in ("start_time", "end_time")
    )
    assert end - start == dt.timedelta(hours=1)
    assert abs(end - execution["ScheduledTime"]) < dt.timedelta(seconds=1)
    given_input = job["ProcessingInputs"][0]["S3Input"]
    assert given_input["LocalPath"].startswith("/opt/ml/processing/input/endpoint/monitored/main/")


def test_an_execution_says_why_it_failed(clients: Clients, monitored: str, unique: str) -> None:
    clients.sagemaker.create_data_quality_job_definition(**data_quality(unique))
    past = {**NOW, "DataAnalysisStartTime": "-PT20H", "DataAnalysisEndTime": "-PT10H"}
    clients.sagemaker.create_monitoring_schedule(**schedule(unique, past))
    execution = finished(clients, unique)
    assert execution["MonitoringExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Job inputs had no data"
    with pytest.raises(ClientError, match="ResourceInUse"):
        clients.sagemaker.create_monitoring_schedule(**schedule(unique, past))
