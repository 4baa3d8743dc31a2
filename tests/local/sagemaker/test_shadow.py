"""Shadow variants: "Shadow variants", "ProductionVariants" of CreateEndpointConfig."""

import json

import pytest

from local.sagemaker import SageMaker, ServiceError
from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import BUCKET, ROLE, SCRIPT, Clients
from tests.local.sagemaker.modes import metric


def variant(name: str, model: str, weight: float = 1.0) -> dict[str, object]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "InitialVariantWeight": weight,
    }


def test_a_shadow_gets_copies_and_answers_nobody(clients: Clients, unique: str) -> None:
    one, two = (clients.model(f"{unique}-{text}", text) for text in ("one", "two"))
    clients.sagemaker.create_endpoint_config(
        EndpointConfigName=unique,
        ProductionVariants=[variant("main", one, 2.0)],
        ShadowProductionVariants=[variant("shadow", two, 1.0)],
        DataCaptureConfig={
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/{unique}",
            "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        },
    )
    endpoint = clients.deploy(unique, unique)
    assert [each["VariantName"] for each in endpoint["ShadowProductionVariants"]] == ["shadow"]
    for _ in range(60):
        assert clients.ask(unique)["text"] == "one", "a shadow's answer reaches no caller"
    with pytest.raises(clients.runtime.exceptions.ClientError, match="Variant shadow not found"):
        clients.ask(unique, TargetVariant="shadow")

    dimensions = {"EndpointName": unique, "VariantName": "shadow"}
    wait_until(
        lambda: metric(clients, "Invocations", **dimensions).get("Sum", 0) >= 10,
        what="half of them: the shadow's weight over the production variant's",
    )
    assert metric(clients, "Invocations", **dimensions)["Sum"] <= 50
    key = wait_until(lambda: clients.keys(f"{unique}/{unique}/shadow/"), what="its capture")[0]
    line = clients.get(f"s3://{BUCKET}/{key}").splitlines()[0]
    output = json.loads(json.loads(line)["captureData"]["endpointOutput"]["data"])
    assert output["text"] == "two"
    clients.delete(unique)


@pytest.mark.parametrize(("production", "shadows"), [(1, 2), (2, 1)])
def test_one_variant_and_one_shadow(service: SageMaker, production: int, shadows: int) -> None:
    container = {"Image": SCRIPT}
    service.call(
        "CreateModel",
        {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": container},
    )
    variants = [variant(f"v{number}", "m") for number in range(production + shadows)]
    with pytest.raises(ServiceError, match="exactly one production variant and one shadow"):
        service.call(
            "CreateEndpointConfig",
            {
                "EndpointConfigName": "c",
                "ProductionVariants": variants[:production],
                "ShadowProductionVariants": variants[production:],
            },
        )
