"""What the tests of the serving modes have in common."""

import datetime as dt
from typing import Any

from tests.local.sagemaker.conftest import REGISTRY, ROLE, Clients

MODES = f"{REGISTRY}/modes:1"


def model(clients: Clients, name: str, *containers: dict[str, Any], **changes: Any) -> str:
    """Create a model of containers of the modes' image."""
    given = [{"Image": MODES, **container} for container in containers or ({},)]
    part = {"PrimaryContainer": given[0]} if len(given) == 1 else {"Containers": given}
    clients.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, **part, **changes)
    return name


def serverless(clients: Clients, name: str, model: str, **config: int) -> str:
    """Create a config with one serverless variant."""
    settings = {"MemorySizeInMB": 1024, "MaxConcurrency": 2, **config}
    clients.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {"VariantName": "main", "ModelName": model, "ServerlessConfig": settings}
        ],
    )
    return name


def metric(
    clients: Clients, name: str, namespace: str = "AWS/SageMaker", **dimensions: str
) -> dict[str, float]:
    """Sum, Maximum and SampleCount of a metric in these minutes; empty if there is none."""
    now = dt.datetime.now(dt.UTC)
    found = clients.cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - dt.timedelta(minutes=5),
        EndTime=now + dt.timedelta(minutes=5),
        Period=3600,
        Statistics=["Sum", "Maximum", "SampleCount"],
    )["Datapoints"]
    return found[0] if found else {}
