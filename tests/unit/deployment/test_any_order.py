"""Deployments on one endpoint, in any order of whatever may happen."""

import contextlib
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headrace.aws.endpoints import EndpointRequest, find_endpoint
from headrace.aws.ledger import Ledger
from headrace.aws.storage import Location
from headrace.errors import DeploymentError, EndpointBusyError, LockLostError
from headrace.records import Key
from tests.unit.deployment.world import ENDPOINT, SMOKE, Deployments


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
