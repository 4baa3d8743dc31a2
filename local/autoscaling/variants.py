"""Endpoint variants as scalable targets: what they are called, and their capacity."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.store import Record

Call: TypeAlias = Callable[[str, Record], Record]
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
SERVICE_ROLE = (
    "arn:aws:iam::{account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")


class GoneError(ServiceError):
    """There is no such endpoint, in SageMaker's words."""


@dataclass(frozen=True)
class State:
    """A variant's capacity. `is_settled`: nothing is changing it; `failure`: why the last change
    failed, "" if it did not."""

    desired: int
    current: int
    is_settled: bool
    may_be_empty: bool
    failure: str


@dataclass(frozen=True)
class Variant:
    """A variant of an endpoint, by name."""

    endpoint: str
    name: str

    @classmethod
    def of(cls, request: Record) -> Variant:
        """Read a ResourceId. Raises ValidationException."""
        found = _RESOURCE.fullmatch(request["ResourceId"])
        if not found:
            raise invalid(
                "Unsupported service namespace, resource type or scalable dimension: "
                f"{request['ResourceId']}"
            )
        return cls(*found.groups())

    def read(self, sagemaker: Call) -> State:
        """Return the variant's state. Raises GoneError, ValidationException for the variant."""
        try:
            endpoint = sagemaker("DescribeEndpoint", {"EndpointName": self.endpoint})
        except ServiceError as error:
            raise GoneError(error.code, error.message) from error
        for summary in endpoint.get("ProductionVariants", []):
            if summary["VariantName"] == self.name and "DesiredInstanceCount" in summary:
                return State(
                    summary["DesiredInstanceCount"],
                    summary["CurrentInstanceCount"],
                    endpoint["EndpointStatus"] == "InService",
                    "AsyncInferenceConfig" in endpoint,
                    endpoint.get("FailureReason", ""),
                )
        raise invalid(f"Variant {self.name} of endpoint {self.endpoint} does not exist.")

    def set(self, sagemaker: Call, count: int) -> None:
        """Begin to scale to a number of instances. Raises ServiceError."""
        wanted: dict[str, Any] = {"VariantName": self.name, "DesiredInstanceCount": count}
        sagemaker(
            "UpdateEndpointWeightsAndCapacities",
            {"EndpointName": self.endpoint, "DesiredWeightsAndCapacities": [wanted]},
        )


def require_supported(request: Record) -> None:
    """Refuse what is not the instance count of an endpoint variant."""
    if request["ServiceNamespace"] != "sagemaker":
        raise not_implemented(f"Scaling of service namespace {request['ServiceNamespace']}")
    if request["ScalableDimension"] != DIMENSION:
        if not request["ScalableDimension"].startswith("sagemaker:"):
            raise ServiceError(
                "ValidationException",
                "Unsupported service namespace, resource type or scalable dimension",
            )
        raise not_implemented(f"Scaling of {request['ScalableDimension']}")
