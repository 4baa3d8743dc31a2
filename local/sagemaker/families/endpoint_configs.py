"""Endpoint configs: which models an endpoint runs, and with what share of the traffic."""

from __future__ import annotations

from typing import Any

from local.sagemaker import events
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.base import Context, Family, operation
from local.sagemaker.families.models import Models
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record

KIND = Kind(
    name="EndpointConfig",
    slug="endpoint-config",
    missing='Could not find endpoint configuration "{arn}".',
    duplicate='Cannot create already existing endpoint configuration "{arn}".',
    order="Descending",
)
_REFUSED = ("AsyncInferenceConfig", "ExplainerConfig", "ShadowProductionVariants")
_REFUSED_OF_VARIANT = ("ServerlessConfig", "InstancePools", "ManagedInstanceScaling")


class EndpointConfigs(Family):
    """Operations on endpoint configs."""

    kind = KIND

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._models = Resources(Models.kind, context.store, context.cloud)

    def changed(self, record: Record) -> None:
        """Emit the config's creation."""
        self.context.cloud.emit(
            "SageMaker Endpoint Config State Change",
            events.detail("EndpointConfig", record),
            [record["EndpointConfigArn"]],
        )

    @operation
    def create_endpoint_config(self, request: Record) -> Record:
        """Keep a config whose models exist."""
        for member in _REFUSED:
            if member in request:
                raise not_implemented(f"CreateEndpointConfig with {member}")
        names = [variant["VariantName"] for variant in request["ProductionVariants"]]
        if len(names) != len(set(names)):
            raise invalid("Variant names must be unique within an endpoint configuration.")
        variants = [self._check(variant) for variant in request["ProductionVariants"]]
        changes: dict[str, Any] = {"ProductionVariants": variants}
        if capture := request.get("DataCaptureConfig"):
            changes["DataCaptureConfig"] = {"EnableCapture": True, **capture}
        return self.resources.create(request["EndpointConfigName"], {**request, **changes})

    def _check(self, variant: Record) -> Record:
        for member in _REFUSED_OF_VARIANT:
            if member in variant:
                raise not_implemented(f"A production variant with {member}")
        if "ModelName" not in variant:
            raise not_implemented("A variant without ModelName (inference components)")
        strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy", "RANDOM")
        if strategy not in ("RANDOM", "LEAST_OUTSTANDING_REQUESTS"):
            raise not_implemented(f"RoutingStrategy {strategy}")
        self._models.get(variant["ModelName"])
        return {"InitialInstanceCount": 1, "InitialVariantWeight": 1.0, **variant}
