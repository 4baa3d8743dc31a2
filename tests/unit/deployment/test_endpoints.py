"""Deployments on one endpoint: any order of attempts, events, time-outs, rollbacks and failures."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headrace.aws.endpoints import (
    Deployer,
    DeployRequest,
    EndpointRequest,
    VerifyRequest,
    VerifyVerdict,
    deploy_endpoint,
    find_endpoint,
    resume_deployment,
    succeed,
    verify_endpoint,
)
from headrace.aws.ledger import Ledger
from headrace.aws.storage import Location, Storage
from headrace.errors import DeploymentError, EndpointBusyError, LockLostError
from headrace.records import DeploymentRecord, EndpointRecord, Key, model_partition, now
from tests.unit import world
from tests.unit.deployment.endpoints import Endpoint, Runtime, Tokens
from tests.unit.world import MODEL, World

ENDPOINT = "headrace-credit-risk"
SMOKE = {
    "instances": [{"age": 40}],
    "predictions": [{"score": 0.25, "label": 0}],
    "tolerance": 1e-6,
}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world.aws(monkeypatch) as made:
        smoke = Location("headrace-artifacts", f"runs/{MODEL}/run/smoke.json")
        made.storage.put_json(smoke, SMOKE)
        yield made


class Deployments:
    """The deployment machine's part about the endpoint, one step at a time."""

    def __init__(self, ledger: Ledger, storage: Storage) -> None:
        self.ledger = ledger
        self.endpoint = Endpoint()
        self.tokens = Tokens()
        self.runtime = Runtime(SMOKE["predictions"])  # type: ignore[arg-type]
        self.aws = Deployer(world.settings(), ledger, storage, self.endpoint)
        self._token = itertools.count()

    def approve(self, version: int) -> EndpointRequest:
        """What CheckPackage leaves behind for an approved version."""
        target = EndpointRequest(
            model=MODEL,
            deployment=f"v{version}",
            execution=f"arn:execution:{version}",
            fence=0,
            endpoint=ENDPOINT,
            endpoint_config=f"config-v{version}",
            package_arn=f"arn:package/{version}",
            package_version=version,
            run="run",
        )
        self.ledger.put(
            DeploymentRecord(
                model=MODEL,
                deployment=target.deployment,
                status="deploying",
                endpoint=ENDPOINT,
                package_arn=target.package_arn,
                package_version=version,
                execution_arn=target.execution,
                cause="approved",
                started_at="2026-11-22T07:00:00.000Z",
            )
        )
        return target

    def lock(self, target: EndpointRequest) -> EndpointRequest | None:
        """What LockEndpoint does: the target with its lock's number, or None while it waits."""
        found = find_endpoint(self.ledger, ENDPOINT)
        record = found or EndpointRecord(model=MODEL, endpoint=ENDPOINT)
        ours = record.lock_owner in (None, target.execution)
        if not ours and (record.lock_until or "") > now():
            return None
        fence = record.fence + 1
        locked = {"lock_owner": target.execution, "lock_deployment": target.deployment}
        cleared = {"waiting_config": None, "waiting_since": None, "task_token": None}
        until = {"lock_until": "9999-01-01T00:00:00.000Z", "fence": fence}
        self.ledger.put(record.model_copy(update={**locked, **cleared, **until}))
        return target.model_copy(update={"fence": fence})

    def unlock(self, target: EndpointRequest) -> None:
        """What UnlockEndpoint does."""
        changes = {"lock_owner": None, "lock_deployment": None, "lock_until": None}
        key = Key(pk="endpoints", sk=ENDPOINT)
        self.ledger.update(key, changes, {"lock_owner": target.execution})

    def expire(self) -> None:
        """The owner of the lock is dead, or slower than its lease."""
        key = Key(pk="endpoints", sk=ENDPOINT)
        self.ledger.update(key, {"lock_until": "2026-01-01T00:00:00.000Z"})

    def begin(self, version: int) -> EndpointRequest:
        """Approve, and get the lock."""
        locked = self.lock(self.approve(version))
        assert locked is not None
        return locked

    def attempt(self, target: EndpointRequest) -> str:
        """Run DeployEndpoint as the state machine does: with a new token each time."""
        token = f"token-{next(self._token)}"
        self.tokens.open.add(token)
        request = DeployRequest(target=target, task_token=token)
        try:
            outcome = deploy_endpoint(request, self.aws)
        except DeploymentError:
            self.tokens.open.discard(token)
            raise
        if outcome:
            succeed(self.tokens, token, outcome)
        return token

    def event(self) -> str | None:
        return resume_deployment(ENDPOINT, self.ledger, self.endpoint, self.tokens)

    def verify(self, target: EndpointRequest) -> VerifyVerdict:
        return verify_endpoint(VerifyRequest(target=target), self.aws, self.runtime)

    def serve(self, version: int) -> EndpointRequest:
        """Deploy a version, from its approval to its verdict."""
        target = self.begin(version)
        self.attempt(target)
        self.endpoint.settle(well=True)
        self.event()
        assert self.verify(target).outcome == "live"
        self.unlock(target)
        return target

    def fail(self, target: EndpointRequest) -> None:
        """What RecordFailure does."""
        self.ledger.update(self.record(target).key(), {"status": "failed"}, {"status": "deploying"})

    def record(self, target: EndpointRequest) -> DeploymentRecord:
        key = Key(pk=model_partition(MODEL), sk=f"deployment#{target.deployment}")
        found = self.ledger.get(DeploymentRecord, key)
        assert found is not None
        return found


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
    world.attempt(second)
    world.endpoint.settle(well=True)
    assert world.verify(second).outcome == "live"
    found = find_endpoint(here.ledger, ENDPOINT)
    assert found is not None
    assert found.package_version == 2


