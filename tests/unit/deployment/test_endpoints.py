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
    deploy_endpoint,
    find_endpoint,
    resume_deployment,
    succeed,
    verify_endpoint,
)
from headrace.aws.ledger import Ledger
from headrace.aws.storage import Location, Storage
from headrace.errors import DeploymentError, EndpointBusyError
from headrace.records import DeploymentRecord, Key, model_partition
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
                execution_arn=f"arn:execution:{version}",
                started_at="2026-11-22T07:00:00.000Z",
            )
        )
        return target

    def attempt(self, target: EndpointRequest) -> str:
        """Run DeployEndpoint as the state machine does: with a new token each time."""
        token = f"token-{next(self._token)}"
        self.tokens.open.add(token)
        request = DeployRequest(target=target, task_token=token)
        try:
            outcome = deploy_endpoint(request, self.aws)
        except EndpointBusyError:
            self.tokens.open.discard(token)
            raise
        if outcome:
            succeed(self.tokens, token, outcome)
        return token

    def event(self) -> str | None:
        return resume_deployment(ENDPOINT, self.ledger, self.endpoint, self.tokens)

    def verify(self, target: EndpointRequest, outcome: str = "settled") -> str:
        request = VerifyRequest.model_validate({"target": target, "outcome": outcome})
        return verify_endpoint(request, self.aws, self.runtime).outcome

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
    target = world.approve(1)
    token = world.attempt(target)
    assert world.endpoint.status == "Creating"
    assert world.event() is None  # still creating
    world.endpoint.settle(well=True)
    assert world.event() == "v1"
    assert world.event() is None  # doubled
    assert world.tokens.outcomes[token] == "settled"
    assert world.verify(target) == "live"
    assert world.runtime.asked == [{"instances": SMOKE["instances"]}]
    live = find_endpoint(here.ledger, ENDPOINT)
    assert live is not None
    assert (live.package_version, live.endpoint_config) == (1, "config-v1")
    assert live.waiting_deployment is live.task_token is live.waiting_since is None
    assert world.record(target).status == "live"
    assert world.verify(target) == "live"  # a retry after a lost reply


def test_a_lost_event_is_made_up_for_by_the_next_attempt(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    target = world.approve(1)
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
    first, second = world.approve(1), world.approve(2)
    world.attempt(first)
    world.endpoint.settle(well=True)
    world.event()
    world.verify(first)

    def event_first(**request: Any) -> None:
        assert world.event() is None
        Endpoint.update_endpoint(world.endpoint, **request)

    world.endpoint.update_endpoint = event_first  # type: ignore[method-assign]
    token = world.attempt(second)
    assert token in world.tokens.open
    world.endpoint.settle(well=True)
    assert world.event() == "v2"


def test_a_silent_rollback_is_a_failure_with_sagemaker_s_reason(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    first, second = world.approve(1), world.approve(2)
    world.attempt(first)
    world.endpoint.settle(well=True)
    world.verify(first)
    world.attempt(second)
    world.endpoint.settle(well=False)
    assert world.event() == "v2"
    with pytest.raises(DeploymentError, match="on config-v1, not in service on config-v2: no ping"):
        world.verify(second)
    live = find_endpoint(here.ledger, ENDPOINT)
    assert live is not None
    assert live.package_version == 1


def test_an_endpoint_that_answers_otherwise_is_a_failure(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    target = world.approve(1)
    world.attempt(target)
    world.endpoint.settle(well=True)
    world.runtime.predictions = [{"score": 0.9, "label": 1}]
    with pytest.raises(DeploymentError, match="answers otherwise than the model that was judged"):
        world.verify(target)
    assert world.record(target).status == "deploying"


def test_an_endpoint_that_could_never_start_is_made_anew(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    first, second = world.approve(1), world.approve(2)
    world.attempt(first)
    world.endpoint.settle(well=False)
    assert world.event() == "v1"
    with pytest.raises(DeploymentError, match="no ping"):
        world.verify(first)
    world.fail(first)
    with pytest.raises(EndpointBusyError, match="being deleted"):
        world.attempt(second)
    world.endpoint.settle(well=True)
    world.attempt(second)
    world.endpoint.settle(well=True)
    assert world.verify(second) == "live"


def test_the_second_waits_and_the_older_is_superseded(here: World) -> None:
    world = Deployments(here.ledger, here.storage)
    older, newer = world.approve(1), world.approve(2)
    world.attempt(newer)
    with pytest.raises(EndpointBusyError, match="waits for v2"):
        world.attempt(older)
    world.endpoint.settle(well=True)
    world.verify(newer)
    token = world.attempt(older)
    assert world.tokens.outcomes[token] == "superseded"
    assert world.verify(older, "superseded") == "refused"
    assert world.endpoint.config == "config-v2"


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
        self.pending = {version: self.world.approve(version) for version in (1, 2, 3)}
        self.tokens: dict[int, str] = {}
        self.live: list[int] = []

    def attempt(self, version: int) -> None:
        """A first try, a retry, or the try after a time-out."""
        if version not in self.pending:
            self.pending[version] = self.world.approve(version)
        self.world.tokens.open.discard(self.tokens.pop(version, ""))
        with contextlib.suppress(EndpointBusyError):
            self.tokens[version] = self.world.attempt(self.pending[version])

    def settle_well(self, _: int) -> None:
        self.world.endpoint.settle(well=True)

    def settle_badly(self, _: int) -> None:
        self.world.endpoint.settle(well=False)

    def hear(self, _: int) -> None:
        """An event: in time, late, doubled, or of something else."""
        self.world.event()

    def verify(self, version: int) -> None:
        """Verify what was resumed."""
        outcome = self.world.tokens.outcomes.get(self.tokens.get(version, ""))
        if outcome is None:
            return
        target = self.pending.pop(version)
        del self.tokens[version]
        try:
            verdict = self.world.verify(target, outcome)
        except DeploymentError:
            self.world.fail(target)
            return
        if verdict == "live":
            assert self.world.endpoint.status == "InService"
            assert self.world.endpoint.config == target.endpoint_config
            self.live.append(version)

    def check(self) -> None:
        # Invariant 27: only what was approved ever serves.
        assert set(self.world.endpoint.served) <= {f"config-v{n}" for n in (1, 2, 3)}
        # Invariant 29: nothing older goes live.
        assert self.live == sorted(self.live)
        found = find_endpoint(self.world.ledger, ENDPOINT)
        recorded = found.package_version if found else None
        assert recorded == (self.live[-1] if self.live else None)


ACTIONS = [Story.attempt, Story.settle_well, Story.hear, Story.verify] * 2 + [Story.settle_badly]
steps = st.tuples(st.sampled_from(ACTIONS), st.integers(1, 3))


@given(story=st.lists(steps, min_size=30, max_size=60))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_order(story: list[tuple[Callable[[Story, int], None], int]]) -> None:
    told = Story()
    for action, version in story:
        action(told, version)
        told.check()
