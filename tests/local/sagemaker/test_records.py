"""What is told of jobs and requests: events, metrics, captured records.

AWS: "Events for SageMaker AI jobs and endpoints", "Amazon SageMaker AI metrics in Amazon
CloudWatch", "Data capture"; the variables are those of the SageMaker Training Toolkit.
"""

import base64
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker import SageMaker, events, toolkit
from local.sagemaker.hosting.capture import Exchange, record_of
from local.sagemaker.hosting.connection import Response
from local.sagemaker.hosting.measures import Measures
from local.sagemaker.jobs.hosts import Hosts
from local.sagemaker.logs import Logs
from tests.local.sagemaker.conftest import ROLE, SCRIPT, MemoryCloud


def test_details_of_events() -> None:
    record = {
        "TrainingJobName": "t",
        "TrainingJobStatus": "InProgress",
        "CreationTime": 1.5,
        "SecondaryStatusTransitions": [{"Status": "Starting", "StartTime": 2.0}],
        "Tags": [{"Key": "team", "Value": "risk"}],
        "_private": 1,
    }
    assert events.detail("TrainingJob", record) == {
        "TrainingJobName": "t",
        "TrainingJobStatus": "InProgress",
        "CreationTime": 1500,
        "SecondaryStatusTransitions": [{"Status": "Starting", "StartTime": 2000}],
        "Tags": {"team": "risk"},
    }


@pytest.mark.parametrize(
    ("status", "spelt"),
    [("InService", "IN_SERVICE"), ("Creating", "CREATING"), ("RollingBack", "ROLLING_BACK")],
)
def test_endpoint_statuses_of_events(status: str, spelt: str) -> None:
    assert events.upper_snake(status) == spelt


def test_models_and_configs_are_told_of(service: SageMaker, cloud: MemoryCloud) -> None:
    request: dict[str, Any] = {"ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": SCRIPT}}
    service.call("CreateModel", {"ModelName": "m", **request})
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large"}
    config = {"EndpointConfigName": "c", "ProductionVariants": [variant]}
    service.call("CreateEndpointConfig", config)
    assert [event[0] for event in cloud.events] == [
        "SageMaker Model State Change",
        "SageMaker Endpoint Config State Change",
    ]
    assert cloud.events[0][1]["PrimaryContainer"] == {"Image": SCRIPT}
    assert cloud.events[1][1]["ProductionVariants"][0]["InitialVariantWeight"] == 1.0


def test_metrics(cloud: MemoryCloud) -> None:
    measures = Measures(cloud)
    for status in (200, 200, 404, 500, None):
        measures.record("e", "v", status, 0.001234, 0.0001, 2)
    measures.publish()
    measures.publish()
    assert {namespace for namespace, _ in cloud.metrics} == {"AWS/SageMaker"}
    found = {datum["MetricName"]: datum for _, datum in cloud.metrics}

    def total(name: str) -> float:
        pairs = zip(found[name]["Values"], found[name]["Counts"], strict=True)
        return sum(value * count for value, count in pairs)

    assert total("Invocations") == 5
    assert total("InvocationsPerInstance") == 2.5
    assert total("Invocation4XXErrors") == 1
    assert total("Invocation5XXErrors") == 2
    assert total("InvocationModelErrors") == 3
    assert found["ModelLatency"]["Unit"] == "Microseconds"
    assert found["ModelLatency"]["Values"] == [1200.0]
    assert found["ModelLatency"]["Dimensions"] == [
        {"Name": "EndpointName", "Value": "e"},
        {"Name": "VariantName", "Value": "v"},
    ]
    assert len(cloud.metrics) == len(found), "each is published once"


def test_metrics_of_many_values_are_split(cloud: MemoryCloud) -> None:
    """PutMetricData takes 150 values of a metric at once."""
    measures = Measures(cloud)
    for number in range(1, 400):
        measures.record("e", "v", 200, number / 1000, 0.0, 1)
        measures.record("e", "v", 200, number / 10, 0.0, 1)
    measures.publish()
    latencies = [datum for _, datum in cloud.metrics if datum["MetricName"] == "ModelLatency"]
    assert all(len(datum["Values"]) <= 150 for datum in latencies)
    assert sum(sum(datum["Counts"]) for datum in latencies) == 798


def exchange(content_type: str, inference_id: str | None = None) -> Exchange:
    when = dt.datetime(2026, 11, 22, 8, 30, tzinfo=dt.UTC)
    response = Response(200, {"content-type": content_type}, b"0.5\n")
    return Exchange(when, content_type, b"1,2\n", response, inference_id)


def test_captured_record() -> None:
    config = {
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {
            "CsvContentTypes": ["text/csv"],
            "JsonContentTypes": ["application/json"],
        },
    }
    record = record_of(exchange("text/csv; charset=utf-8", "order-7"), config)
    assert record["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv; charset=utf-8",
        "mode": "INPUT",
        "data": "1,2\n",
        "encoding": "CSV",
    }
    assert record["captureData"]["endpointOutput"]["data"] == "0.5\n"
    assert record["eventMetadata"]["inferenceId"] == "order-7"
    assert record["eventMetadata"]["inferenceTime"] == "2026-11-22T08:30:00Z"
    assert record["eventVersion"] == "0"
    image = record_of(exchange("image/png"), config)["captureData"]["endpointInput"]
    assert (image["encoding"], base64.b64decode(image["data"])) == ("BASE64", b"1,2\n")


def test_only_the_sides_asked_for_are_captured() -> None:
    record = record_of(exchange("text/csv"), {"CaptureOptions": [{"CaptureMode": "Output"}]})
    assert set(record["captureData"]) == {"endpointOutput"}
    assert record["captureData"]["endpointOutput"]["encoding"] == "BASE64", "the default"
    assert "inferenceId" not in record["eventMetadata"]


def test_variables_of_the_training_toolkit() -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/k"}}
    job = {
        "TrainingJobName": "t",
        "TrainingJobArn": "arn",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"InstanceType": "ml.m5.large"},
        "InputDataConfig": [{"ChannelName": "train-set", "DataSource": source}],
        "HyperParameters": {
            "max-depth": "3",
            "columns": '["a", "b"]',
            "name": "plain",
            "sagemaker_program": '"train.py"',
        },
    }
    logs = Logs(MemoryCloud())
    hosts = Hosts(Path("/tree"), "/aws/sagemaker/TrainingJobs", "t", logs, count=2).hosts
    variables = toolkit.training_variables("/opt/ml", hosts[1], job)
    assert variables["SM_MODEL_DIR"] == "/opt/ml/model"
    assert variables["SM_OUTPUT_DATA_DIR"] == "/opt/ml/output/data"
    assert variables["SM_CHANNELS"] == '["train-set"]'
    assert variables["SM_CHANNEL_TRAIN_SET"] == "/opt/ml/input/data/train-set"
    assert variables["SM_HP_MAX_DEPTH"] == "3"
    assert variables["SM_HP_COLUMNS"] == '["a", "b"]'
    assert variables["SM_HP_NAME"] == "plain"
    assert variables["SM_MODULE_NAME"] == "train"
    assert variables["SM_CURRENT_HOST"] == "algo-2"
    assert variables["SM_CURRENT_HOST_RANK"] == "1"
    assert variables["SM_MASTER_ADDR"] == "algo-1"
    assert variables["SM_HOSTS"] == '["algo-1", "algo-2"]'
    assert '"max-depth": 3' in variables["SM_HPS"]