class MemoryLedger(Ledger):
    """The ledger's reads and conditional writes without DynamoDB: a hundred stories in a second."""

    def __init__(self) -> None:
        self.items: dict[Key, Any] = {}

    def get(self, kind: Any, key: Key) -> Any:
        return self.items.get(key)

    def put(self, record: Any) -> None:
        self.items[record.key()] = record

    def create(self, record: Any) -> Any:
        existing = self.items.setdefault(record.key(), record)
        return None if existing == record else existing

    def update(self, key: Key, changes: Any, expect: Any = None) -> bool:
        record = self.items.get(key)
        if record is None or any(getattr(record, k) != v for k, v in (expect or {}).items()):
            return False
        self.items[key] = record.model_copy(update=dict(changes))
        return True


class Smoke:
    """A bucket that holds one file."""

    def get_json(self, _location: Location) -> Any:
        return SMOKE


class Story:
    """Three approved versions, and the things that may happen, in whatever order they do."""

    def __init__(self) -> None:
        self.world = Deployments(MemoryLedger(), Smoke())  # type: ignore[arg-type]
        self.targets: dict[int, EndpointRequest] = {}
        self.tokens: dict[int, str] = {}
        self.live: int | None = None

    def lock(self, version: int) -> None:
        """An execution starts, and gets the lock or waits for it."""
        if version not in self.targets:
            locked = self.world.lock(self.world.approve(version))
            if locked:
                self.targets[version] = locked

    def attempt(self, version: int) -> None:
        """A first try, a retry, or the try after a time-out."""
        if version not in self.targets:
            return
        self.world.tokens.open.discard(self.tokens.pop(version, ""))
        with contextlib.suppress(EndpointBusyError):
            try:
                self.tokens[version] = self.world.attempt(self.targets[version])
            except LockLostError:
                self._end(version)

    def settle_well(self, _: int) -> None:
        self.world.endpoint.settle(well=True)

    def settle_badly(self, _: int) -> None:
        self.world.endpoint.settle(well=False)

    def hear(self, _: int) -> None:
        """An event: in time, late, doubled, or of something else."""
        self.world.event()

    def expire(self, _: int) -> None:
        """An owner is slower than its lease."""
        self.world.expire()

    def answer_wrongly(self, _: int) -> None:
        self.world.runtime.predictions = [{"score": 0.9, "label": 1}]

    def answer_well(self, _: int) -> None:
        self.world.runtime.predictions = SMOKE["predictions"]  # type: ignore[assignment]

    def verify(self, version: int) -> None:
        """Verify what was resumed, and go back if it is broken."""
        if self.world.tokens.outcomes.get(self.tokens.get(version, "")) is None:
            return
        target = self.targets[version]
        del self.tokens[version]
        try:
            verdict = self.world.verify(target)
        except DeploymentError:
            self.world.fail(target)
            self._end(version)
            return
        if verdict.restore:
            self.targets[version] = verdict.restore
            return
        if verdict.outcome == "live":
            assert self.world.endpoint.status == "InService"
            assert self.world.endpoint.config == target.endpoint_config
            self.live = version
        self._end(version)

    def _end(self, version: int) -> None:
        self.world.unlock(self.targets.pop(version))

    def check(self) -> None:
        # Invariant 27: only what was approved ever serves.
        assert set(self.world.endpoint.served) <= {f"config-v{n}" for n in (1, 2, 3)}
        found = find_endpoint(self.world.ledger, ENDPOINT)
        assert (found.package_version if found else None) == self.live
        # Invariant 30: whoever has the lock has its number, and nobody else has.
        owners = [t for t in self.targets.values() if found and t.fence == found.fence]
        assert len(owners) <= 1


ACTIONS = [Story.lock, Story.attempt, Story.settle_well, Story.hear, Story.verify] * 3
ACTIONS += [Story.settle_badly, Story.expire, Story.answer_wrongly, Story.answer_well]
steps = st.tuples(st.sampled_from(ACTIONS), st.integers(1, 3))


@given(story=st.lists(steps, min_size=30, max_size=60))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_order(story: list[tuple[Callable[[Story, int], None], int]]) -> None:
    told = Story()
    for action, version in story:
        action(told, version)
        told.check()
