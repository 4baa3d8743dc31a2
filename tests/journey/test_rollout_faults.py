"""One endpoint through whatever may happen to it, on the deployed stack.

Hypothesis tells the stories; state machines, functions, registry, endpoints and alarms are real.
`HYPOTHESIS_PROFILE=explore` tells many long ones.
"""

import os
import time
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from headrace_cli import rollout
from headrace_cli.session import Session
from tests.journey.conftest import new_model
from tests.journey.rollout_invariants import Facts, come_to_rest, hold_always, nothing_was_given_up
from tests.journey.rollouts import Hop, Kind, Rollouts

pytestmark = pytest.mark.journey

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "explore"
STORIES, STEPS = (40, 40) if DEEP else (3, 14)
FUNCTIONS = [f"{name}EndpointFunction" for name in ("Guard", "Deploy", "Verify")]
FUNCTIONS += ["CheckPackageFunction", "StartDeploymentFunction", "ChooseRemedyFunction"]
GOOD: list[Kind] = ["canary", "at-once", "linear", "rolling"]
KINDS: list[Kind] = [*GOOD, *GOOD, "wrong", "broken", "unwatched", "tampered"]
# What happens most often is named most often; the first is what the simplest story consists of.
ACTIONS = [
    "hush",
    *["approve_a_new_one", "let_be", "let_be"] * 4,
    *["rest", "ring", "stop_one"] * 2,
]
ACTIONS += ["approve_again", "go_back", "reject", "reject_what_serves", "pause", "resume"] * 2
ACTIONS += ["flap", "lose_events", "hear_again", "tell_of_a_package", "tell_of_the_endpoint"]
ACTIONS += ["tell_of_the_alarm", "forge", "kill_a_function", "touch_the_endpoint", "reconcile"]


class Story(RuleBasedStateMachine):
    """An endpoint, people, and the world.

    One rule for all, so that even a short story has much of everything.
    """

    def __init__(self, session: Session, folder: Path) -> None:
        super().__init__()
        model = new_model("story")
        self.world = Rollouts(session, folder / model, model)
        self.world.folder.mkdir()
        self.facts: Facts | None = None

    @initialize(number=st.integers(0, 3))
    def begin(self, number: int) -> None:
        self.world.begin()
        self.world.decide(self.world.register(GOOD[number]), "Approved")
        self.facts = come_to_rest(self.world)

    @rule(action=st.sampled_from(ACTIONS), number=st.integers(0, 99))
    def act(self, action: str, number: int) -> None:
        getattr(self, action)(number)

    # What people do.

    def approve_a_new_one(self, number: int) -> None:
        self.world.decide(self.world.register(KINDS[number % len(KINDS)]), "Approved")

    def approve_again(self, number: int) -> None:
        """An older one needs more than that."""
        self.world.decide(self._version(number), "Approved")

    def go_back(self, number: int) -> None:
        self.world.mean_to_go_back(self._version(number))

    def reject(self, number: int) -> None:
        self.world.decide(self._version(number), "Rejected")

    def reject_what_serves(self, _: int) -> None:
        live = self.facts and self.facts.live
        if live and live.package_version:
            self.world.decide(live.package_version, "Rejected")

    def pause(self, _: int) -> None:
        self._pause(True)

    def resume(self, _: int) -> None:
        self._pause(False)

    def _pause(self, paused: bool) -> None:
        live = rollout.live(self.world.session, self.world.model)
        if live and bool(live.paused) is not paused:
            rollout.pause(self.world.session, self.world.model, "the test", paused=paused)

    # What the world does.

    def ring(self, _: int) -> None:
        """During a bake, after one, or before."""
        self.world.ring(self.world.own_alarm, "ALARM")

    def hush(self, _: int) -> None:
        self.world.ring(self.world.own_alarm, "OK")

    def flap(self, _: int) -> None:
        for _ in range(10):
            self.world.ring(self.world.own_alarm, "ALARM")
            self.world.ring(self.world.own_alarm, "OK")

    def lose_events(self, number: int) -> None:
        hops = get_args(Hop)
        self.world.mute(hops[number % len(hops)])

    def hear_again(self, _: int) -> None:
        self.world.unmute()

    def tell_of_a_package(self, number: int) -> None:
        """A second time, late, or of what is not so."""
        self.world.tell_of_package(self._version(number), ("Approved", "Rejected")[number % 2])

    def tell_of_the_endpoint(self, _: int) -> None:
        self.world.tell_of_endpoint()

    def tell_of_the_alarm(self, _: int) -> None:
        self.world.tell_of_alarm()

    def forge(self, _: int) -> None:
        """28: an approval by somebody who may only write to our bus."""
        self.world.forge(self.world.register("at-once"))

    def stop_one(self, _: int) -> None:
        self.world.stop_execution()

    def kill_a_function(self, number: int) -> None:
        self.world.kill_function(FUNCTIONS[number % len(FUNCTIONS)])

    def touch_the_endpoint(self, _: int) -> None:
        """What autoscaling does."""
        self.world.touch()

    def reconcile(self, _: int) -> None:
        self.world.reconcile()

    def let_be(self, number: int) -> None:
        time.sleep((0.3, 1.0, 2.0)[number % 3])

    def rest(self, _: int) -> None:
        self.facts = come_to_rest(self.world)

    @invariant()
    def hold(self) -> None:
        if hasattr(self.world, "known"):
            self.facts = hold_always(self.world, self.facts)

    def teardown(self) -> None:
        if hasattr(self.world, "known"):
            try:
                come_to_rest(self.world)
                nothing_was_given_up(self.world)
            finally:
                self.world.unmute()
                self.world.forget()

    def _version(self, number: int) -> int:
        known = sorted(self.world.kinds)
        return known[number % len(known)]


def test_an_endpoint_through_whatever_may_happen(session: Session, tmp_path: Path) -> None:
    """Invariants 27 to 36, and 41 as far as nothing is given up."""
    told: dict[str, Any] = {"max_examples": STORIES, "stateful_step_count": STEPS}
    run_state_machine_as_test(
        lambda: Story(session, tmp_path),
        settings=settings(
            **told,
            deadline=None,
            derandomize=not DEEP,
            database=None,
            # A story takes seconds, and is never quite the same again: it is not made shorter.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
