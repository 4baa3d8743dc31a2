"""Plans of deployments: what every DeploymentConfig comes to, and which are refused.

"Blue/Green Deployments", "Rolling Deployments", API_DeploymentConfig, API_CapacitySize.
"""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.sagemaker import ServiceError
from local.sagemaker.hosting.fleet import Fleet, Variant
from local.sagemaker.hosting.plan import Step, check, excluded, plan, plan_rollback, waits
from local.sagemaker.hosting.traffic import Routes

COUNTS = st.dictionaries(st.sampled_from("abc"), st.integers(1, 12), min_size=1)
WAIT = st.integers(0, 3600)


def sizes(least: int, most: int) -> st.SearchStrategy[dict[str, Any]]:
    percent = st.integers(least, most).map(lambda n: {"Type": "CAPACITY_PERCENT", "Value": n})
    count = st.integers(1, 6).map(lambda n: {"Type": "INSTANCE_COUNT", "Value": n})
    return percent | count


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["NONE", "ALL_AT_ONCE", "CANARY", "LINEAR", "ROLLING"]))
    if kind == "NONE":
        return {}
    if kind == "ROLLING":
        policy = {"MaximumBatchSize": draw(sizes(5, 50)), "WaitIntervalInSeconds": draw(WAIT)}
        if draw(st.booleans()):
            policy["RollbackMaximumBatchSize"] = draw(sizes(5, 100))
        return {"RollingUpdatePolicy": policy}
    routing = {"Type": kind, "WaitIntervalInSeconds": draw(WAIT)}
    if kind == "CANARY":
        routing["CanarySize"] = draw(sizes(1, 50))
    if kind == "LINEAR":
        routing["LinearStepSize"] = draw(sizes(10, 50))
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": draw(WAIT)}
    return {"BlueGreenUpdatePolicy": policy}


def grows(steps: list[Step], member: str) -> bool:
    values = [getattr(step, member) for step in steps]
    return all(
        earlier[name] <= later[name]
        for earlier, later in itertools.pairwise(values)
        for name in later
    )


@given(configs(), COUNTS, COUNTS)
def test_every_plan_ends_with_the_new_fleet_alone(
    config: dict[str, Any], old: dict[str, int], new: dict[str, int]
) -> None:
    steps = plan(config, old, new)
    last = steps[-1]
    assert last.launched == last.active == new
    assert set(last.shares.values()) == {1.0}
    assert last.remaining == dict.fromkeys(old, 0)
    assert grows(steps, "launched")
    assert grows(steps, "active")
    assert grows(steps, "shares")
    assert grows(steps[::-1], "remaining")
    for step in steps:
        assert all(0 < share <= 1 for share in step.shares.values())
        assert all(1 <= step.active[name] <= step.launched[name] for name in new)
    for step in steps[:-1]:
        # Whoever still gets traffic still has somebody to answer it.
        for name, share in step.shares.items():
            assert share == 1 or name not in old or step.remaining[name] >= 1


@given(configs(), COUNTS, COUNTS)
def test_shares_sum_to_one_in_every_step(
    config: dict[str, Any], old: dict[str, int], new: dict[str, int]
) -> None:
    before, after = routes("old", old), routes("new", new)
    for step in plan(config, old, new):
        shifted = before.shifted(after, step.shares)
        assert all(target.weight >= 0 for target in shifted.targets)
        if len(set(step.shares.values())) == 1:
            assert sum(target.weight for target in shifted.targets) == pytest.approx(1)
    shown = {target.fleet.endpoint for target in shifted.targets if target.weight > 0}
    assert shown == {"new"}


def routes(side: str, counts: dict[str, int]) -> Routes:
    def make(_: int) -> Any:
        raise AssertionError("nothing is started here")

    variants = {name: Variant(name, count, make, 1.0) for name, count in counts.items()}
    return Routes.of(Fleet(side, {}, variants, "role"))


