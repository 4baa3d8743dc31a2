"""Endpoint configs: which models an endpoint runs, how, and with what share of the traffic."""

from __future__ import annotations

from typing import Any

from local.sagemaker import events
from local.sagemaker.context import Context
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.base import Family, operation
from local.sagemaker.families.models import Models
from local.sagemaker.hosting import serverless
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record

KIND = Kind(
    name="EndpointConfig",
    slug="endpoint-config",
    missing='Could not find endpoint configuration "{arn}".',
    duplicate='Cannot create already existing endpoint configuration "{arn}".',
    order="Descending",
)
_REFUSED = ("ExplainerConfig",)
_REFUSED_OF_VARIANT = ("InstancePools", "ManagedInstanceScaling")


class EndpointConfigs(Family):
    """Endpoint configurations: what an endpoint serves, on how many instances, and how."""

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
        production = request["ProductionVariants"]
        shadows = request.get("ShadowProductionVariants", [])
        names = [variant["VariantName"] for variant in [*production, *shadows]]
        if len(names) != len(set(names)):
            raise invalid("Variant names must be unique within an endpoint configuration.")
        if shadows and (len(production), len(shadows)) != (1, 1):
            raise invalid(
                "With ShadowProductionVariants exactly one production variant and one shadow "
                "variant must be given."
            )
        for variant in [*production, *shadows]:
            _check_variant(variant)
        models = [
            self._models.get(variant["ModelName"])
            for variant in [*production, *shadows]
            if _holds(variant)
        ]
        if len(models) < len(names):
            _check_rooms(request)
        if any("ServerlessConfig" in variant for variant in [*production, *shadows]):
            serverless.check(request, models)
        _check_asynchronous(request)
        changes: dict[str, Any] = {"ProductionVariants": [_settled(each) for each in production]}
        if shadows:
            changes["ShadowProductionVariants"] = [_settled(each) for each in shadows]
        if capture := request.get("DataCaptureConfig"):
            changes["DataCaptureConfig"] = {"EnableCapture": True, **capture}
        return self.resources.create(request["EndpointConfigName"], {**request, **changes})


def _check_variant(variant: Record) -> None:
    for member in _REFUSED_OF_VARIANT:
        if member in variant:
            raise not_implemented(f"A production variant with {member}")
    if "ServerlessConfig" not in variant and "InstanceType" not in variant:
        raise invalid(f"InstanceType is required for the variant {variant['VariantName']}.")
    strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy", "RANDOM")
    if strategy not in ("RANDOM", "LEAST_OUTSTANDING_REQUESTS"):
        raise not_implemented(f"RoutingStrategy {strategy}")


def _holds(variant: Record) -> bool:
    """Whether a variant has a model, rather than room for inference components."""
    return "ModelName" in variant


def _check_rooms(request: Record) -> None:
    """Refuse what a config with a variant for inference components cannot have."""
    if any(_holds(variant) for variant in request["ProductionVariants"]):
        raise invalid("Either all or none of the production variants must have a ModelName.")
    if "ExecutionRoleArn" not in request:
        raise invalid("ExecutionRoleArn is required for production variants without a ModelName.")
    for member in ("ShadowProductionVariants", "AsyncInferenceConfig", "DataCaptureConfig"):
        if member in request:
            raise not_implemented(f"{member} with inference components")
    for variant in request["ProductionVariants"]:
        if "ServerlessConfig" in variant:
            raise invalid("A serverless variant must have a ModelName.")


def _settled(variant: Record) -> Record:
    """Return a variant with its defaults: a serverless one has no instances to count."""
    counted = {} if "ServerlessConfig" in variant else {"InitialInstanceCount": 1}
    return {**counted, "InitialVariantWeight": 1.0, **variant}


def _check_asynchronous(request: Record) -> None:
    config = request.get("AsyncInferenceConfig")
    if config is None:
        return
    output = config["OutputConfig"]
    if "S3OutputPath" not in output:
        raise not_implemented("AsyncInferenceConfig without S3OutputPath")
    if output.get("NotificationConfig", {}).get("IncludeInferenceResponseIn"):
        raise not_implemented("IncludeInferenceResponseIn")
    for member in ("DataCaptureConfig", "ShadowProductionVariants"):
        if member in request:
            raise not_implemented(f"AsyncInferenceConfig with {member}")
