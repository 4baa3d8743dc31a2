"""Endpoints that really serve.

AWS: "Real-time inference", "Use Your Own Inference Code with Hosting Services", "Capture data from
real-time endpoint", "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch".
"""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import BUCKET, MUTE, Clients


def test_life_of_an_endpoint(clients: Clients, unique: str) -> None:
    """Creating → InService → Updating (the old config serves meanwhile) → InService → gone."""
    one, two = (clients.model(f"{unique}-{text}", text) for text in ("one", "two"))
    clients.config(f"{unique}-1", ("main", one, 1.0))
    clients.config(f"{unique}-2", ("main", two, 1.0))
    endpoint = clients.deploy(unique, f"{unique}-1")
    assert endpoint["EndpointStatus"] == "InService", endpoint
    variant = endpoint["ProductionVariants"][0]
    assert (variant["CurrentWeight"], variant["CurrentInstanceCount"]) == (1.0, 1)

    answer = clients.runtime.invoke_endpoint(
        EndpointName=unique,
        ContentType="text/csv",
        Accept="text/plain",
        CustomAttributes="trace=7",
        Body=b"1,2",
    )
    assert (answer["InvokedProductionVariant"], answer["ContentType"]) == ("main", "text/plain")
    assert answer["CustomAttributes"] == "from=container"
    given = json.loads(answer["Body"].read())
    assert (given["text"], given["body"], given["path"]) == ("one", "1,2", "/invocations")
    assert given["headers"]["content-type"] == "text/csv"
    assert given["headers"]["accept"] == "text/plain"
    assert given["headers"]["x-amzn-sagemaker-custom-attributes"] == "trace=7"
    assert "authorization" not in given["headers"], "the caller's headers are not passed on"

    clients.sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=f"{unique}-2")
    updating = clients.sagemaker.describe_endpoint(EndpointName=unique)
    if updating["EndpointStatus"] == "Updating":
        summary = updating["PendingDeploymentSummary"]
        assert summary["EndpointConfigName"] == f"{unique}-2"
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            clients.sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=f"{unique}-2")
    answers = Counter()
    while clients.sagemaker.describe_endpoint(EndpointName=unique)["EndpointStatus"] == "Updating":
        answers[clients.ask(unique)["text"]] += 1
    assert set(answers) <= {"one", "two"}
    assert clients.ask(unique)["text"] == "two"
    assert clients.settled(unique)["EndpointConfigName"] == f"{unique}-2"

    clients.delete(unique)
    with pytest.raises(ClientError, match=f"Endpoint {unique} of account 000000000000 not found"):
        clients.ask(unique)
    with pytest.raises(ClientError, match='Could not find endpoint "arn:aws:sagemaker:') as refusal:
        clients.sagemaker.describe_endpoint(EndpointName=unique)
    assert refusal.value.response["Error"]["Code"] == "ValidationException"


def test_variants_share_by_weight(clients: Clients, unique: str) -> None:
    """Share = weight / Σ weights; TargetVariant overrides; instances are processes."""
    one, two = (clients.model(f"{unique}-{text}", text) for text in ("one", "two"))
    clients.config(unique, ("heavy", one, 9.0), ("light", two, 1.0), instances=2)
    clients.deploy(unique, unique)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: clients.ask(unique), range(300)))
    shares = Counter(answer["text"] for answer in answers)
    assert 240 <= shares["one"] <= 295, shares
    heavy = {answer["pid"] for answer in answers if answer["text"] == "one"}
    assert len(heavy) == 2, "two instances are two processes"
    assert clients.ask(unique, TargetVariant="light")["text"] == "two"
    with pytest.raises(ClientError, match="Variant nobody not found for Request"):
        clients.ask(unique, TargetVariant="nobody")
    clients.delete(unique)


