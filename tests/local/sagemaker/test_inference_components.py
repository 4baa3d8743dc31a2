"""Inference components: CreateInferenceComponent and its like, InvokeEndpoint's header for them."""

import signal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import SageMaker, ServiceError
from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import ROLE, SCRIPT, Clients, containers
from tests.local.sagemaker.modes import metric

ROOM = {"VariantName": "room", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
NEEDS = {"MinMemoryRequiredInMb": 256}


def settled(clients: Clients, name: str) -> dict[str, Any]:
    def component() -> dict[str, Any] | None:
        found = clients.sagemaker.describe_inference_component(InferenceComponentName=name)
        return found if not found["InferenceComponentStatus"].endswith("ing") else None

    return wait_until(component, what=f"{name} to settle")


def create(clients: Clients, name: str, endpoint: str, **specification: Any) -> dict[str, Any]:
    clients.sagemaker.create_inference_component(
        InferenceComponentName=name,
        EndpointName=endpoint,
        VariantName="room",
        Specification={"ComputeResourceRequirements": NEEDS, **specification},
        RuntimeConfig={"CopyCount": 1},
    )
    return settled(clients, name)


def test_life_of_components(sagemaker_aws: LocalAws, clients: Clients, unique: str) -> None:
    clients.sagemaker.create_endpoint_config(
        EndpointConfigName=unique, ExecutionRoleArn=ROLE, ProductionVariants=[ROOM]
    )
    endpoint = clients.deploy(unique, unique)
    assert endpoint["EndpointStatus"] == "InService", endpoint
    with pytest.raises(ClientError, match="Inference Component Name header is required"):
        clients.ask(unique)
    one, two, broken = f"{unique}-1", f"{unique}-2", f"{unique}-3"
    models = {text: clients.model(f"{unique}-{text}", text) for text in ("one", "two", "broken")}
    first = create(clients, one, unique, ModelName=models["one"])
    assert first["InferenceComponentStatus"] == "InService", first
    assert first["RuntimeConfig"]["CurrentCopyCount"] == 1
    create(clients, two, unique, Container={"Image": SCRIPT})
    assert clients.ask(unique, InferenceComponentName=one)["text"] == "one"
    assert clients.ask(unique, InferenceComponentName=two)["text"] == "no model"
    failed = create(clients, broken, unique, ModelName=models["broken"])
    assert failed["InferenceComponentStatus"] == "Failed"
    assert "the model is broken" in failed["FailureReason"]
    clients.sagemaker.delete_inference_component(InferenceComponentName=broken)

    clients.sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=one, DesiredRuntimeConfig={"CopyCount": 2}
    )
    assert settled(clients, one)["RuntimeConfig"]["CurrentCopyCount"] == 2
    pids = {clients.ask(unique, InferenceComponentName=one)["pid"] for _ in range(30)}
    assert len(pids) == 2, "copies are processes"
    clients.sagemaker.update_inference_component(
        InferenceComponentName=one,
        Specification={"ModelName": models["two"], "ComputeResourceRequirements": NEEDS},
    )
    assert settled(clients, one)["Specification"]["ModelName"] == models["two"]
    assert clients.ask(unique, InferenceComponentName=one)["text"] == "two"
    wait_until(
        lambda: metric(clients, "InvocationsPerCopy", InferenceComponentName=one), what="metrics"
    )
    listed = clients.sagemaker.list_inference_components(EndpointNameEquals=unique)
    names = [each["InferenceComponentName"] for each in listed["InferenceComponents"]]
    assert set(names) - {broken} == {one, two}
    with pytest.raises(ClientError, match="with inference components"):
        clients.sagemaker.delete_endpoint(EndpointName=unique)

    sagemaker_aws.stop(signal.SIGKILL)
    wait_until(lambda: not containers(sagemaker_aws), what="every container to go")
    sagemaker_aws.start(sagemaker_aws.facts["port"])
    clients.settled(unique)

    def answers() -> Any:
        try:
            return clients.ask(unique, InferenceComponentName=one)["text"]
        except ClientError:
            return None

    assert wait_until(answers, what="the component to come back") == "two"
    for name in (one, two):
        settled(clients, name)
        clients.sagemaker.delete_inference_component(InferenceComponentName=name)

    def gone() -> bool:
        found = clients.sagemaker.list_inference_components(EndpointNameEquals=unique)
        return not found["InferenceComponents"]

    wait_until(gone, what="the components to go")
    clients.delete(unique)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ProductionVariants": [ROOM]}, "ExecutionRoleArn is required"),
        (
            {"ProductionVariants": [ROOM, {**ROOM, "VariantName": "v", "ModelName": "m"}]},
            "Either all or none",
        ),
    ],
)
def test_configs_for_components(service: SageMaker, changes: dict[str, Any], reason: str) -> None:
    container = {"Image": SCRIPT}
    service.call(
        "CreateModel",
        {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": container},
    )
    with pytest.raises(ServiceError, match=reason):
        service.call("CreateEndpointConfig", {"EndpointConfigName": "c", **changes})
