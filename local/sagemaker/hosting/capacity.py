"""Weights and capacities of an endpoint's variants: checked, kept through updates, applied."""

from __future__ import annotations

from collections.abc import Collection

from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.hosting.description import counts
from local.sagemaker.hosting.fleet import Fleet, retire
from local.sagemaker.hosting.instance import DeploymentError
from local.sagemaker.hosting.traffic import Routes
from local.sagemaker.store import Record

# DesiredWeightAndCapacity member -> its member in an endpoint config and in DescribeEndpoint
_CONFIG = {"DesiredWeight": "InitialVariantWeight", "DesiredInstanceCount": "InitialInstanceCount"}


def check(config: Record, wanted: list[Record], limit: int) -> None:
    """Refuse weights and capacities (of UpdateEndpointWeightsAndCapacities) of a config."""
    names = [each["VariantName"] for each in wanted]
    known = {variant["VariantName"] for variant in config["ProductionVariants"]}
    if unknown := [name for name in names if name not in known]:
        raise invalid(
            f'The variant name(s) "{", ".join(unknown)}" is/are not present within endpoint '
            f'configuration "{config["EndpointConfigName"]}".'
        )
    if len(names) != len(set(names)):
        raise invalid("Variant names must be unique within a request.")
    serverless = {
        variant["VariantName"]
        for variant in config["ProductionVariants"]
        if "ServerlessConfig" in variant
    }
    for each in wanted:
        if "ServerlessUpdateConfig" in each:
            raise not_implemented("ServerlessUpdateConfig")
        if "DesiredInstanceCount" in each and each["VariantName"] in serverless:
            raise invalid(
                f"DesiredInstanceCount is not supported for the serverless variant "
                f"{each['VariantName']}."
            )
        if each.get("DesiredInstanceCount") == 0 and "AsyncInferenceConfig" not in config:
            raise invalid(
                f"DesiredInstanceCount of variant {each['VariantName']} must be at least 1: only "
                "asynchronous endpoints can scale to 0."
            )
    check_limit(with_desired(config, wanted), limit)


def check_limit(config: Record, limit: int) -> None:
    """Refuse more instances than the machine's limit."""
    total = sum(counts(config).values())
    if total > limit:
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The local limit of instances per endpoint is {limit}, and {total} were requested. "
            "HEADRACE_LOCAL_INSTANCES raises it.",
        )


def check_scaled(old: Record, new: Record, scaled: Collection[str]) -> None:
    """Refuse to remove, or to change the instance type of, variants that are scaled automatically.

    "Update endpoints that use auto scaling": they must be deregistered first.
    """
    types = [
        {each["VariantName"]: each.get("InstanceType") for each in config["ProductionVariants"]}
        for config in (old, new)
    ]
    changed = [name for name in types[0] if name in scaled and types[0][name] != types[1].get(name)]
    if changed:
        raise invalid(
            f'The variant(s) "{", ".join(changed)}" must be deregistered as scalable targets with '
            "AWS Application Auto Scaling before they can be removed or have their instance type "
            "updated."
        )


def with_desired(config: Record, wanted: list[Record]) -> Record:
    """Return a config with other weights and instance counts."""
    changes = {each["VariantName"]: each for each in wanted}
    variants = []
    for variant in config["ProductionVariants"]:
        change = changes.get(variant["VariantName"], {})
        kept = {member: change[name] for name, member in _CONFIG.items() if name in change}
        variants.append({**variant, **kept})
    return {**config, "ProductionVariants": variants}


def retained(old: Record, new: Record, excluded: Collection[str]) -> Record:
    """Return a new config with the old one's weights and counts (RetainAllVariantProperties).

    Variants are matched by name; `excluded` are VariantPropertyTypes that are not retained.
    DataCaptureConfig is "not currently supported" there (API_VariantProperty).
    """
    wanted = []
    for variant in old["ProductionVariants"]:
        values = {name: variant[member] for name, member in _CONFIG.items() if member in variant}
        kept = {name: value for name, value in values.items() if name not in excluded}
        wanted.append({"VariantName": variant["VariantName"], **kept})
    return with_desired(new, wanted)


def weigh(fleet: Fleet, config: Record) -> None:
    """Route by a config's weights from now on."""
    for variant in config["ProductionVariants"]:
        fleet.variants[variant["VariantName"]].weight = variant["InitialVariantWeight"]
    fleet.routes = Routes.of(fleet)


def scale(fleet: Fleet, config: Record) -> None:
    """Start and stop replicas until the counts are a config's. Raises DeploymentError, undone."""
    wanted = counts(config)
    variants = [
        fleet.variants[variant["VariantName"]]
        for variant in config["ProductionVariants"]
        if "ServerlessConfig" not in variant
    ]
    had = {variant.name: len(variant.replicas) for variant in variants}
    try:
        for variant in variants:
            variant.grow(max(0, wanted[variant.name] - had[variant.name]))
        fleet.wait_ready()
    except DeploymentError:
        for variant in variants:
            retire(variant.shrink(len(variant.replicas) - had[variant.name]))
        raise
    for variant in variants:
        if had[variant.name] > wanted[variant.name]:
            retire(variant.shrink(had[variant.name] - wanted[variant.name]))
