"""Services that throttle, break connections, and do what was asked without saying so.

Between functions and services stands microburst (PyPI: microburst), a proxy that
fails calls as AWS does; what state machines call themselves is failed by MiniStack, in the form of
Step Functions Local's mocked responses (`tiny/throttles.json`).
"""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from headrace.records import DeploymentRecord
from headrace_cli import registry
from headrace_cli.session import Session
from tests.journey.conftest import Journey, new_model, wait
from tests.journey.rollout_invariants import come_to_rest, nothing_was_given_up
from tests.journey.rollouts import Rollouts

pytestmark = pytest.mark.journey

FUNCTIONS = [f"{name}EndpointFunction" for name in ("Guard", "Deploy", "Verify")]
FUNCTIONS += [f"{name}DeploymentFunction" for name in ("Start", "Resume")]
FUNCTIONS += ["CheckPackageFunction"]
LOST: dict[str, Any] = {"response": {"abort_bytes": 0}}
RESET: dict[str, Any] = {"reset": True}


def throttle(code: str = "ThrottlingException") -> dict[str, Any]:
    return {"error": {"code": code}}


def rule(service: str, operation: str, times: int, fault: dict[str, Any]) -> dict[str, Any]:
    return {"service": service, "operation": operation, "times": times, **fault}


# A client tries four times, so four throttles of one call come through to the state machine.
BUSY = [
    rule("sagemaker", "DescribeModelPackage", 4, throttle()),
    rule("sagemaker", "CreateEndpoint", 4, throttle()),
    rule("sagemaker", "DescribeEndpoint", 4, throttle()),
    rule("dynamodb", "UpdateItem", 2, throttle("ProvisionedThroughputExceededException")),
    rule("cloudwatch", "PutMetricAlarm", 2, throttle()),
    rule("s3", "GetObject", 2, throttle("SlowDown")),
    rule("stepfunctions", "StartExecution", 1, throttle()),
    rule("events", "PutEvents", 1, throttle()),
]
BROKEN = [
    rule("sagemaker", "DescribeEndpoint", 2, RESET),
    rule("dynamodb", "GetItem", 2, RESET),
    rule("cloudwatch", "DescribeAlarms", 1, RESET),
    rule("s3", "GetObject", 1, RESET),
]
SILENT = [
    rule("sagemaker", "UpdateEndpoint", 1, LOST),
    rule("dynamodb", "UpdateItem", 3, LOST),
    rule("dynamodb", "PutItem", 1, LOST),
    rule("cloudwatch", "PutMetricAlarm", 1, LOST),
    rule("stepfunctions", "StartExecution", 1, LOST),
    rule("stepfunctions", "SendTaskSuccess", 1, LOST),
]


class Burst:
    """A running microburst, and what it did."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def play(self, rules: list[dict[str, Any]]) -> None:
        """Let these faults happen, and no others."""
        self._ask("rules", rules, "POST")

    def fired(self) -> dict[tuple[str, str], int]:
        """Return how often each of the rules has fired, by service and operation."""
        found: list[dict[str, Any]] = self._ask("rules")
        return {(each["service"], each["operation"]): each["fired_count"] for each in found}

    def _ask(self, path: str, content: Any = None, method: str = "GET") -> Any:
        request = urllib.request.Request(
            f"{self.url}/_microburst/{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as reply:
            return json.loads(reply.read())

    def warm_up(self, session: Session) -> None:
        """Have it read botocore's models, which takes seconds: no function waits as long."""
        aws = session.environment.local_aws()
        assert aws is not None
        boto3.client(
            "sts",
            region_name=aws.region,
            endpoint_url=aws.endpoint_url,
            aws_access_key_id=aws.access_key_id,
            aws_secret_access_key=aws.secret_access_key,
            config=Config(proxies={"http": self.url}),
        ).get_caller_identity()

    def is_up(self) -> bool | None:
        try:
            self._ask("health")
        except OSError:
            return None
        return True


