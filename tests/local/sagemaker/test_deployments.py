"""Endpoint updates with real containers: traffic is shifted, nothing is lost, failures go back.

"Deployment Guardrails", "Events that Amazon SageMaker AI sends to Amazon EventBridge",
API_DescribeEndpoint, API_UpdateEndpointWeightsAndCapacities.
"""

import asyncio
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.settings import Settings
from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import (
    IMAGES,
    ROLE,
    SCRIPT,
    Clients,
    MemoryCloud,
    containers,
)
from tests.local.sagemaker.test_restart import saved_roles

TEN = {"Type": "CAPACITY_PERCENT", "Value": 10}
HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}


class Endpoints:
    """A started service, with models that say their name and endpoints of them."""

    def __init__(self, service: SageMaker, cloud: MemoryCloud) -> None:
        self.service, self.cloud = service, cloud
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def close(self) -> None:
        self.service.close()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def config(self, name: str, *variants: str, instances: int = 1, **environment: str) -> str:
        """A config whose variants answer with its name, unless TEXT says another."""
        environment = {"TEXT": name, **environment}
        model = {"ExecutionRoleArn": ROLE}
        container = {"Image": SCRIPT, "Environment": environment}
        self.service.call(
            "CreateModel", {"ModelName": name, **model, "PrimaryContainer": container}
        )
        self.service.call(
            "CreateEndpointConfig",
            {
                "EndpointConfigName": name,
                "ProductionVariants": [
                    {
                        "VariantName": variant,
                        "ModelName": name,
                        "InitialInstanceCount": instances,
                        "InstanceType": "ml.m5.large",
                    }
                    for variant in variants or ["main"]
                ],
            },
        )
        return name

    def create(self, name: str, config: str) -> dict[str, Any]:
        self.service.call("CreateEndpoint", {"EndpointName": name, "EndpointConfigName": config})
        return self.settled(name)

    def update(self, name: str, config: str, **more: Any) -> None:
        request = {"EndpointName": name, "EndpointConfigName": config, **more}
        self.service.call("UpdateEndpoint", request)

    def weigh(self, name: str, *wanted: dict[str, Any]) -> None:
        self.service.call(
            "UpdateEndpointWeightsAndCapacities",
            {"EndpointName": name, "DesiredWeightsAndCapacities": list(wanted)},
        )

    def describe(self, name: str) -> dict[str, Any]:
        return self.service.call("DescribeEndpoint", {"EndpointName": name})

    def settled(self, name: str) -> dict[str, Any]:
        def settled() -> dict[str, Any] | None:
            endpoint = self.describe(name)
            return endpoint if not endpoint["EndpointStatus"].endswith("ing") else None

        return wait_until(settled, what=f"{name} to settle")

    def baking(self, name: str, stage: str) -> dict[str, Any]:
        """Wait until an update bakes; return the variant's summary."""

        def baking() -> dict[str, Any] | None:
            endpoint = self.describe(name)
            pending = endpoint.get("PendingDeploymentSummary")
            assert pending, f"settled before baking: {endpoint}"
            [variant] = pending["ProductionVariants"]
            [status] = variant["VariantStatus"]
            is_it = status["Status"] == "Baking" and stage in status["StatusMessage"]
            return variant if is_it else None

        return wait_until(baking, what=f"{name} to bake on {stage}")

    def request(self, name: str, body: str = "x", **headers: str) -> tuple[int, Any]:
        """Invoke an endpoint; return the status and the answer."""
        handled = self.service.handle(
            "POST",
            f"/endpoints/{name}/invocations",
            {"content-type": "text/csv", **headers},
            body.encode(),
        )
        status, _, content = asyncio.run_coroutine_threadsafe(handled, self._loop).result(60)
        return status, json.loads(content)

    def sample(self, name: str, count: int = 60) -> list[dict[str, Any]]:
        return [self.request(name)[1] for _ in range(count)]

    def shares(self, name: str, count: int = 60) -> Counter[str]:
        return Counter(answer["text"] for answer in self.sample(name, count))

    @contextmanager
    def load(self, name: str) -> Iterator[list[tuple[int, str]]]:
        """Ask from four threads; what was answered is there in the end."""
        answers: list[tuple[int, str]] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                status, answer = self.request(name)
                answers.append((status, answer.get("text", str(answer))))

        with ThreadPoolExecutor(4) as pool:
            askers = [pool.submit(ask) for _ in range(4)]
            try:
                yield answers
            finally:
                over.set()
        for asker in askers:
            asker.result()

    def statuses(self, name: str) -> list[tuple[str, str]]:
        """The pending variants' statuses that events told, each once."""
        told = []
        for kind, detail, _ in self.cloud.events:
            if kind == "SageMaker Endpoint Deployment State Change":
                assert detail["EndpointStatus"] == "UPDATING"
                variants = detail["PendingDeploymentSummary"]["ProductionVariants"]
                status = variants[0]["VariantStatus"][0]
                shown = (status["Status"], status["StatusMessage"])
                if detail["EndpointName"] == name and shown not in told[-1:]:
                    told.append(shown)
        return told


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


