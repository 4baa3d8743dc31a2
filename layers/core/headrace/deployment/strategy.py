"""How traffic moves to a new version: SageMaker's deployment guardrails, as model.yaml says them.

Limits and meaning: "Deployment guardrails for updating models in production" (developer guide),
API_BlueGreenUpdatePolicy, API_TrafficRoutingConfig, API_RollingUpdatePolicy. Instances are counted
here, not by percent, so that everybody knows beforehand how many will move.
"""

import math
from typing import Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator

from headrace.sections import Duration, Section, in_words, lasting

_LONGEST_WAIT = 3600  # WaitIntervalInSeconds, TerminationWaitInSeconds
_LONGEST = 28800  # MaximumExecutionTimeoutInSeconds
_SHORTEST = 600
_PROVISIONING = 3600  # new instances, model downloads, health checks: as long as AWS allows one
_BATCH_PROVISIONING = 900  # the same for each batch of a rolling deployment, which is smaller


class Canary(Section):
    """A small part of the traffic first, then all of it."""

    percent: int = Field(10, ge=1, le=50, description="Share of the instances that go first.")
    bake: Duration = Field(
        lasting("10m"), ge=0, le=_LONGEST_WAIT, description="How long they are watched."
    )


class Linear(Section):
    """Equal parts of the traffic, one after the other."""

    percent: int = Field(25, ge=10, le=50, description="Share of the instances in each step.")
    bake: Duration = Field(
        lasting("5m"), ge=0, le=_LONGEST_WAIT, description="How long each is watched."
    )


class Rolling(Section):
    """Instances are replaced in batches: no second fleet is paid for."""

    percent: int = Field(25, ge=5, le=50, description="Share of the instances in each batch.")
    bake: Duration = Field(
        lasting("5m"), ge=0, le=_LONGEST_WAIT, description="How long each is watched."
    )


class Strategy(Section):
    """How traffic moves: all at once, or by exactly one of these."""

    canary: Canary | None = Field(None, description="A small part first, then all.")
    linear: Linear | None = Field(None, description="Equal parts, one after the other.")
    rolling: Rolling | None = Field(None, description="Replace instances in batches.")

    @model_validator(mode="after")
    def _one_at_most(self) -> "Strategy":
        if sum(each is not None for each in (self.canary, self.linear, self.rolling)) > 1:
            raise ValueError("choose one of canary, linear and rolling")
        return self

    @property
    def name(self) -> Literal["all-at-once", "canary", "linear", "rolling"]:
        """The name people use for it."""
        if self.canary:
            return "canary"
        if self.linear:
            return "linear"
        return "rolling" if self.rolling else "all-at-once"


def read_strategy(value: Any) -> Any:
    """Take `all-at-once`, or another strategy's bare name, for the section it stands for."""
    if isinstance(value, str):
        return {} if value == "all-at-once" else {value: {}}
    return value


StrategyField = BeforeValidator(read_strategy)