def test_errors_of_the_container(clients: Clients, unique: str) -> None:
    """ModelError; a container that dies is started again; error metrics."""
    clients.config(unique, ("main", clients.model(unique), 1.0))
    clients.deploy(unique, unique)
    refused = clients.runtime.exceptions
    for status, side in ((400, "client"), (500, "server")):
        with pytest.raises(refused.ModelError) as refusal:
            clients.ask(unique, str(status))
        answer = refusal.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert (answer["OriginalStatusCode"], answer["OriginalMessage"]) == (status, "as asked")
        message = f'Received {side} error ({status}) from primary with message "as asked"'
        assert answer["Error"]["Message"].startswith(message)

    before = clients.ask(unique)["pid"]
    with pytest.raises(refused.ModelError):
        clients.ask(unique, "crash")

    def answers_again() -> int | None:
        try:
            return clients.ask(unique)["pid"]
        except (refused.ModelError, refused.ServiceUnavailable):
            return None

    assert wait_until(answers_again, what="the container to be started again") != before
    assert clients.settled(unique)["EndpointStatus"] == "InService"

    def metric(name: str) -> float:
        now = datetime.now(UTC)
        found = clients.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=[
                {"Name": "EndpointName", "Value": unique},
                {"Name": "VariantName", "Value": "main"},
            ],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=60,
            Statistics=["Sum"],
        )
        return sum(point["Sum"] for point in found["Datapoints"])

    wait_until(lambda: metric("Invocation4XXErrors") == 1, what="one 4XX error")
    wait_until(lambda: metric("Invocation5XXErrors") >= 2, what="two 5XX errors")
    assert metric("ModelLatency") > 0
    clients.delete(unique)


def test_container_that_never_pings(clients: Clients, unique: str) -> None:
    """/ping must pass in time, else the create fails; then only a delete is allowed."""
    clients.config(unique, ("main", clients.model(unique, None, MUTE), 1.0))
    endpoint = clients.deploy(unique, unique)
    assert endpoint["EndpointStatus"] == "Failed"
    reason = endpoint["FailureReason"]
    assert "production variant main did not pass the ping health check" in reason
    assert "loading a very large model" in reason, "the last lines help"
    with pytest.raises(ClientError, match="Cannot update failed endpoint"):
        clients.sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=unique)
    clients.delete(unique)


def test_update_that_fails_leaves_the_old_config(clients: Clients, unique: str) -> None:
    """A failed update: InService on the old config, with FailureReason."""
    good, bad = (clients.model(f"{unique}-{text}", text) for text in ("one", "broken"))
    clients.config(f"{unique}-1", ("main", good, 1.0))
    clients.config(f"{unique}-2", ("main", bad, 1.0))
    clients.deploy(unique, f"{unique}-1")
    clients.sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=f"{unique}-2")
    endpoint = clients.settled(unique)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == f"{unique}-1"
    assert "the model is broken" in endpoint["FailureReason"]
    assert "PendingDeploymentSummary" not in endpoint
    assert clients.ask(unique)["text"] == "one"
    clients.delete(unique)


def test_missing_model_data(clients: Clients, unique: str) -> None:
    """CreateEndpoint of a model whose data is not there fails with AWS's reason."""
    clients.config(unique, ("main", clients.model(unique, "nowhere"), 1.0))
    endpoint = clients.deploy(unique, unique)
    assert endpoint["EndpointStatus"] == "Failed"
    assert "Failed to download model data" in endpoint["FailureReason"]
    clients.delete(unique)


def test_data_capture(clients: Clients, unique: str) -> None:
    """Key layout and record; types not listed are base64-encoded; InferenceId is kept."""
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/{unique}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    clients.config(unique, ("main", clients.model(unique), 1.0), DataCaptureConfig=capture)
    endpoint = clients.deploy(unique, unique)
    assert endpoint["DataCaptureConfig"]["CaptureStatus"] == "Started"
    clients.ask(unique, "1,2\n", InferenceId="order-7")
    key = wait_until(lambda: clients.keys(f"{unique}/"), what="a captured file")[0]
    assert key.startswith(f"{unique}/{unique}/main/{datetime.now(UTC):%Y/%m/%d}/")
    assert key.endswith(".jsonl")
    record = json.loads(clients.get(f"s3://{BUCKET}/{key}"))
    assert record["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "1,2\n",
        "encoding": "CSV",
    }
    output = record["captureData"]["endpointOutput"]
    assert (output["observedContentType"], output["encoding"]) == ("application/json", "BASE64")
    assert record["eventMetadata"]["inferenceId"] == "order-7"
    assert record["eventMetadata"]["inferenceTime"].endswith("Z")
    assert record["eventVersion"] == "0"
    clients.delete(unique)


def test_delete_waits_for_requests_under_way(clients: Clients, unique: str) -> None:
    """No availability loss: what a container took on, it answers."""
    clients.config(unique, ("main", clients.model(unique), 1.0))
    clients.deploy(unique, unique)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(clients.ask, unique) for _ in range(40)]
        time.sleep(0.02)
        clients.sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=unique)
        assert [answer.result()["text"] for answer in answers] == ["one"] * 40
    clients.settled(unique)
    clients.delete(unique)
