"""A deployment's variants as DescribeEndpoint and its events show them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from local.sagemaker.hosting.instance import definitions_of
from local.sagemaker.store import Record


def counts(config: Record) -> dict[str, int]:
    """Return how many instances each production variant of a config begins with."""
    return {variant["VariantName"]: _count(variant) for variant in config["ProductionVariants"]}


def summaries(deployment: Record, kind: str = "ProductionVariants") -> list[Record] | None:
    """Return a deployment's variants, serving as its config says; None if it has none."""
    now = time.time()
    variants = deployment["config"].get(kind)
    return variants and [_summary(deployment, variant, now) for variant in variants]


def pending(deployment: Record, launching: Mapping[str, int]) -> Record:
    """Return the PendingDeploymentSummary of a deployment that begins now, with these counts."""
    shown = {"EndpointConfigName": deployment["config"]["EndpointConfigName"]}
    for kind in ("ProductionVariants", "ShadowProductionVariants"):
        variants = summaries(deployment, kind)
        for variant in variants or ():
            count = launching.get(variant["VariantName"], variant.get("DesiredInstanceCount", 0))
            variant["CurrentInstanceCount"] = 0
            _set_status(variant, "Creating", f"Launching {count} instance(s).")
        if variants:
            shown[kind] = variants
    return {**shown, "StartTime": time.time()}


def show_desired(variants: list[Record], wanted: list[Record]) -> None:
    """Show the weights and counts that UpdateEndpointWeightsAndCapacities asks for."""
    changes = {each["VariantName"]: each for each in wanted}
    for variant in variants:
        change = changes.get(variant["VariantName"], {})
        variant.update({name: change[name] for name in change if name.startswith("Desired")})


def show_status(
    variants: list[Record], status: str, messages: Mapping[str, str], current: Mapping[str, int]
) -> None:
    """Set status, message and instances of those variants that a deployment's news are about."""
    for variant in variants:
        name = variant["VariantName"]
        if name in messages:
            _set_status(variant, status, messages[name])
        if name in current:
            variant["CurrentInstanceCount"] = current[name]


def capture(config: Record) -> Record | None:
    """Return a config's data capture as DescribeEndpoint shows it."""
    found = config.get("DataCaptureConfig")
    if not found:
        return None
    return {
        "EnableCapture": found["EnableCapture"],
        "CaptureStatus": "Started" if found["EnableCapture"] else "Stopped",
        "CurrentSamplingPercentage": found["InitialSamplingPercentage"],
        "DestinationS3Uri": found["DestinationS3Uri"],
        "KmsKeyId": found.get("KmsKeyId", ""),
    }


def _count(variant: Record) -> int:
    serverless = variant.get("ServerlessConfig")
    if serverless:
        return int(serverless.get("ProvisionedConcurrency", 0))
    return int(variant.get("InitialInstanceCount", 0))


def _summary(deployment: Record, variant: Record, now: float) -> Record:
    model = deployment["models"].get(variant.get("ModelName"))
    images = [each["Image"] for each in definitions_of(model)] if model else []
    weight, count = variant.get("InitialVariantWeight", 1.0), _count(variant)
    summary: dict[str, Any] = {
        "VariantName": variant["VariantName"],
        "DeployedImages": [
            {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": now}
            for image in images
        ],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        **{name: variant[name] for name in ("InstanceType", "RoutingConfig") if name in variant},
    }
    if serverless := variant.get("ServerlessConfig"):
        return {
            **summary,
            "CurrentInstanceCount": 0,
            "CurrentServerlessConfig": serverless,
            "DesiredServerlessConfig": serverless,
        }
    return {**summary, "CurrentInstanceCount": count, "DesiredInstanceCount": count}


def _set_status(variant: Record, status: str, message: str) -> None:
    variant["VariantStatus"] = [
        {"Status": status, "StatusMessage": message, "StartTime": time.time()}
    ]
