"""What a decision in the registry causes: a deployment, a way back, or nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from headrace.aws.deployment_reconciliation import DeploymentReconciler
from headrace.aws.deployments import (
    DeploymentRequest,
    queue_deployment,
    request_deployment,
    tell_refusal,
)
from headrace.aws.endpoints import EndpointRequest, find_endpoint
from headrace.aws.guarding import guard_endpoint
from headrace.deployment.alarms import Alarms
from headrace.deployment.checks import superseding
from headrace.errors import AnnouncementError, DeploymentError
from headrace.events import Event
from headrace.records import DeploymentRecord, Key, model_partition
from headrace.registry import Package
from tests.unit import world
from tests.unit.deployment.alarmed import Alarmed
from tests.unit.deployment.endpoints import Endpoint
from tests.unit.deployment.registry import ENDPOINT, decide, lived, publish, register
from tests.unit.world import MODEL, World


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world.aws(monkeypatch) as made:
        publish(made)
        yield made


def deployments(here: World) -> list[DeploymentRecord]:
    return list(here.ledger.query(DeploymentRecord, model_partition(MODEL), "deployment#"))


def asked(here: World, arn: str) -> Any:
    return request_deployment(arn, here.settings, here.ledger, here.sagemaker)


def test_an_approval_causes_one_deployment_however_often_it_is_heard(here: World) -> None:
    """Invariants 2 and 28."""
    arn = register(here)
    first, second = asked(here, arn), asked(here, arn)
    assert isinstance(first, DeploymentRequest)
    assert first == second
    assert (first.package_version, first.cause) == (1, "said Ann")
    assert asked(here, register(here, approved=False)) is None


def test_a_rejection_of_what_serves_brings_the_last_good_version_back(here: World) -> None:
    first, second, third = register(here), register(here), register(here)
    for number, arn in enumerate((first, second, third), start=1):
        lived(here, arn, number)
    decide(here, second, "Rejected")
    assert asked(here, second) is None  # it does not serve
    decide(here, third, "Rejected", "too slow")
    request = asked(here, third)
    assert isinstance(request, DeploymentRequest)
    assert request.package_arn == first
    assert request.cause == "version 3 was rejected: too slow"
    assert asked(here, third) == request


def test_with_nothing_to_go_back_to_people_are_told(here: World) -> None:
    """Invariant 35."""
    arn = register(here)
    lived(here, arn, 1)
    decide(here, arn, "Rejected")
    record = asked(here, arn)
    assert isinstance(record, DeploymentRecord)
    assert f"delete the endpoint {ENDPOINT}" in record.reasons[0]
    told = Told()
    told.broken = True
    with pytest.raises(AnnouncementError):
        tell_refusal(record, here.ledger, told)  # type: ignore[arg-type]
    told.broken = False
    for _ in range(2):  # a fault in between is not silence, and it is said once
        tell_refusal(asked(here, arn), here.ledger, told)  # type: ignore[arg-type]
    (refusal,) = told.events
    assert refusal.reasons == record.reasons  # type: ignore[attr-defined]
    (kept,) = (r for r in deployments(here) if r.status == "refused")
    assert kept.cause == "version 1 was rejected: said Ann"


def test_a_deleted_package_is_nothing_to_go_back_to(here: World) -> None:
    first, second, third = register(here), register(here), register(here)
    for number, arn in enumerate((first, second, third), start=1):
        lived(here, arn, number)
    gone = {second}
    describe = here.sagemaker.describe_model_package

    def described(ModelPackageName: str) -> Any:  # noqa: N803 — boto3's
        if ModelPackageName in gone:
            message = f"ModelPackage {ModelPackageName} does not exist."
            error = {"Error": {"Code": "ValidationException", "Message": message}}
            raise here.sagemaker.exceptions.ClientError(error, "DescribeModelPackage")
        return describe(ModelPackageName=ModelPackageName)

    here.sagemaker.describe_model_package = described
    decide(here, third, "Rejected")
    assert asked(here, third).package_arn == first


def test_while_paused_approvals_wait_but_going_back_does_not(here: World) -> None:
    first, second = register(here), register(here)
    lived(here, first, 1)
    lived(here, second, 2)
    here.ledger.update(Key(pk="endpoints", sk=ENDPOINT), {"paused": "by Ann"})
    assert asked(here, register(here)) is None
    decide(here, second, "Rejected")
    assert isinstance(asked(here, second), DeploymentRequest)


def test_a_newer_approval_that_waits_supersedes_an_older_one(here: World) -> None:
    older, newer = asked(here, register(here)), asked(here, register(here))
    queue_deployment(newer, "arn:execution:newer", here.ledger)
    package = Package.of(here.sagemaker.describe_model_package(ModelPackageName=older.package_arn))
    found = superseding(package, deployments(here))
    assert found is not None
    assert found.package_arn == newer.package_arn
    newest = Package.of(here.sagemaker.describe_model_package(ModelPackageName=newer.package_arn))
    assert superseding(newest, deployments(here)) is None


def guarded(here: World, alarmed: Alarmed, alarms: Alarms, **more: Any) -> list[str]:
    target = EndpointRequest(
        model=MODEL,
        deployment="v1",
        execution="arn",
        fence=1,
        endpoint=ENDPOINT,
        endpoint_config="c",
        package_arn="arn",
        package_version=1,
        run="run",
        alarms=alarms,
        **more,
    )
    verdict = guard_endpoint(target, here.settings, here.ledger, alarmed)
    return verdict.refusal.reasons if verdict.refusal else []


def test_a_deployment_waits_for_no_missing_and_no_ringing_alarm(here: World) -> None:
    """Invariant 34."""
    lived(here, "arn", 1)
    alarmed = Alarmed()
    assert guarded(here, alarmed, Alarms()) == []
    kinds = ("server-errors", "unhealthy", "c/server-errors")
    assert set(alarmed.states) == {f"{ENDPOINT}/{kind}" for kind in kinds}
    for urgent in (False, True):  # a version that never served is never left unwatched
        told = guarded(here, alarmed, Alarms(names=["mine"]), urgent=urgent)
        assert "alarm mine does not exist" in told[0]
    back = {"urgent": True, "served_before": True}
    assert guarded(here, alarmed, Alarms(names=["mine"]), **back) == []
    alarmed.states |= {"mine": "ALARM", f"{ENDPOINT}/old/latency": "OK"}
    assert "mine is ringing already: it is" in guarded(here, alarmed, Alarms(names=["mine"]))[0]
    assert guarded(here, alarmed, Alarms(names=["mine"]), urgent=True) == []
    # What watched an earlier deployment goes; what rings for the old version does not hinder.
    assert f"{ENDPOINT}/old/latency" not in alarmed.states
    alarmed.states[f"{ENDPOINT}/server-errors"] = "ALARM"
    assert guarded(here, alarmed, Alarms()) == []
    guarded(here, alarmed, Alarms(server_errors=None, latency_ms=50))
    assert f"{ENDPOINT}/server-errors" not in alarmed.states


class Executions:
    """Step Functions' executions, as far as the reconciler sees them."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}

    def arn(self, name: str) -> str:
        return f"arn:aws:states:::execution:headrace-deployment:{name}"

    def start(self, name: str, _payload: Any) -> str:
        self.statuses.setdefault(name, "RUNNING")
        return self.arn(name)

    def status(self, name: str) -> str | None:
        return self.statuses.get(name)