@contextmanager
def microburst(upstream: str, log: Path) -> Iterator[Burst]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--upstream", upstream, "--port", str(port), "--host", "127.0.0.1", "--no-resign"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "microburst", *arguments], stdout=output, stderr=output
        )
    burst = Burst(port)
    try:
        wait(burst.is_up, "microburst", seconds=60)
        yield burst
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def burst(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Burst]:
    """What the functions of the deployment stage call AWS through."""
    aws, functions = session.environment.local_aws(), session.client("lambda")
    assert aws is not None
    folder = tmp_path_factory.mktemp("burst")
    names = [Journey(session, folder, "none").function(each) for each in FUNCTIONS]
    before = {}
    with microburst(aws.endpoint_url, folder / "microburst.log") as running:
        running.warm_up(session)
        # By a proxy, not by another endpoint: it is the endpoint's name that clients sign.
        through = {"HTTP_PROXY": running.url}
        # microburst forgets how long an object is that is only asked for its head.
        directly = {"AWS_ENDPOINT_URL_S3": f"http://localhost:{aws.port}", "NO_PROXY": "localhost"}
        for name in names:
            known = functions.get_function_configuration(FunctionName=name)["Environment"]
            before[name] = known
            heads = "CheckPackage" in name
            changed = known["Variables"] | through | (directly if heads else {})
            functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": changed}
            )
        try:
            yield running
        finally:
            for name, known in before.items():
                functions.update_function_configuration(FunctionName=name, Environment=known)


@pytest.fixture
def world(session: Session, tmp_path: Path) -> Iterator[Rollouts]:
    made = Rollouts(session, tmp_path, new_model("burst"))
    made.begin()
    yield made
    made.forget()


def deployed(world: Rollouts, version: int, decision: str = "Approved") -> DeploymentRecord:
    known = {d.deployment for d in world.deployments()}
    world.decide(version, decision)

    def ended() -> DeploymentRecord | None:
        new = [d for d in world.deployments() if d.deployment not in known and not d.is_open]
        return next((d for d in new if d.package_version == version), None)

    return wait(ended, f"the deployment of version {version}", seconds=120)


def test_faults_between_functions_and_services_change_no_verdict(
    burst: Burst, world: Rollouts
) -> None:
    first, second = world.register("at-once"), world.register("canary")
    burst.play(BUSY)
    found = deployed(world, first)
    assert found.status == "live", found.reasons
    # There is nothing to go back to, which the function itself announces.
    assert deployed(world, first, "Rejected").status == "refused"
    _assert_all_fired(burst, BUSY)
    assert deployed(world, first).status == "live"

    burst.play(BROKEN)
    found = deployed(world, second)
    assert found.status == "live", found.reasons
    _assert_all_fired(burst, BROKEN)

    burst.play(SILENT)
    third = world.register("wrong")
    found = deployed(world, third)
    assert found.status == "rolled back", found.reasons
    _assert_all_fired(burst, SILENT)
    burst.play([])
    facts = come_to_rest(world)
    nothing_was_given_up(world)
    assert facts.live is not None
    assert facts.live.package_version == second
    statuses = [d.status for d in facts.deployments if d.package_version != first]
    assert statuses == ["live", "rolled back"], "each was made once"


def _assert_all_fired(burst: Burst, rules: list[dict[str, Any]]) -> None:
    """Every fault has happened, as often as it should; what comes after a verdict is awaited."""
    wanted = {(each["service"], each["operation"]): each["times"] for each in rules}
    wait(lambda: burst.fired() == wanted or None, f"{wanted} to fire", seconds=15)


def test_throttles_of_the_state_machine_s_own_calls_are_waited_out(world: Rollouts) -> None:
    version = world.register("at-once")
    # Nobody hears of the approval, so that the execution is the test's own.
    world.mute("package")
    try:
        world.decide(version, "Approved")
        time.sleep(0.2)  # an event that was sent is delivered by now
    finally:
        world.unmute()
    name = f"{world.model}-throttled"
    world.client("stepfunctions").start_execution(
        stateMachineArn=f"{world.session.stack.deployment_state_machine_arn}#Throttled",
        name=name,
        input=json.dumps(
            {
                "model": world.model,
                "deployment": name,
                "endpoint": world.endpoint,
                "package_arn": world.arns[version],
                "package_version": version,
                "cause": "the test says so",
            }
        ),
    )
    found = registry.wait_for_deployment(world.session, world.model, set(), timeout=60)
    assert found.status == "live", found.reasons
    come_to_rest(world)
    entered = [
        event["stateEnteredEventDetails"]["name"]
        for event in world.history(found.execution_arn)
        if "stateEnteredEventDetails" in event
    ]
    assert entered.count("WaitToCreateModel") == 2
    assert entered.count("WaitToCreateEndpointConfig") == 2
    assert entered[-1] == "AnnounceModelDeployed"
