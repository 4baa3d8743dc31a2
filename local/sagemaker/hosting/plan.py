"""What a DeploymentConfig asks for, as steps. Pure.

"Blue/Green Deployments", "Rolling Deployments", API_DeploymentConfig and its members. Where the
pages leave it open: a part of a fleet is rounded down to whole instances, one at least; a
percentage is exactly that part of the traffic; a linear deployment does not bake a second time
when its last step is done, a rolling one does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from local.sagemaker.errors import invalid
from local.sagemaker.store import Record

Counts = Mapping[str, int]
_EXCLUDED_INSTANCES = ("ml.inf1.",)


@dataclass(frozen=True)
class Step:
    """One step of a deployment; counts and shares are by variant.

    It brings the new fleet to `launched` replicas, gives the oldest `active` of them `shares` of
    the traffic (0 to 1), bakes, and leaves `remaining` of the old fleet. `stage` and `waited` say
    in AWS's messages what bakes and which member asked for it.
    """

    launched: Counts
    active: Counts
    shares: Mapping[str, float]
    remaining: Counts
    bake: float = 0.0
    stage: str = "full"
    waited: str = "TerminationWaitInSeconds"


def plan(config: Record, old: Counts, new: Counts) -> list[Step]:
    """Return the steps from an old fleet to a new one; the last leaves nothing of the old."""
    if rolling := config.get("RollingUpdatePolicy"):
        return _rolling(rolling, old, new)
    policy = config.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    wait = routing.get("WaitIntervalInSeconds", 0)
    kind = routing["Type"]
    partial: list[Step] = []
    if kind == "CANARY":
        size = routing["CanarySize"]
        partial = [_activated(size, 1, old, new, wait, "canary")]
    elif kind == "LINEAR":
        size = routing["LinearStepSize"]
        number = _steps(size, new)
        partial = [_activated(size, k, old, new, wait, "linear step") for k in range(1, number)]
    full = Step(
        launched=dict(new),
        active=dict(new),
        shares=dict.fromkeys(new, 1.0),
        remaining=dict.fromkeys(old, 0),
        bake=policy.get("TerminationWaitInSeconds", 0),
    )
    return [*partial, full]


def plan_rollback(policy: Record, old: Counts, left: Counts, new: Counts) -> list[Step]:
    """Return the steps of a rolling deployment's way back, with old and new changing places.

    `old` is what the old fleet had, `left` what is left of it, `new` what the new fleet has now.
    """
    size = policy.get("RollbackMaximumBatchSize", {"Type": "CAPACITY_PERCENT", "Value": 100})
    missing = {name: count - left.get(name, 0) for name, count in old.items()}
    batches = {name: instances(size, count) for name, count in old.items()}
    number = max(1, *(math.ceil(missing[name] / batches[name]) for name in old))
    return [
        _replaced(
            {
                name: min(count, left.get(name, 0) + k * batches[name])
                for name, count in old.items()
            },
            old,
            new,
            last=k == number,
        )
        for k in range(1, number + 1)
    ]


def instances(size: Record, count: int) -> int:
    """Return how many of `count` instances a CapacitySize is."""
    if size["Type"] == "INSTANCE_COUNT":
        return max(1, min(count, int(size["Value"])))
    return max(1, count * int(size["Value"]) // 100)


def waits(steps: list[Step]) -> float:
    """Return the seconds that a deployment waits in all."""
    return sum(step.bake for step in steps)


def excluded(config: Record) -> bool:
    """Whether an endpoint config falls back to all at once without a bake.

    "Exclusions" of the deployment guardrails; Marketplace containers can not be told here. They
    are for real-time and asynchronous endpoints only, so serverless variants are left out too.
    """
    return any(
        "AcceleratorType" in variant
        or "ServerlessConfig" in variant
        or variant.get("InstanceType", "").startswith(_EXCLUDED_INSTANCES)
        for variant in config["ProductionVariants"]
    )


def check(config: Record, new: Counts | None = None) -> None:
    """Refuse a DeploymentConfig that SageMaker refuses; `new`: instances of the new variants."""
    rolling, blue_green = config.get("RollingUpdatePolicy"), config.get("BlueGreenUpdatePolicy")
    if rolling and blue_green:
        raise invalid("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be given.")
    if rolling:
        _check_size("MaximumBatchSize", rolling["MaximumBatchSize"], 5, 50, new)
        if size := rolling.get("RollbackMaximumBatchSize"):
            _check_size("RollbackMaximumBatchSize", size, 5, 100, new)
    if blue_green:
        _check_routing(blue_green["TrafficRoutingConfiguration"], new)
    limit = (rolling or blue_green or {}).get("MaximumExecutionTimeoutInSeconds")
    total = waits(plan(config, {}, new or {"": 1}))
    if limit is not None and total >= limit:
        raise invalid(
            f"MaximumExecutionTimeoutInSeconds ({limit}) must be greater than the deployment's "
            f"total waiting time ({total:g} seconds)."
        )


def _check_routing(routing: Record, new: Counts | None) -> None:
    members = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
    wanted = members.get(routing["Type"])
    for member in members.values():
        if (member in routing) != (member == wanted):
            verb = "is required" if member == wanted else "can not be given"
            raise invalid(f"{member} {verb} for traffic routing type {routing['Type']}.")
    if wanted:
        least = 10 if wanted == "LinearStepSize" else 0
        _check_size(wanted, routing[wanted], least, 50, new)


def _check_size(name: str, size: Record, least: int, most: int, new: Counts | None) -> None:
    value = size["Value"]
    if size["Type"] == "CAPACITY_PERCENT":
        if not least <= value <= most:
            raise invalid(f"{name} must be between {least} and {most} percent, and is {value}.")
        return
    for variant, count in (new or {}).items():
        if not least * count <= 100 * value <= most * count:
            raise invalid(
                f"{name} must be between {least} and {most} percent of the instance count of "
                f"variant {variant}: {value} of {count} instance(s) is not."
            )


def _steps(size: Record, new: Counts) -> int:
    """Return in how many steps of a size a whole fleet is reached."""
    value = int(size["Value"])
    if size["Type"] == "CAPACITY_PERCENT":
        return math.ceil(100 / value)
    return max(1, *(math.ceil(count / value) for count in new.values()))


def _activated(
    size: Record, number: int, old: Counts, new: Counts, wait: float, stage: str
) -> Step:
    """Return a step of a blue/green deployment that activates a part of the new fleet."""
    shares = {name: _part(size, number, count) for name, count in new.items()}
    return Step(
        launched=dict(new),
        active={name: max(min(1, n), _floor(n * shares[name])) for name, n in new.items()},
        shares=shares,
        remaining=dict(old),
        bake=wait,
        stage=stage,
        waited="WaitIntervalInSeconds",
    )


def _part(size: Record, number: int, count: int) -> float:
    whole = 100 if size["Type"] == "CAPACITY_PERCENT" else count
    return min(1.0, number * size["Value"] / whole) if whole else 1.0


def _rolling(policy: Record, old: Counts, new: Counts) -> list[Step]:
    batches = {name: instances(policy["MaximumBatchSize"], count) for name, count in new.items()}
    number = max(1, *(math.ceil(count / batches[name]) for name, count in new.items()))
    return [
        _replaced(
            {name: min(count, k * batches[name]) for name, count in new.items()},
            new,
            old,
            last=k == number,
            bake=policy["WaitIntervalInSeconds"],
        )
        for k in range(1, number + 1)
    ]


def _replaced(
    launched: Counts, growing: Counts, shrinking: Counts, *, last: bool, bake: float = 0.0
) -> Step:
    """Return a step that replaces a part of one fleet by the same part of another."""
    shares = {name: launched[name] / count if count else 1.0 for name, count in growing.items()}
    average = sum(shares.values()) / len(shares)
    gone = {name: _floor(count * shares.get(name, average)) for name, count in shrinking.items()}
    return Step(
        launched=dict(launched),
        active=dict(launched),
        shares=dict.fromkeys(growing, 1.0) if last else shares,
        remaining={name: 0 if last else shrinking[name] - gone[name] for name in shrinking},
        bake=bake,
        stage="full" if last else "batch",
        waited="WaitIntervalInSeconds",
    )


def _floor(value: float) -> int:
    """Round down, but not what is whole save for the last bits of a fraction."""
    return math.floor(value + 1e-9)
