"""New versions under live traffic, on the deployed stack: what customers, ledger and registry see.

Locally a minute of a rollout lasts a second, and an alarm's period is ten.
"""

import time
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

import pytest

from headrace.records import RecoveryRecord, RunRecord, model_partition
from headrace_cli import inference, registry, rollout
from headrace_cli.demo.traffic import Traffic, live_traffic
from tests.journey.conftest import Journey, wait

pytestmark = pytest.mark.journey

# It trains and answers as well as any other, but not for a tumour larger than any it has seen.
CARELESS = """
def features(columns):
    if (columns["mean_radius"] > 100).any():
        raise ValueError("nobody has such a radius")
    return columns
"""
CANARY = {
    "instance_count": 2,
    "strategy": {"canary": {"percent": 50, "bake": "4m"}},
    "stand_by": "1m",
    "alarms": {"periods": 1},
}
# Candidates need not beat the champion here.
PROJECT: dict[str, Any] = {"deployment": CANARY, "evaluation": {"must_beat": ["baseline"]}}


def served(journey: Journey) -> RunRecord:
    """Have a first version that serves; return its run."""
    journey.publish(**PROJECT)
    run = journey.run_on(journey.drop("may", journey.files()).dataset_version)
    deployment = journey.approve()
    assert deployment.status == "live", deployment.reasons
    return run


def traffic(journey: Journey, *, large: bool = False) -> AbstractContextManager[Traffic]:
    """Let customers ask; some of them about tumours larger than any before."""
    (path,) = journey.files(1).values()
    rows = [{k: v for k, v in row.items() if k != "benign"} for row in inference.read_rows(path)]
    if large:
        rows = [r | {"mean_radius": 1000.0} if n % 5 == 0 else r for n, r in enumerate(rows)]
    runtime = journey.session.environment.client("sagemaker-runtime", attempts=1)
    return live_traffic(runtime, journey.session.model(journey.model).endpoint, rows)


def wait_for_answers(seen: Traffic, run: RunRecord, count: int) -> None:
    wanted = seen.answered_by(run.run) + count
    wait(lambda: seen.answered_by(run.run) >= wanted or None, f"{count} answers by {run.run}")


def recoveries(journey: Journey) -> list[RecoveryRecord]:
    partition = model_partition(journey.model)
    found = journey.session.ledger.query(RecoveryRecord, partition, "recovery#")
    return sorted(found, key=lambda r: r.at)


def heard(journey: Journey, endpoint: str) -> list[str]:
    """Return the executions of recovery that an endpoint's alarm has caused, and that ended."""
    states, machine = journey.client("stepfunctions"), journey.function("RecoveryStateMachine")
    found = states.list_executions(stateMachineArn=machine)["executions"]
    ended = [e["executionArn"] for e in found if e["status"] != "RUNNING"]
    inputs = {arn: states.describe_execution(executionArn=arn)["input"] for arn in ended}
    return [arn for arn, cause in inputs.items() if f'"{endpoint}/unhealthy"' in cause]


def assert_all_agree(journey: Journey, version: int, rejected: int, reason: str) -> None:
    """Endpoint, ledger and registry say the same about what serves and what was taken back."""
    live = rollout.live(journey.session, journey.model)
    assert live is not None
    assert (live.package_version, live.disagreement) == (version, None)
    wait(
        lambda: None if rollout.live(journey.session, journey.model).lock_owner else True, "unlock"
    )
    assert inference.served_version(journey.session, live.endpoint) == version
    sagemaker = journey.client("sagemaker")
    endpoint = sagemaker.describe_endpoint(EndpointName=live.endpoint)
    assert endpoint["EndpointConfigName"] == live.endpoint_config
    packages = {p.version: p for p in registry.packages(journey.session, journey.model)}
    assert packages[version].status == "Approved"
    assert packages[rejected].status == "Rejected"
    described = sagemaker.describe_model_package(ModelPackageName=packages[rejected].arn)
    assert reason in described["ApprovalDescription"]


