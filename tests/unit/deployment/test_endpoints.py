"""Deployments on one endpoint: attempts, events, time-outs, rollbacks, failures and locks."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from headrace.aws.endpoints import find_endpoint
from headrace.aws.storage import Location
from headrace.errors import DeploymentError, EndpointBusyError, LockLostError
from tests.unit import world
from tests.unit.deployment.endpoints import Endpoint
from tests.unit.deployment.world import ENDPOINT, SMOKE, Deployments
from tests.unit.world import MODEL, World


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world.aws(monkeypatch) as made:
        smoke = Location("headrace-artifacts", f"runs/{MODEL}/run/smoke.json")
        made.storage.put_json(smoke, SMOKE)
        yield made


def test_an_endpoint_is_created_waited_for_verified_and_recorded(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    target = world.begin(1)
    token = world.attempt(target)
    assert world.endpoint.status == "Creating"
    assert world.event() is None  # still creating
    world.endpoint.settle(well=True)
    assert world.event() == "v1"
    assert world.event() is None  # doubled
    assert world.tokens.outcomes[token] == "settled"
    assert world.verify(target).outcome == "live"
    assert world.runtime.asked == [{"instances": SMOKE["instances"]}]
    live = find_endpoint(here.ledger, ENDPOINT)
    assert live is not None
    assert (live.package_version, live.endpoint_config) == (1, "config-v1")
    assert live.waiting_config is live.task_token is live.waiting_since is None
    assert world.record(target).status == "live"
    assert world.verify(target).outcome == "live"  # a retry after a lost reply


def test_a_lost_event_is_made_up_for_by_the_next_attempt(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    target = world.begin(1)
    lost = world.attempt(target)
    world.tokens.open.discard(lost)  # the task timed out
    waiting = world.attempt(target)
    assert waiting in world.tokens.open
    world.endpoint.settle(well=True)
    token = world.attempt(target)
    assert world.tokens.outcomes == {token: "settled"}


def test_a_stale_event_does_not_resume(here: World) -> None:
    """An event of the change before comes between the token and the update."""
    world = Deployments(here.ledger, here.storage)
    world.serve(1)
    second = world.begin(2)

    def event_first(**request: Any) -> None:
        assert world.event() is None
        Endpoint.update_endpoint(world.endpoint, **request)

    world.endpoint.update_endpoint = event_first  # type: ignore[method-assign]
    token = world.attempt(second)
    assert token in world.tokens.open
    world.endpoint.settle(well=True)
    assert world.event() == "v2"


def test_a_silent_rollback_is_noticed_told_and_rejected(here: World) -> None:
    """Invariant 32: SageMaker ends it in service; the ledger says what really serves."""
    world = Deployments(here.ledger, here.storage)
    world.serve(1)
    second = world.begin(2)
    world.attempt(second)
    world.endpoint.settle(well=False)
    assert world.event() == "v2"
    verdict = world.verify(second)
    assert verdict.outcome == "rolled back"
    assert verdict.rolled_back is not None
    assert (verdict.rolled_back.restored_version, verdict.rolled_back.reasons) == (1, ["no ping"])
    assert "server-errors" in verdict.rolled_back.graphs[0]
    assert verdict.rejection is not None
    assert verdict.rejection["ModelApprovalStatus"] == "Rejected"
    assert verdict.rejection["ModelPackageArn"] == "arn:package/2"
    live = find_endpoint(here.ledger, ENDPOINT)
    assert live is not None
    assert live.package_version == 1
    assert world.record(second).status == "rolled back"


def test_a_version_that_answers_otherwise_is_not_left_serving(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    world.serve(1)
    second = world.begin(2)
    world.attempt(second)
    world.endpoint.settle(well=True)
    world.event()
    world.runtime.predictions = [{"score": 0.9, "label": 1}]
    verdict = world.verify(second)
    assert verdict.outcome == "broken"
    restore = verdict.restore
    assert restore is not None
    assert restore.endpoint_config == "config-v1"
    token = world.attempt(restore)
    assert world.endpoint.status == "Updating"
    world.endpoint.settle(well=True)
    world.event()
    assert world.tokens.outcomes[token] == "settled"
    verdict = world.verify(restore)
    assert verdict.outcome == "rolled back"
    assert verdict.rolled_back is not None
    assert "answers otherwise" in verdict.rolled_back.reasons[0]
    assert world.endpoint.config == "config-v1"
    assert world.record(second).status == "rolled back"


def test_a_first_version_that_answers_otherwise_has_nothing_to_go_back_to(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    target = world.begin(1)
    world.attempt(target)
    world.endpoint.settle(well=True)
    world.runtime.predictions = [{"score": 0.9, "label": 1}]
    with pytest.raises(DeploymentError, match="answers otherwise than the model that was judged"):
        world.verify(target)
    assert world.record(target).status == "deploying"


def test_an_endpoint_that_could_never_start_is_made_anew(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    first = world.begin(1)
    world.attempt(first)
    world.endpoint.settle(well=False)
    assert world.event() == "v1"
    with pytest.raises(DeploymentError, match="no ping"):
        world.verify(first)
    world.fail(first)
    world.unlock(first)
    second = world.begin(2)
    with pytest.raises(EndpointBusyError, match="being deleted"):
        world.attempt(second)
    world.endpoint.settle(well=True)
    world.attempt(second)
    world.endpoint.settle(well=True)
    assert world.verify(second).outcome == "live"


def test_the_second_waits_for_the_lock(here: World) -> None:
    """Invariant 30."""
    world = Deployments(here.ledger, here.storage)
    first = world.begin(1)
    assert world.lock(world.approve(2)) is None
    world.unlock(first)
    assert world.lock(world.approve(2)) is not None


def test_the_late_write_of_a_lost_lock_is_refused(here: World) -> None:
    """Invariant 31: the lease of a dead owner ends, and what it still writes is fenced."""
    world = Deployments(here.ledger, here.storage)
    first = world.begin(1)
    world.attempt(first)
    world.endpoint.settle(well=True)
    world.expire()
    second = world.begin(2)
    with pytest.raises(LockLostError, match="lost the lock"):
        world.attempt(first)
    with pytest.raises(LockLostError):
        world.verify(first)
    assert world.record(first).status == "deploying"
    world.attempt(second)
    world.endpoint.settle(well=True)
    assert world.verify(second).outcome == "live"
    found = find_endpoint(here.ledger, ENDPOINT)
    assert found is not None
    assert found.package_version == 2


@pytest.mark.parametrize(
    "answer", [b'{"error": "down"}', b"<html>", b"[]", ReadTimeoutError(endpoint_url="e")]
)
def test_an_answer_that_cannot_be_read_is_not_left_serving(here: World, answer: Any) -> None:
    world = Deployments(here.ledger, here.storage)
    world.serve(1)
    second = world.begin(2)
    world.attempt(second)
    world.endpoint.settle(well=True)
    world.runtime.answer = answer
    verdict = world.verify(second)
    assert verdict.outcome == "broken"
    assert verdict.restore is not None
    assert verdict.restore.endpoint_config == "config-v1"


def test_a_version_that_is_rejected_while_it_is_deployed_does_not_stay(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    world.serve(1)
    second = world.begin(2)
    world.attempt(second)
    world.endpoint.approvals["arn:package/2"] = "Rejected"
    world.endpoint.settle(well=True)
    verdict = world.verify(second)
    assert verdict.outcome == "broken"
    assert verdict.restore is not None
    assert verdict.restore.restores == ["version 2 is Rejected meanwhile: too slow"]


def test_autoscaling_between_token_and_update_is_no_rollback(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    world.serve(1)
    second = world.begin(2)

    def scaled_first(**_: Any) -> None:
        world.endpoint.touch()
        Endpoint.update_endpoint(world.endpoint, EndpointConfigName="config-v2", busy=True)

    world.endpoint.update_endpoint = scaled_first  # type: ignore[method-assign]
    with pytest.raises(EndpointBusyError):
        world.attempt(second)
    del world.endpoint.update_endpoint
    token = world.attempt(second)
    assert world.endpoint.pending == "config-v2"
    assert token in world.tokens.open
    world.endpoint.settle(well=True)
    assert world.verify(second).outcome == "live"
