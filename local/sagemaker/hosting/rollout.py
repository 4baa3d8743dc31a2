"""A deployment under way: an endpoint's new fleet takes over from its old one, or gives way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from local.sagemaker.hosting.alarms import Alarms
from local.sagemaker.hosting.fleet import Fleet, retire
from local.sagemaker.hosting.instance import DeploymentError
from local.sagemaker.hosting.plan import Counts, Step, plan_rollback
from local.sagemaker.hosting.traffic import Routes
from local.sagemaker.store import Record

_POLL = 0.5  # seconds between two looks at the alarms
Side = Literal["new", "old"]
Tell = Callable[[Side, str, Mapping[str, str], Mapping[str, int]], None]
"""Told of every status: which fleet, the status, and by variant its message and instances."""


class ClosedError(Exception):
    """The local AWS stops; the next start brings the endpoint back."""


class RollbackError(Exception):
    """A rolling deployment and its rollback both failed: both fleets serve."""


@dataclass
class Rollout:
    """Carries out a plan. `launch` starts the new fleet with the counts of the first step.

    `scale` shortens bakes; `limit` is MaximumExecutionTimeoutInSeconds. Traffic is shifted by
    replacing `old.routes`.
    """

    old: Fleet
    launch: Callable[[Counts], Fleet]
    config_name: str
    steps: list[Step]
    strategy: Record
    alarms: Alarms
    tell: Tell
    closing: threading.Event
    scale: float = 1.0
    limit: float = float("inf")
    new: Fleet | None = None
    _base: Routes = field(init=False)
    _had: dict[str, int] = field(init=False)
    _shrunk: bool = field(init=False, default=False)
    _deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self._base = self.old.routes
        self._had = _counts(self.old)
        self._deadline = time.monotonic() + self.limit

    def run(self) -> Fleet:
        """Return the new fleet once it gets all requests; what is left of the old one still runs.

        Raises DeploymentError when the old fleet serves alone again, RollbackError when it could
        not, ClosedError.
        """
        try:
            self.alarms.check()
            for step in self.steps:
                self._advance(step)
                if step is not self.steps[-1]:
                    self._shrink("old", self.old, step.remaining)
        except DeploymentError as error:
            if self.closing.is_set():
                raise ClosedError from error
            self._roll_back(error)
            raise
        assert self.new is not None  # noqa: S101 - a plan has a step, a step launches
        return self.new

    def kill(self) -> None:
        """Kill the new fleet's containers; the old one gets all requests."""
        self.old.routes = self._base
        if self.new:
            self.new.kill()

    def _advance(self, step: Step) -> None:
        self._launch(step.launched)
        new = self._ready()
        message = f"Activating traffic on {step.stage} capacity of {{}} instance(s)."
        self._tell("new", "ActivatingTraffic", message, step.active)
        for name, variant in new.variants.items():
            variant.active = step.active[name] if step.shares[name] < 1 else None
        self.old.routes = self._base.shifted(Routes.of(new), step.shares)
        if step.bake:
            message = (
                f"Baking for {step.bake:g} seconds ({step.waited}) with traffic enabled on "
                f"{step.stage} capacity of {{}} instance(s)."
            )
            self._tell("new", "Baking", message, step.active)
            self._bake(step.bake * self.scale)
            self._ready()

    def _launch(self, wanted: Counts) -> None:
        if self.new is None:
            self._tell("new", "Creating", "Launching {} instance(s).", wanted, {})
            self.new = self.launch(wanted)
            self.new.deploying = self.config_name
            return
        started = _counts(self.new)
        more = {name: count - started[name] for name, count in wanted.items()}
        if any(more.values()):
            self._tell("new", "Creating", "Launching {} instance(s).", more, started)
            _grow(self.new, more)

    def _ready(self) -> Fleet:
        """Wait for the new fleet's health. Raises DeploymentError."""
        assert self.new is not None  # noqa: S101 - launched before
        self.new.wait_ready(max(0.0, self._deadline - time.monotonic()))
        return self.new

    def _bake(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.closing.wait(min(_POLL, left)):
                raise ClosedError
            if time.monotonic() > self._deadline:
                raise DeploymentError(
                    "The deployment took longer than MaximumExecutionTimeoutInSeconds "
                    f"({self.limit:g})."
                )
            self.alarms.check()

    def _roll_back(self, reason: DeploymentError) -> None:
        """Make the old fleet whole, send it all requests, stop the new one."""
        try:
            if self._shrunk:
                self._roll_back_in_batches()
        except DeploymentError as error:
            raise RollbackError(f"{reason} The rollback failed too: {error}") from error
        self.old.routes = self._base
        if self.new:
            self._shrink("new", self.new, {})
            self.new.stop()

    def _roll_back_in_batches(self) -> None:
        assert self.new is not None  # noqa: S101 - the old fleet only shrinks for it
        policy = self.strategy["RollingUpdatePolicy"]
        left = _counts(self.old)
        for step in plan_rollback(policy, self._had, left, _counts(self.new)):
            have = _counts(self.old)
            more = {name: step.launched[name] - have[name] for name in have}
            self._tell("old", "Updating", "Launching {} instance(s).", more, have)
            _grow(self.old, more)
            self.old.wait_ready()
            shares = {name: 1 - step.shares.get(name, 1.0) for name in self.new.variants}
            self.old.routes = self._base.shifted(Routes.of(self.new), shares)
            self._shrink("new", self.new, step.remaining)

    def _shrink(self, side: Side, fleet: Fleet, remaining: Counts) -> None:
        """Stop what a step leaves over of a fleet."""
        have = _counts(fleet)
        left = {name: remaining.get(name, 0) for name in have}
        less = {name: have[name] - left[name] for name in have}
        if not any(less.values()):
            return
        self._tell(side, "Deleting", "Terminating {} instance(s).", less, left)
        self._shrunk = True
        variants = fleet.variants.items()
        retire([each for name, variant in variants for each in variant.shrink(less[name])])

    def _tell(
        self,
        side: Side,
        status: str,
        message: str,
        counts: Counts,
        current: Counts | None = None,
    ) -> None:
        if self.closing.is_set():
            raise ClosedError
        messages = {name: message.format(count) for name, count in counts.items()}
        self.tell(side, status, messages, counts if current is None else current)


def _grow(fleet: Fleet, more: Mapping[str, int]) -> None:
    for name, count in more.items():
        fleet.variants[name].grow(count)


def _counts(fleet: Fleet) -> dict[str, int]:
    return {name: len(variant.replicas) for name, variant in fleet.variants.items()}