def test_a_canary_loses_no_request_and_an_alarm_after_its_bake_brings_the_old_one_back(
    journey: Journey,
) -> None:
    first = served(journey)
    journey.publish(CARELESS, **PROJECT)
    second = journey.retrain()
    with traffic(journey) as seen:
        deployment = journey.approve()
        wait_for_answers(seen, second, 20)
    assert deployment.status == "live", deployment.reasons
    assert deployment.strategy is not None
    assert deployment.strategy.startswith("1 of 2 instances go first")
    assert seen.failed == 0, seen.failures
    assert seen.answered_by(first.run) >= 20

    # What the bake could not know comes later.
    with traffic(journey, large=True) as later:
        back = wait(
            lambda: next((d for d in journey.deployments()[2:] if not d.is_open), None),
            "the deployment that recovery causes",
        )
        wait_for_answers(later, first, 20)
    assert (back.status, back.package_version, back.replaces_version) == ("live", 1, 2)
    assert "version 2 was rejected: Rolled back by recovery" in back.cause
    assert later.failed > 0
    (remedy,) = [r for r in recoveries(journey) if r.remedy != "wait"]
    assert (remedy.remedy, remedy.package_version, remedy.restore_version) == ("roll back", 2, 1)
    assert_all_agree(journey, version=1, rejected=2, reason=f"recovery {remedy.recovery}")


def test_a_version_that_fails_in_its_bake_is_taken_back_once_and_for_all(journey: Journey) -> None:
    """Invariants 32, 33 and 36."""
    served(journey)
    journey.publish(CARELESS, **PROJECT)
    second = journey.retrain()
    with traffic(journey, large=True) as seen:
        deployment = journey.approve()
        failed = seen.failed
        assert deployment.status == "rolled back", deployment.reasons
        assert "server-errors" in deployment.reasons[0]
        assert failed > 0
        # The alarm rings on and off; the good version has served for a few seconds only.
        alarm = f"{deployment.endpoint}/server-errors"
        for _ in range(4):
            for state, pause in (("OK", 0.1), ("ALARM", 1.0)):
                journey.client("cloudwatch").set_alarm_state(
                    AlarmName=alarm, StateValue=state, StateReason="the test says so"
                )
                time.sleep(pause)
        wait(
            lambda: len(heard(journey, deployment.endpoint)) >= 3 or None,
            "recovery to hear of the alarm",
        )
        assert seen.failed == failed, seen.failures
    assert {r.remedy for r in recoveries(journey)} == {"wait"}
    assert_all_agree(journey, version=1, rejected=2, reason="Rolled back to version 1")

    # Neither the approval's event, come late, nor the reconciler deploys it again.
    event = {"source": "aws.sagemaker", "detail-type": "SageMaker Model Package State Change"}
    envelope = dict.fromkeys(("id", "account", "region", "version"), "0")
    detail = {"ModelPackageArn": second.package_arn, "ModelApprovalStatus": "Approved"}
    more = {"resources": [], "time": "2026-01-01T00:00:00Z", "detail": detail}
    assert journey.invoke("StartDeploymentFunction", event | envelope | more) == {}
    assert "started" not in journey.invoke("ReconcileDeploymentsFunction", {})
    assert [d.status for d in journey.deployments()] == ["live", "rolled back"]


def test_of_two_approvals_at_once_the_newer_is_deployed(journey: Journey) -> None:
    """Invariant 30: never two deployments in flight; the older one that waits is superseded."""
    journey.publish(evaluation=PROJECT["evaluation"], deployment={"stand_by": 0})
    journey.run_on(journey.drop("may", journey.files()).dataset_version)
    journey.retrain()
    journey.retrain()
    packages = sorted(registry.packages(journey.session, journey.model), key=lambda p: p.version)
    assert [p.version for p in packages] == [1, 2, 3]

    def approve(number: int) -> None:
        registry.decide(journey.session, packages[number - 1], "Approved", "at once")

    approve(1)
    # Once it is checked: before that, a newer approval is rightly deployed in its place.
    wait(lambda: any(d.strategy for d in journey.deployments()) or None, "the first to be checked")
    approve(2)
    approve(3)

    def all_ended() -> bool | None:
        found = journey.deployments()
        assert sum(d.status == "deploying" for d in found) <= 1
        return (len(found) == 3 and not any(d.is_open for d in found)) or None

    wait(all_ended, "three verdicts", seconds=120)
    by_version = {d.package_version: d for d in journey.deployments()}
    verdicts = {version: d.status for version, d in by_version.items()}
    assert verdicts == {1: "live", 2: "refused", 3: "live"}
    assert "version 3" in by_version[2].reasons[0]
    held = sorted(holding(journey, d.execution_arn) for d in by_version.values())
    assert all(end <= begin for (_, end), (begin, _) in pairwise(held)), held


def holding(journey: Journey, execution: str) -> tuple[Any, Any]:
    """Return from when to when an execution held its endpoint's lock."""
    events = journey.history(execution)
    entered = {
        event["stateEnteredEventDetails"]["name"]: event["timestamp"]
        for event in events
        if "stateEnteredEventDetails" in event
    }
    return entered["CheckPackage"], entered["UnlockEndpoint"]