class Told:
    """The bus: what was announced."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    def announce(self, event: Event) -> None:
        if self.broken:
            raise AnnouncementError("EventBridge refused it")
        self.events.append(event)


class Reconciling:
    """A reconciler, and the world it looks at."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.executions = Executions()
        self.recoveries = Executions()
        self.alarmed = Alarmed()
        self.told = Told()
        self.endpoint = Endpoint()
        here.sagemaker.describe_endpoint = self.endpoint.describe_endpoint

    def run(self) -> Any:
        return DeploymentReconciler(
            self.here.settings,
            self.here.ledger,
            self.executions,  # type: ignore[arg-type]
            self.recoveries,  # type: ignore[arg-type]
            self.told,  # type: ignore[arg-type]
            self.here.sagemaker,
            self.alarmed,
        ).run()


def test_an_approval_nobody_heard_is_deployed_once(here: World) -> None:
    """Invariant 5."""
    reconciling = Reconciling(here)
    assert reconciling.run().started == []
    arn = register(here)
    (started,) = reconciling.run().started
    assert reconciling.executions.statuses == {started: "RUNNING"}
    assert reconciling.run().started == []
    lived(here, arn, 1)
    assert reconciling.run().started == []


def test_every_approval_nobody_heard_is_found_not_the_newest_version_s_alone(here: World) -> None:
    """Invariant 5: going back on purpose, and an older version approved after a newer one."""
    reconciling = Reconciling(here)
    first, second, third = register(here), register(here, approved=False), register(here)
    lived(here, first, 1)
    lived(here, third, 3)
    assert reconciling.run().started == []
    decide(here, second, "Approved")
    decide(here, first, "Approved", "the new one is too slow")
    (early, late) = reconciling.run().started
    assert early.startswith(f"{MODEL}-v2-")
    assert late.startswith(f"{MODEL}-v1-"), "in the order they were approved"
    assert reconciling.run().started == []


def test_a_rejection_nobody_heard_brings_the_last_good_version_back(here: World) -> None:
    reconciling = Reconciling(here)
    first, second = register(here), register(here)
    lived(here, first, 1)
    lived(here, second, 2)
    decide(here, second, "Rejected")
    (started,) = reconciling.run().started
    assert started.startswith(f"{MODEL}-v1-")
    assert reconciling.run().started == []


