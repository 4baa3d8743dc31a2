"""Several containers: "Inference pipelines", "... direct invocation", and response streams."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from local.sagemaker import SageMaker, ServiceError
from tests.local.sagemaker.conftest import ROLE, Clients
from tests.local.sagemaker.modes import MODES, model

STEPS = ({"Environment": {"STEP": "first"}}, {"Environment": {"STEP": "second"}})


def ask(clients: Clients, name: str, body: str, **options: str) -> str:
    answer = clients.runtime.invoke_endpoint(EndpointName=name, Body=body, **options)
    text: str = answer["Body"].read().decode()
    return text


def test_in_series(clients: Clients, unique: str) -> None:
    """ "The response of each container is the request of the next"; an error ends it."""
    model(clients, unique, *STEPS)
    clients.config(unique, ("main", unique, 1.0))
    endpoint = clients.deploy(unique, unique)
    assert len(endpoint["ProductionVariants"][0]["DeployedImages"]) == 2
    assert ask(clients, unique, "x") == "x>first>second"
    with pytest.raises(ClientError, match=r"client error \(404\) from container-1"):
        ask(clients, unique, "404")
    with pytest.raises(ClientError, match="support target model"):
        ask(clients, unique, "x", TargetModel="a")
    clients.delete(unique)


def test_one_by_one(clients: Clients, unique: str) -> None:
    named = [{**step, "ContainerHostname": name} for step, name in zip(STEPS, "ab", strict=True)]
    model(clients, unique, *named, InferenceExecutionConfig={"Mode": "Direct"})
    clients.config(unique, ("main", unique, 1.0))
    clients.deploy(unique, unique)
    assert ask(clients, unique, "x", TargetContainerHostname="b") == "x>second"
    with pytest.raises(ClientError, match="is required"):
        ask(clients, unique, "x")
    with pytest.raises(ClientError, match="Container c not found for Request"):
        ask(clients, unique, "x", TargetContainerHostname="c")
    streams(clients, unique)
    clients.delete(unique)


def streams(clients: Clients, name: str) -> None:
    """InvokeEndpointWithResponseStream, as botocore reads it."""

    def invoke(body: str) -> Any:
        return clients.runtime.invoke_endpoint_with_response_stream(
            EndpointName=name, Body=body, TargetContainerHostname="a"
        )

    def read(answer: Any) -> Iterator[bytes]:
        return (event["PayloadPart"]["Bytes"] for event in answer["Body"])

    answer = invoke("stream one two three")
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/plain", "main")
    assert list(read(answer)) == [b"one", b"two", b"three"], "as the container sent them"

    parts = read(invoke("stream one break"))
    assert next(parts) == b"one"
    with pytest.raises(EventStreamError, match="ModelStreamError"):
        next(parts)
    with pytest.raises(ClientError, match=r"server error \(500\) from a") as refusal:
        invoke("500")
    assert refusal.value.response["Error"]["Code"] == "ModelError"


def test_names_of_containers(service: SageMaker) -> None:
    request = {"ModelName": "m", "ExecutionRoleArn": ROLE}
    twice = [{"Image": MODES, "ContainerHostname": "a"}] * 2
    with pytest.raises(ServiceError, match="must be unique"):
        service.call("CreateModel", {**request, "Containers": twice})
    direct = {"InferenceExecutionConfig": {"Mode": "Direct"}}
    with pytest.raises(ServiceError, match="at least two containers"):
        service.call("CreateModel", {**request, **direct, "PrimaryContainer": {"Image": MODES}})