@given(st.integers(1, 12), st.integers(1, 12), sizes(5, 100), st.data())
def test_every_way_back_restores_the_old_fleet(
    old: int, new: int, size: dict[str, Any], data: st.DataObject
) -> None:
    left = data.draw(st.integers(0, old))
    policy = {"RollbackMaximumBatchSize": size} if data.draw(st.booleans()) else {}
    steps = plan_rollback(policy, {"a": old}, {"a": left}, {"a": new})
    assert steps[-1].launched == {"a": old}
    assert steps[-1].remaining == {"a": 0}
    assert grows(steps, "launched")
    assert grows(steps[::-1], "remaining")
    if not policy:
        assert len(steps) == 1, "100 % unless it is given"


def test_examples_of_the_guide() -> None:
    """A canary of 30 % of 10; a linear step of 20 %; a batch of 1 of 3."""
    canary = {"Type": "CAPACITY_PERCENT", "Value": 30}
    first, second = plan(blue_green("CANARY", 600, 600, CanarySize=canary), {"v": 10}, {"v": 10})
    assert (first.active, first.shares, first.bake) == ({"v": 3}, {"v": 0.3}, 600)
    assert (first.stage, first.waited) == ("canary", "WaitIntervalInSeconds")
    assert (second.stage, second.waited, second.bake) == ("full", "TerminationWaitInSeconds", 600)

    step = {"Type": "CAPACITY_PERCENT", "Value": 20}
    steps = plan(blue_green("LINEAR", 300, 300, LinearStepSize=step), {"v": 5}, {"v": 5})
    assert [each.shares["v"] for each in steps] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert [each.active["v"] for each in steps] == [1, 2, 3, 4, 5]
    assert waits(steps) == 5 * 300

    batch = {"Type": "INSTANCE_COUNT", "Value": 1}
    steps = plan(rolling(batch, 60), {"v": 3}, {"v": 3})
    assert [each.launched["v"] for each in steps] == [1, 2, 3]
    assert [each.remaining["v"] for each in steps] == [2, 1, 0]
    assert waits(steps) == 180


def blue_green(kind: str, wait: int, end: int, **sizes: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": end}
    return {"BlueGreenUpdatePolicy": policy}


def rolling(size: dict[str, Any], wait: int, **more: Any) -> dict[str, Any]:
    policy = {"MaximumBatchSize": size, "WaitIntervalInSeconds": wait, **more}
    return {"RollingUpdatePolicy": policy}


ONE = {"Type": "INSTANCE_COUNT", "Value": 1}
HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}
MORE = {"Type": "CAPACITY_PERCENT", "Value": 51}
TOO_LONG = rolling(HALF, 300, MaximumExecutionTimeoutInSeconds=600)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**blue_green("ALL_AT_ONCE", 0, 0), **rolling(HALF, 0)}, "Only one of"),
        (blue_green("CANARY", 0, 0), "CanarySize is required"),
        (blue_green("LINEAR", 0, 0, CanarySize=ONE), "CanarySize can not be given"),
        (blue_green("ALL_AT_ONCE", 0, 0, LinearStepSize=HALF), "LinearStepSize can not be given"),
        (blue_green("CANARY", 0, 0, CanarySize=MORE), "between 0 and 50 percent"),
        (
            blue_green("LINEAR", 0, 0, LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 9}),
            "between 10 and 50 percent",
        ),
        (rolling(MORE, 0), "MaximumBatchSize must be between 5 and 50 percent"),
        (rolling({"Type": "INSTANCE_COUNT", "Value": 2}, 0), "2 of 2 instance"),
        (TOO_LONG, "must be greater than the deployment's total waiting time"),
    ],
)
def test_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError, match=message) as refusal:
        check(config, {"v": 2})
    assert refusal.value.code == "ValidationException"


def test_accepted() -> None:
    check(blue_green("CANARY", 3600, 3600, CanarySize=ONE), {"v": 2})
    check(rolling(HALF, 300, RollbackMaximumBatchSize={"Type": "CAPACITY_PERCENT", "Value": 100}))
    check({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}})


def test_exclusions() -> None:
    """ "Exclusions": these endpoints fall back to all at once, without a final bake."""
    variant = {"VariantName": "v", "InstanceType": "ml.m5.large"}
    assert not excluded({"ProductionVariants": [variant]})
    assert excluded({"ProductionVariants": [{**variant, "InstanceType": "ml.inf1.xlarge"}]})
    assert excluded({"ProductionVariants": [{**variant, "AcceleratorType": "ml.eia2.medium"}]})
