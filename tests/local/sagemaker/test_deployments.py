"""Endpoint updates with real containers: traffic is shifted, nothing is lost, failures go back.

"Deployment Guardrails", "Events that Amazon SageMaker AI sends to Amazon EventBridge",
API_DescribeEndpoint, API_UpdateEndpointWeightsAndCapacities.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.settings import Settings
from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import IMAGES, MemoryCloud
from tests.local.sagemaker.serving import HALF, TEN, Endpoints, blue_green, rolling


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    cloud = MemoryCloud()
    settings = Settings(
        images=(IMAGES,),
        ping_timeout=3,
        ping_interval=0.1,
        serve_stop_grace=1,
        metrics_interval=0.1,
        bake_scale=0.5,
    )
    service = SageMaker(tmp_path_factory.mktemp("deployments"), cloud, settings)
    service.start()
    endpoints = Endpoints(service, cloud)
    yield endpoints
    endpoints.close()


def test_canary_under_load(endpoints: Endpoints) -> None:
    """A canary of one of two, a final bake, and no request is lost on the way."""
    endpoints.create("canary", endpoints.config("canary-1", instances=2))
    endpoints.config("canary-2", instances=2)
    strategy = blue_green("CANARY", 2, 1, CanarySize={"Type": "INSTANCE_COUNT", "Value": 1})
    with endpoints.load("canary") as answers:
        endpoints.update("canary", "canary-2", DeploymentConfig=strategy)
        with pytest.raises(ServiceError, match="Cannot update in-progress endpoint"):
            endpoints.update("canary", "canary-2")
        with pytest.raises(ServiceError, match="Cannot update in-progress endpoint"):
            endpoints.service.call("DeleteEndpoint", {"EndpointName": "canary"})
        variant = endpoints.baking("canary", "canary")
        assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 2)
        assert endpoints.describe("canary")["EndpointConfigName"] == "canary-1"
        sample = endpoints.sample("canary", 40)
        new = [answer["pid"] for answer in sample if answer["text"] == "canary-2"]
        assert 5 <= len(new) <= 35, "half of the traffic"
        assert len(set(new)) == 1, "one instance is the canary"
        endpoints.baking("canary", "full")
        assert endpoints.shares("canary") == {"canary-2": 60}
        endpoint = endpoints.settled("canary")
    assert {status for status, _ in answers} == {200}, Counter(answers)
    assert {text for _, text in answers} == {"canary-1", "canary-2"}
    assert endpoint["EndpointConfigName"] == "canary-2"
    assert endpoint["LastDeploymentConfig"] == strategy
    assert "PendingDeploymentSummary" not in endpoint
    waited = "with traffic enabled on"
    assert endpoints.statuses("canary") == [
        ("Creating", "Launching 2 instance(s)."),
        ("ActivatingTraffic", "Activating traffic on canary capacity of 1 instance(s)."),
        (
            "Baking",
            f"Baking for 2 seconds (WaitIntervalInSeconds) {waited} canary capacity of "
            "1 instance(s).",
        ),
        ("ActivatingTraffic", "Activating traffic on full capacity of 2 instance(s)."),
        (
            "Baking",
            f"Baking for 1 seconds (TerminationWaitInSeconds) {waited} full capacity of "
            "2 instance(s).",
        ),
    ]
    states = [
        detail["EndpointStatus"]
        for kind, detail, _ in endpoints.cloud.events
        if kind == "SageMaker Endpoint State Change" and detail["EndpointName"] == "canary"
    ]
    assert states == ["CREATING", "IN_SERVICE", "UPDATING", "IN_SERVICE"]
    # "a new dimension, EndpointConfigName, while the deployment lasts"
    of_config = [
        {each["Name"]: each["Value"] for each in datum["Dimensions"]}
        for _, datum in endpoints.cloud.metrics
        if len(datum["Dimensions"]) == 3
    ]
    assert {each["EndpointConfigName"] for each in of_config} == {"canary-2"}
    assert {each["VariantName"] for each in of_config} == {"main"}


def test_linear_and_the_last_deployment_config(endpoints: Endpoints) -> None:
    """Steps of half; RetainDeploymentConfig does the same again."""
    endpoints.create("linear", endpoints.config("linear-1"))
    endpoints.config("linear-2")
    strategy = blue_green("LINEAR", 2, 0, LinearStepSize=HALF)
    endpoints.update("linear", "linear-2", DeploymentConfig=strategy)
    endpoints.baking("linear", "linear step")
    shares = endpoints.shares("linear", 40)
    assert 5 <= shares["linear-2"] <= 35, shares
    endpoints.settled("linear")
    endpoints.update("linear", "linear-1", RetainDeploymentConfig=True)
    endpoints.baking("linear", "linear step")
    assert endpoints.settled("linear")["EndpointConfigName"] == "linear-1"
    assert endpoints.shares("linear") == {"linear-1": 60}


def test_rolling_under_load(endpoints: Endpoints) -> None:
    """Batches of one of two: never more than three instances, and no request is lost."""
    endpoints.create("rolling", endpoints.config("rolling-1", instances=2))
    endpoints.config("rolling-2", instances=2)
    with endpoints.load("rolling") as answers:
        endpoints.update("rolling", "rolling-2", DeploymentConfig=rolling(1))
        batch = endpoints.baking("rolling", "batch")
        assert (batch["CurrentInstanceCount"], batch["DesiredInstanceCount"]) == (1, 2)
        endpoints.baking("rolling", "full")
        [old] = endpoints.describe("rolling")["ProductionVariants"]
        assert old["CurrentInstanceCount"] == 1, "a batch of the old fleet is gone"
        endpoints.settled("rolling")
    assert {status for status, _ in answers} == {200}, Counter(answers)
    assert endpoints.shares("rolling") == {"rolling-2": 60}
    launched = [
        message for status, message in endpoints.statuses("rolling") if status == "Creating"
    ]
    assert launched == ["Launching 1 instance(s)."] * 2


def test_rolling_back_and_failing_to(endpoints: Endpoints, tmp_path: Path) -> None:
    """A second batch that fails makes the old fleet whole again; if that fails too, both serve."""
    flags = {name: tmp_path / name for name in ("back-1", "back-2")}
    for name, flag in flags.items():
        endpoints.config(name, instances=2, BROKEN_IF=str(flag))
    endpoints.create("back", "back-1")

    def update_that_breaks(*names: str) -> dict[str, Any]:
        endpoints.update("back", "back-2", DeploymentConfig=rolling(1))
        endpoints.baking("back", "batch")
        for name in names:
            flags[name].touch()
        endpoint = endpoints.settled("back")
        assert "did not pass the ping health check" in endpoint["FailureReason"]
        assert endpoint["EndpointConfigName"] == "back-1"
        for name in names:
            flags[name].unlink()
        return endpoint

    assert update_that_breaks("back-2")["EndpointStatus"] == "InService"
    assert len({answer["pid"] for answer in endpoints.sample("back")}) == 2
    assert endpoints.shares("back") == {"back-1": 60}

    endpoint = update_that_breaks("back-2", "back-1")
    assert endpoint["EndpointStatus"] == "UpdateRollbackFailed"
    assert set(endpoints.shares("back")) == {"back-1", "back-2"}, "a mix of old and new"
    with endpoints.load("back") as answers:
        endpoints.update("back", "back-2")
        endpoints.settled("back")
    assert {status for status, _ in answers} == {200}
    assert endpoints.shares("back") == {"back-2": 60}


def test_unhealthy_containers(endpoints: Endpoints) -> None:
    """One that hangs, answers 500 to /ping or exits: the old config goes on serving."""
    old = endpoints.config("healthy")
    names = [f"unhealthy-{text}" for text in ("hangs", "sick", "broken")]
    for name in names:
        endpoints.config(name, TEXT=name.removeprefix("unhealthy-"))
        endpoints.create(name, old)
    strategy = blue_green("CANARY", 1, 0, CanarySize=TEN)
    for name in names:
        endpoints.update(name, name, DeploymentConfig=strategy)
    for name in names:
        endpoint = endpoints.settled(name)
        assert endpoint["EndpointStatus"] == "InService"
        assert endpoint["EndpointConfigName"] == old
        assert "did not pass the ping health check" in endpoint["FailureReason"]
        assert endpoints.shares(name, 20) == {old: 20}


def test_container_that_falls_ill(endpoints: Endpoints) -> None:
    """A replica whose /ping fails while it serves is replaced."""
    endpoints.create("ill", endpoints.config("ill-1"))
    before = endpoints.request("ill", "sicken")[1]["pid"]

    def replaced() -> bool:
        status, answer = endpoints.request("ill")
        return status == 200 and answer["pid"] != before

    wait_until(replaced, what="a new container")


def test_weights_and_capacities(endpoints: Endpoints) -> None:
    """Weights at once, counts in the background; kept by an update that asks for it."""
    endpoints.create("scaled", endpoints.config("scaled-1", "a", "b"))
    endpoints.weigh(
        "scaled",
        {"VariantName": "a", "DesiredWeight": 0},
        {"VariantName": "b", "DesiredInstanceCount": 3},
    )
    updating = endpoints.describe("scaled")
    if updating["EndpointStatus"] == "Updating":
        [_, b] = updating["ProductionVariants"]
        assert (b["CurrentInstanceCount"], b["DesiredInstanceCount"]) == (1, 3)
    [a, b] = endpoints.settled("scaled")["ProductionVariants"]
    assert (a["CurrentWeight"], a["DesiredWeight"]) == (0, 0)
    assert (b["CurrentInstanceCount"], b["DesiredInstanceCount"]) == (3, 3)
    assert len({answer["pid"] for answer in endpoints.sample("scaled")}) == 3
    target = {"x-amzn-sagemaker-target-variant": "a"}
    assert endpoints.request("scaled", **target)[0] == 200, "a weight of 0 can be asked for"

    endpoints.config("scaled-2", "a", "b", "c")
    endpoints.update(
        "scaled",
        "scaled-2",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )
    found = endpoints.settled("scaled")["ProductionVariants"]
    assert [each["CurrentInstanceCount"] for each in found] == [1, 3, 1]
    assert [each["CurrentWeight"] for each in found] == [1, 1, 1]
    endpoints.weigh("scaled", {"VariantName": "b", "DesiredInstanceCount": 1})
    with endpoints.load("scaled") as answers:
        assert endpoints.settled("scaled")["ProductionVariants"][1]["CurrentInstanceCount"] == 1
    assert {status for status, _ in answers} == {200}

    for wanted, message in (
        (
            {"VariantName": "z", "DesiredWeight": 1},
            r"The variant name\(s\) \"z\" is/are not present",
        ),
        ({"VariantName": "a", "DesiredInstanceCount": 0}, "only asynchronous endpoints"),
        ({"VariantName": "a", "DesiredInstanceCount": 99}, "HEADRACE_LOCAL_INSTANCES raises it"),
    ):
        with pytest.raises(ServiceError, match=message):
            endpoints.weigh("scaled", wanted)
    assert endpoints.describe("scaled")["EndpointStatus"] == "InService"