class Shift(NamedTuple):
    """What SageMaker is asked to do with the traffic, in instances and seconds."""

    kind: Literal["all-at-once", "canary", "linear", "rolling"]
    instances: int
    bake: int
    stand_by: int
    steps: int

    @property
    def waits(self) -> int:
        """All waiting, in seconds."""
        return self.steps * self.bake + self.stand_by

    @property
    def provisioning(self) -> int:
        """How long new instances may take, in seconds; a rolling deployment makes them in steps."""
        return max(_PROVISIONING, self.steps * _BATCH_PROVISIONING * (self.kind == "rolling"))

    def scaled(self, minute_seconds: int) -> "Shift":
        """Return the shift with waits as long as a minute lasts here; a laptop cannot wait."""
        bake, stand_by = (seconds * minute_seconds // 60 for seconds in (self.bake, self.stand_by))
        return self._replace(bake=bake, stand_by=stand_by)


def plan_shift(strategy: Strategy, instances: int, stand_by: int) -> Shift:
    """Say what moves when. One instance cannot be split: it moves at once, and the old one waits.

    `stand_by` is how long the old instances are kept once all traffic has moved, in seconds.
    """
    asked = strategy.canary or strategy.linear or strategy.rolling
    if asked is None:
        return Shift("all-at-once", instances, 0, stand_by, 0)
    if instances < 2:
        # What would have been watched step by step is watched while the old one can still return.
        return Shift("all-at-once", instances, 0, min(asked.bake + stand_by, _LONGEST_WAIT), 0)
    if strategy.canary:
        part = _part(instances, asked.percent, 0)
        return Shift("canary", part, asked.bake, stand_by, 1)
    if strategy.linear:
        part = _part(instances, asked.percent, 10)
        return Shift("linear", part, asked.bake, stand_by, math.ceil(instances / part) - 1)
    part = _part(instances, asked.percent, 5)
    return Shift("rolling", part, asked.bake, 0, math.ceil(instances / part))


def deployment_config(shift: Shift, alarms: list[str]) -> dict[str, Any]:
    """Return UpdateEndpoint's DeploymentConfig."""
    size = {"Type": "INSTANCE_COUNT", "Value": shift.instances}
    timeout = max(_SHORTEST, min(shift.waits + shift.provisioning, _LONGEST))
    rollback = (
        {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}}
        if alarms
        else {}
    )
    if shift.kind == "rolling":
        policy = {
            "MaximumBatchSize": size,
            "WaitIntervalInSeconds": shift.bake,
            "MaximumExecutionTimeoutInSeconds": timeout,
        }
        return {"RollingUpdatePolicy": policy, **rollback}
    routing: dict[str, Any] = {
        "Type": shift.kind.replace("-", "_").upper(),
        "WaitIntervalInSeconds": shift.bake,
    }
    if shift.kind == "canary":
        routing["CanarySize"] = size
    elif shift.kind == "linear":
        routing["LinearStepSize"] = size
    blue_green = {
        "TrafficRoutingConfiguration": routing,
        "TerminationWaitInSeconds": shift.stand_by,
        "MaximumExecutionTimeoutInSeconds": timeout,
    }
    return {"BlueGreenUpdatePolicy": blue_green, **rollback}


def mistakes(strategy: Strategy, instances: int, stand_by: int, has_alarms: bool) -> list[str]:
    """Return why a strategy cannot be carried out, in words."""
    shift = plan_shift(strategy, instances, stand_by)
    found = []
    if strategy.name != "all-at-once" and not has_alarms:
        found.append(
            f"a {strategy.name} deployment without alarms would never roll back: SageMaker needs "
            "at least one; leave deployment.alarms.server_errors as it is, or name one of yours"
        )
    if strategy.rolling and stand_by:
        found.append(
            "a rolling deployment keeps no old instances: stand_by needs a blue/green strategy "
            "(all-at-once, canary or linear)"
        )
    if shift.waits + shift.provisioning > _LONGEST:
        found.append(
            f"its waits take {in_words(shift.waits)}, and SageMaker gives up a deployment after "
            f"8 h, of which up to {in_words(shift.provisioning)} are needed for new instances: "
            "shorten the bakes, or take larger steps"
        )
    return found


def explain(strategy: Strategy, instances: int, stand_by: int) -> str:
    """Return in one sentence what will happen to the traffic."""
    shift = plan_shift(strategy, instances, stand_by)
    kept = f"; the old instances stand by for {in_words(shift.stand_by)}" if shift.stand_by else ""
    if shift.kind == "all-at-once":
        alone = " (one instance cannot be split)" if strategy.name != "all-at-once" else ""
        return f"all traffic moves at once{alone}{kept}"
    share = f"{shift.instances} of {instances} instances"
    watched = f"watched for {in_words(shift.bake)}"
    if shift.kind == "canary":
        return f"{share} go first and are {watched}, then the rest{kept}"
    if shift.kind == "linear":
        return f"{share} at a time, each step {watched}{kept}"
    return f"{share} are replaced at a time, each batch {watched}"


def _part(instances: int, percent: int, least: int) -> int:
    """Return how many instances are `percent`, within what SageMaker allows: `least` to 50 %."""
    smallest = max(1, math.ceil(instances * least / 100))
    return max(smallest, min(round(instances * percent / 100), instances // 2))
