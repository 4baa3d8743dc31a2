"""Serverless endpoints: "Deploy models with Amazon SageMaker Serverless Inference"."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.hosting import capacity
from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import ROLE, Clients
from tests.local.sagemaker.modes import MODES, metric, model, serverless


def test_a_process_for_each_request_and_none_when_idle(clients: Clients, unique: str) -> None:
    slow = model(clients, unique, {"Environment": {"START_SECONDS": "0.3"}})
    serverless(clients, unique, slow)
    endpoint = clients.deploy(unique, unique)
    variant = endpoint["ProductionVariants"][0]
    assert variant["CurrentServerlessConfig"]["MaxConcurrency"] == 2
    group = f"/aws/sagemaker/Endpoints/{unique}"
    assert clients.log_lines(group, "main/") == [], "nothing runs before the first request"

    began = time.monotonic()
    first = clients.ask(unique, "x")["pid"]
    assert time.monotonic() - began > 0.3, "a cold start"
    assert clients.ask(unique, "x")["pid"] == first, "then it is warm"

    with ThreadPoolExecutor(3) as pool:
        pids = {pool.submit(clients.ask, unique, "sleep 1.5") for _ in range(2)}
        time.sleep(0.7)
        with pytest.raises(ClientError, match="Rate exceeded") as refusal:
            clients.ask(unique, "x")
        assert len({answer.result()["pid"] for answer in pids}) == 2, "a process for each"
    assert refusal.value.response["Error"]["Code"] == "ThrottlingException"
    with pytest.raises(ClientError, match="less than or equal to 4194304"):
        clients.ask(unique, "x" * (4 * 2**20 + 1))

    def starts() -> int:
        clients.ask(unique, "x")  # warm, or cold once it was idle long enough
        time.sleep(1.2)
        return clients.log_lines(group, "main/").count("serving") > 2

    wait_until(starts, what="a process that was idle to be taken down")
    setup = metric(clients, "ModelSetupTime", EndpointName=unique, VariantName="main")
    assert setup["Maximum"] > 300_000, "microseconds"
    clients.delete(unique)


VARIANT = {
    "VariantName": "v",
    "ModelName": "m",
    "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 2},
}
INSTANCES = {
    "VariantName": "w",
    "ModelName": "m",
    "InitialInstanceCount": 1,
    "InstanceType": "ml.m5.large",
}
CAPTURE = {
    "InitialSamplingPercentage": 1,
    "DestinationS3Uri": "s3://b/k",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


def config(**changes: Any) -> dict[str, Any]:
    return {"EndpointConfigName": "c", "ProductionVariants": [VARIANT], **changes}


def settings(**changes: int) -> list[dict[str, Any]]:
    return [{**VARIANT, "ServerlessConfig": {**VARIANT["ServerlessConfig"], **changes}}]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (config(ProductionVariants=settings(MemorySizeInMB=1500)), "1024, 2048, 3072"),
        (config(ProductionVariants=settings(ProvisionedConcurrency=3)), "less than or equal"),
        (config(ProductionVariants=[VARIANT, INSTANCES]), "Multiple production variants"),
        (
            config(ProductionVariants=[{**VARIANT, "InstanceType": "ml.m5.large"}]),
            "InstanceType is not supported",
        ),
        (config(DataCaptureConfig=CAPTURE), "DataCaptureConfig is not supported"),
        (config(EnableNetworkIsolation=True), "EnableNetworkIsolation is not supported"),
        (
            config(AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://b/k"}}),
            "AsyncInferenceConfig is not supported",
        ),
        (
            config(ProductionVariants=[{**VARIANT, "ModelName": "many"}]),
            "A multi-model container is not supported",
        ),
        (
            config(ProductionVariants=[{**VARIANT, "ModelName": "isolated"}]),
            "A model with EnableNetworkIsolation is not supported",
        ),
        (
            config(ProductionVariants=[{**VARIANT, "ModelName": "pipeline"}]),
            "An inference pipeline is not supported",
        ),
    ],
)
def test_exclusions(service: SageMaker, request_: dict[str, Any], reason: str) -> None:
    """ "Feature exclusions"."""
    container = {"Image": MODES}
    many = {**container, "Mode": "MultiModel", "ModelDataUrl": "s3://b/models/"}
    models: dict[str, dict[str, Any]] = {
        "m": {"PrimaryContainer": container},
        "many": {"PrimaryContainer": many},
        "isolated": {"PrimaryContainer": container, "EnableNetworkIsolation": True},
        "pipeline": {"Containers": [container, container]},
    }
    for name, parts in models.items():
        service.call("CreateModel", {"ModelName": name, "ExecutionRoleArn": ROLE, **parts})
    with pytest.raises(ServiceError, match=reason) as refused:
        service.call("CreateEndpointConfig", request_)
    assert refused.value.code == "ValidationException"


def test_serverless_and_real_time(clients: Clients, unique: str) -> None:
    """A serverless endpoint may be updated to real-time, and then never back."""
    model(clients, unique)
    serverless(clients, f"{unique}-s", unique, ProvisionedConcurrency=1)
    clients.config(f"{unique}-r", ("main", unique, 1.0))
    assert clients.deploy(unique, f"{unique}-s")["EndpointStatus"] == "InService"
    assert clients.ask(unique, "x")["body"] == "x", "what is provisioned is warm"
    clients.sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=f"{unique}-r")
    endpoint = clients.settled(unique)
    assert endpoint["EndpointConfigName"] == f"{unique}-r", endpoint
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    with pytest.raises(ClientError, match="real-time endpoint to a serverless") as refusal:
        clients.sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=f"{unique}-s")
    assert refusal.value.response["Error"]["Code"] == "ValidationException"
    clients.delete(unique)


def test_a_serverless_variant_has_no_instances_to_change() -> None:
    wanted = [{"VariantName": "v", "DesiredInstanceCount": 2}]
    with pytest.raises(ServiceError, match="not supported for the serverless variant v"):
        capacity.check(config(), wanted, limit=8)