def test_what_ended_without_a_verdict_is_closed_and_its_lock_opened(here: World) -> None:
    """Invariant 31."""
    reconciling = Reconciling(here)
    lived(here, register(here), 1)
    dead = "arn:aws:states:::execution:headrace-deployment:v9"
    here.ledger.put(
        DeploymentRecord(
            model=MODEL,
            deployment="v9",
            status="deploying",
            endpoint=ENDPOINT,
            package_arn="arn",
            package_version=9,
            execution_arn=dead,
            cause="approved",
            started_at="2026-11-22T07:00:00.000Z",
        )
    )
    key = Key(pk="endpoints", sk=ENDPOINT)
    here.ledger.update(key, {"lock_owner": dead, "lock_until": "9999"})
    reconciling.executions.statuses["v9"] = "RUNNING"
    found = reconciling.run()
    assert (found.closed, found.unlocked) == ([], [])
    reconciling.executions.statuses["v9"] = "ABORTED"
    found = reconciling.run()
    assert (found.closed, found.unlocked) == (["v9"], [ENDPOINT])
    live = find_endpoint(here.ledger, ENDPOINT)
    assert live is not None
    assert live.lock_owner is None


def test_an_endpoint_changed_by_hand_is_reported_once(here: World) -> None:
    reconciling = Reconciling(here)
    lived(here, register(here), 1)
    reconciling.endpoint.status, reconciling.endpoint.config = "InService", "config-v1"
    assert reconciling.run().reported == []
    reconciling.endpoint.config = "by-hand"
    assert reconciling.run().reported == [ENDPOINT]
    assert reconciling.run().reported == []
    (event,) = reconciling.told.events
    assert "should serve on config-v1, but it is InService on by-hand" in event.reason  # type: ignore[attr-defined]
    reconciling.endpoint.config = "config-v1"
    reconciling.run()
    reconciling.endpoint.status = None
    assert reconciling.run().reported == [ENDPOINT]


def test_going_back_that_failed_is_tried_again_and_then_told(here: World) -> None:
    reconciling = Reconciling(here)
    first, second = register(here), register(here)
    lived(here, first, 1)
    lived(here, second, 2)
    decide(here, second, "Rejected")
    names = []
    for _ in range(3):
        (started,) = reconciling.run().started
        names.append(started)
        key = Key(pk=model_partition(MODEL), sk=f"deployment#{started}")
        here.ledger.update(key, {"status": "failed"})
    assert [name.removeprefix(names[0]) for name in names] == ["", "-2", "-3"]
    reconciling.endpoint.status, reconciling.endpoint.config = "InService", "config-v2"
    for _ in range(3):  # said once, however often it is looked at
        assert reconciling.run().started == []
    told = [event.reason for event in reconciling.told.events]  # type: ignore[attr-defined]
    assert sum("going back failed 3 times" in reason for reason in told) == 1


def test_what_a_failed_deployment_left_serving_is_replaced(here: World) -> None:
    """Invariant 27: nobody verified it."""
    reconciling = Reconciling(here)
    first = register(here)
    lived(here, first, 1)
    lived(here, "arn:package/2", 2, serves=False)
    key = Key(pk=model_partition(MODEL), sk="deployment#v2")
    here.ledger.update(key, {"status": "failed", "endpoint_config": "config-v2"})
    reconciling.endpoint.status, reconciling.endpoint.config = "InService", "config-v2"
    (started,) = reconciling.run().started
    assert started.startswith(f"{MODEL}-v1-")
    (record,) = (r for r in deployments(here) if r.deployment == started)
    assert record.cause == "deployment v2 failed and left its version serving"
    assert reconciling.run().started == []


def test_what_rings_on_is_asked_about_again(here: World) -> None:
    reconciling = Reconciling(here)
    lived(here, register(here), 1)
    reconciling.endpoint.status, reconciling.endpoint.config = "InService", "config-v1"
    reconciling.alarmed.states[f"{ENDPOINT}/unhealthy"] = "OK"
    reconciling.run()
    assert reconciling.recoveries.statuses == {}
    reconciling.alarmed.states[f"{ENDPOINT}/unhealthy"] = "ALARM"
    reconciling.run()
    assert len(reconciling.recoveries.statuses) == 1


def test_one_model_that_cannot_be_reconciled_does_not_stop_the_others(here: World) -> None:
    reconciling = Reconciling(here)
    here.ledger.put(world.model_record(model="aaa", package_group="headrace-other"))
    register(here)
    listed = here.sagemaker.list_model_packages

    def throttled(**request: Any) -> Any:
        if request["ModelPackageGroupName"] == "headrace-other":
            raise EndpointConnectionError(endpoint_url="sagemaker")
        return listed(**request)

    here.sagemaker.list_model_packages = throttled
    with pytest.raises(DeploymentError, match="aaa: "):
        reconciling.run()
    assert len(reconciling.executions.statuses) == 1
