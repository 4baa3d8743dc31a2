"""Asynchronous endpoints: "Asynchronous inference", "Check prediction results", "Monitor"."""

import json
import signal
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import BUCKET, ROLE, Clients, containers
from tests.local.sagemaker.modes import metric, model


def deploy(clients: Clients, name: str, output: dict[str, Any], concurrency: int = 1) -> None:
    model(clients, name)
    clients.config(
        name,
        ("main", name, 1.0),
        AsyncInferenceConfig={
            "OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/{name}/out", **output},
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": concurrency},
        },
    )
    assert clients.deploy(name, name)["EndpointStatus"] == "InService"


def result(clients: Clients, uri: str) -> bytes:
    """Wait for an object, as clients of asynchronous endpoints do."""
    key = uri.removeprefix(f"s3://{BUCKET}/")
    wait_until(lambda: key in clients.keys(key), what=uri)
    return clients.get(uri)


def subscribed(aws: LocalAws, name: str) -> tuple[str, Any]:
    """A topic, and what was published to it."""
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    target = arn["Attributes"]["QueueArn"]
    deliver = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": target,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deliver]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=target)

    def message() -> Any:
        def received() -> Any:
            return sqs.receive_message(QueueUrl=queue).get("Messages")

        body = wait_until(received, what=f"a message of {name}")[0]["Body"]
        return json.loads(json.loads(body)["Message"])

    return topic, message


def test_answers_and_failures_go_to_s3_and_topics(
    sagemaker_aws: LocalAws, clients: Clients, unique: str
) -> None:
    allowed = {"Effect": "Allow", "Action": "sns:Publish", "Resource": f"*:{unique}-*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    sagemaker_aws.client("iam").put_role_policy(
        RoleName=ROLE.rsplit("/", 1)[-1], PolicyName=unique[:60], PolicyDocument=json.dumps(policy)
    )
    good, success = subscribed(sagemaker_aws, f"{unique}-good")
    bad, error = subscribed(sagemaker_aws, f"{unique}-bad")
    output = {
        "S3FailurePath": f"s3://{BUCKET}/{unique}/failed",
        "NotificationConfig": {"SuccessTopic": good, "ErrorTopic": bad},
    }
    deploy(clients, unique, output)
    source = clients.put(f"{unique}/in.csv", "1,2")
    answer = clients.runtime.invoke_endpoint_async(
        EndpointName=unique, InputLocation=source, ContentType="text/csv", InferenceId="order-7"
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "order-7"
    assert answer["OutputLocation"].startswith(f"s3://{BUCKET}/{unique}/out/")
    assert answer["OutputLocation"].endswith(".out")
    assert json.loads(result(clients, answer["OutputLocation"]))["body"] == "1,2"
    told = success()
    assert told["eventTime"] >= told["receivedTime"]
    assert told["responseParameters"] == {
        "contentType": "application/json",
        "outputLocation": answer["OutputLocation"],
    }
    assert told["requestParameters"] == {
        "contentType": "text/csv",
        "endpointName": unique,
        "inputLocation": source,
    }
    rest = ("awsRegion", "invocationStatus", "inferenceId", "eventVersion", "eventSource")
    assert [told[key] for key in rest] == [
        "us-east-1",
        "Completed",
        "order-7",
        "1.0",
        "aws:sagemaker",
    ]
    assert told["eventName"] == "InferenceResult"

    failing = clients.runtime.invoke_endpoint_async(EndpointName=unique, Body=b"500")
    assert failing["FailureLocation"].endswith("-error.out")
    result(clients, failing["FailureLocation"])
    told = error()
    assert told["invocationStatus"] == "Failed"
    assert "Received server error (500) from primary" in told["failureReason"]
    missing = clients.runtime.invoke_endpoint_async(
        EndpointName=unique, InputLocation=f"s3://{BUCKET}/{unique}/nothing"
    )
    assert b"Failed to download" in result(clients, missing["FailureLocation"])

    dimensions = {"EndpointName": unique, "VariantName": "main"}
    wait_until(lambda: metric(clients, "RequestDownloadFailures", **dimensions), what="metrics")
    assert metric(clients, "InvocationsProcesssed", **dimensions)["Sum"] == 1
    assert metric(clients, "InvocationFailures", **dimensions)["Sum"] == 2
    assert metric(clients, "Invocation5XXErrors", **dimensions)["Sum"] == 1
    assert not metric(clients, "Invocations", **dimensions), "not published for these endpoints"
    assert metric(clients, "ApproximateBacklogSize", EndpointName=unique)
    clients.delete(unique)


def test_the_queue_survives_a_restart(
    sagemaker_aws: LocalAws, clients: Clients, unique: str
) -> None:
    deploy(clients, unique, {})
    answers = [
        clients.runtime.invoke_endpoint_async(EndpointName=unique, Body=body)
        for body in (b"sleep 1", b"first", b"second")
    ]
    sagemaker_aws.stop(signal.SIGKILL)
    wait_until(lambda: not containers(sagemaker_aws), what="every container to go")
    sagemaker_aws.start(sagemaker_aws.facts["port"])
    bodies = [json.loads(result(clients, each["OutputLocation"]))["body"] for each in answers]
    assert bodies == ["sleep 1", "first", "second"]
    clients.settled(unique)
    clients.delete(unique)


def test_what_an_asynchronous_endpoint_refuses(clients: Clients, unique: str) -> None:
    deploy(clients, unique, {}, concurrency=2)
    invoke = clients.runtime.invoke_endpoint_async
    with pytest.raises(ClientError, match="is an asynchronous endpoint"):
        clients.ask(unique)
    with pytest.raises(ClientError, match="Exactly one of Body and InputLocation"):
        invoke(EndpointName=unique, Body=b"x", InputLocation="s3://b/k")
    with pytest.raises(ClientError, match="less than or equal to 21600"):
        invoke(EndpointName=unique, Body=b"x", RequestTTLSeconds=21_601)
    with pytest.raises(ClientError) as refusal:
        invoke(EndpointName=unique, Body=b"x" * 128_001)
    assert refusal.value.response["Error"]["Code"] == "ValidationError"

    late = invoke(EndpointName=unique, Body=b"sleep 5", InvocationTimeoutSeconds=1)
    assert "FailureLocation" not in late, "no S3FailurePath, no place for failures"
    began = time.monotonic()
    answers = [invoke(EndpointName=unique, Body=b"sleep 0.6") for _ in range(3)]
    for answer in answers:
        result(clients, answer["OutputLocation"])
    assert time.monotonic() - began > 1.2, "two at once"
    clients.delete(unique)


def test_no_instances(clients: Clients, unique: str) -> None:
    """ "Autoscale an asynchronous endpoint": down to none, with a backlog that asks for some."""
    deploy(clients, unique, {})

    def scale(count: int) -> None:
        clients.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=unique,
            DesiredWeightsAndCapacities=[{"VariantName": "main", "DesiredInstanceCount": count}],
        )
        variant = clients.settled(unique)["ProductionVariants"][0]
        assert variant["CurrentInstanceCount"] == count

    scale(0)
    answer = clients.runtime.invoke_endpoint_async(EndpointName=unique, Body=b"x")
    dimensions = {"EndpointName": unique}
    wait_until(
        lambda: metric(clients, "HasBacklogWithoutCapacity", **dimensions).get("Maximum") == 1,
        what="HasBacklogWithoutCapacity",
    )
    scale(1)
    assert json.loads(result(clients, answer["OutputLocation"]))["body"] == "x"
    clients.delete(unique)