def blue_green(kind: str, wait: int, end: int, **sizes: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": end}
    return {"BlueGreenUpdatePolicy": policy}


def rolling(wait: int, **more: Any) -> dict[str, Any]:
    policy = {"MaximumBatchSize": HALF, "WaitIntervalInSeconds": wait, **more}
    return {"RollingUpdatePolicy": policy}


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
        sample = endpoints.sample("canary")
        new = [answer["pid"] for answer in sample if answer["text"] == "canary-2"]
        assert 10 <= len(new) <= 50, "half of the traffic"
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
    shares = endpoints.shares("linear")
    assert 10 <= shares["linear-2"] <= 50, shares
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


def test_alarm_rolls_back(sagemaker_aws: LocalAws, clients: Clients, unique: str) -> None:
    """The canary's errors put an alarm into ALARM: all traffic is back on the old fleet."""
    iam = sagemaker_aws.client("iam")
    role = f"{ROLE}-alarms"
    trust = iam.get_role(RoleName=ROLE.rsplit("/")[-1])["Role"]["AssumeRolePolicyDocument"]
    iam.create_role(RoleName=role.rsplit("/")[-1], AssumeRolePolicyDocument=json.dumps(trust))
    watch = {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [watch]}
    iam.put_role_policy(
        RoleName=role.rsplit("/")[-1], PolicyName="alarms", PolicyDocument=json.dumps(policy)
    )
    for text, arn in (("works", role), ("fails", role), ("blind", ROLE)):
        container = {"Image": SCRIPT, "Environment": {"TEXT": text}}
        name = f"{unique}-{text}"
        clients.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=arn, PrimaryContainer=container
        )
        clients.config(name, ("main", name, 1.0))
    clients.cloudwatch.put_metric_alarm(
        AlarmName=unique,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[
            {"Name": "EndpointName", "Value": unique},
            {"Name": "VariantName", "Value": "main"},
            {"Name": "EndpointConfigName", "Value": f"{unique}-fails"},
        ],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    clients.deploy(unique, f"{unique}-works")

    def update(to: str, alarm: str = unique) -> dict[str, Any]:
        strategy = blue_green("CANARY", 60, 0, CanarySize=HALF)
        alarms = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]}}
        clients.sagemaker.update_endpoint(
            EndpointName=unique,
            EndpointConfigName=f"{unique}-{to}",
            DeploymentConfig={**strategy, **alarms},
        )

        def settled() -> dict[str, Any] | None:
            with suppress(clients.runtime.exceptions.ModelError):  # the canary's
                clients.ask(unique)
            endpoint = clients.sagemaker.describe_endpoint(EndpointName=unique)
            return endpoint if endpoint["EndpointStatus"] != "Updating" else None

        return wait_until(settled, what="the rollback")

    for endpoint, reason in (
        (update("blind"), "cloudwatch:DescribeAlarms"),
        (update("fails", "nobody"), "nobody could not be found"),
        (update("fails"), f"{unique} went into the ALARM state"),
    ):
        assert endpoint["EndpointStatus"] == "InService"
        assert endpoint["EndpointConfigName"] == f"{unique}-works"
        assert reason in endpoint["FailureReason"]
    assert {clients.ask(unique)["text"] for _ in range(20)} == {"works"}
    ringing = update("works")  # the alarm still is in ALARM
    assert f"{unique} went into the ALARM state" in ringing["FailureReason"]
    clients.delete(unique)


def test_sigkill_in_the_middle(sagemaker_aws: LocalAws, clients: Clients, unique: str) -> None:
    """Half of the old fleet is gone; a restart brings it back whole, and nothing else."""
    aws = sagemaker_aws
    one, two = (clients.model(f"{unique}-{text}", text) for text in ("one", "two"))
    clients.config(f"{unique}-1", ("main", one, 1.0), instances=2)
    clients.config(f"{unique}-2", ("main", two, 1.0), instances=2)
    clients.deploy(unique, f"{unique}-1")
    before = len(containers(aws))
    clients.sagemaker.update_endpoint(
        EndpointName=unique, EndpointConfigName=f"{unique}-2", DeploymentConfig=rolling(1)
    )

    def half_gone() -> bool:
        endpoint = clients.sagemaker.describe_endpoint(EndpointName=unique)
        return endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 1

    wait_until(half_gone, what="a batch of the old fleet to go")
    wait_until(lambda: b"sagemaker-tests" in saved_roles(aws), what="the roles on disk")
    aws.stop(signal.SIGKILL)
    wait_until(lambda: not containers(aws), what="every container to go")
    aws.start(aws.facts["port"])
    endpoint = clients.settled(unique)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == f"{unique}-1"
    assert "restarted while the endpoint was updated" in endpoint["FailureReason"]
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert {clients.ask(unique)["text"] for _ in range(10)} == {"one"}
    assert len(containers(aws)) == before
    clients.delete(unique)
