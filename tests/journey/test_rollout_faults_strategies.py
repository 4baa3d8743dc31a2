"""Linear and rolling deployments that go wrong, also while they go back."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.records import DeploymentRecord
from headrace_cli import rollout
from headrace_cli.demo.traffic import live_traffic
from headrace_cli.session import Session
from tests.journey.conftest import new_model, wait
from tests.journey.rollout_invariants import come_to_rest
from tests.journey.rollouts import Rollouts

pytestmark = pytest.mark.journey

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "explore"


@pytest.fixture
def world(session: Session, tmp_path: Path) -> Iterator[Rollouts]:
    made = Rollouts(session, tmp_path, new_model("strategy"))
    made.begin()
    yield made
    made.forget()


def ended(world: Rollouts, version: int, known: set[str]) -> DeploymentRecord:
    def look() -> DeploymentRecord | None:
        new = [d for d in world.deployments() if d.deployment not in known and not d.is_open]
        return next((d for d in new if d.package_version == version), None)

    return wait(look, f"the deployment of version {version}", seconds=120)


def deployed(world: Rollouts, version: int) -> DeploymentRecord:
    known = {d.deployment for d in world.deployments()}
    world.decide(version, "Approved")
    return ended(world, version, known)


def baking(world: Rollouts, stage: str) -> bool | None:
    """Tell whether the update under way bakes on this part of the capacity."""
    summary = world.client("sagemaker").describe_endpoint(EndpointName=world.endpoint)
    pending = summary.get("PendingDeploymentSummary", {"ProductionVariants": []})
    states = [s for v in pending["ProductionVariants"] for s in v.get("VariantStatus", [])]
    return any(s["Status"] == "Baking" and stage in s["StatusMessage"] for s in states) or None


def test_a_rolling_update_whose_rollback_fails_too_is_told_and_can_be_mended(
    world: Rollouts, tmp_path: Path
) -> None:
    """Runbook, "An endpoint is not what the ledger says": UpdateRollbackFailed."""
    no_instances = tmp_path / "no-instances"
    bake: dict[str, Any] = {"strategy": {"rolling": {"percent": 50, "bake": "3m"}}}
    first = world.register("rolling", broken_if=str(no_instances), **bake)
    assert deployed(world, first).status == "live"
    second = world.register("rolling", **bake)
    known = {d.deployment for d in world.deployments()}
    world.decide(second, "Approved")
    wait(lambda: baking(world, "full"), "the second batch's bake", seconds=60)
    no_instances.touch()
    world.ring(world.own_alarm, "ALARM")
    failed = ended(world, second, known)
    world.ring(world.own_alarm, "OK")
    state = world.describe()
    assert state is not None
    assert state.status == "UpdateRollbackFailed"
    assert failed.status == "failed"
    assert "is UpdateRollbackFailed on" in failed.reasons[0]
    world.reconcile()
    live = rollout.live(world.session, world.model)
    assert live is not None
    assert "it is UpdateRollbackFailed" in str(live.disagreement)
    assert live.lock_owner is None
    # What the runbook says: mend what failed, then deploy the version you trust.
    no_instances.unlink()
    mended = deployed(world, second)
    assert mended.status == "live", mended.reasons
    world.stopped.add(failed.deployment)
    facts = come_to_rest(world)
    assert facts.live is not None
    assert (facts.live.package_version, facts.live.disagreement) == (second, None)


@pytest.mark.skipif(
    not DEEP, reason="an alarm's period takes ten seconds: HYPOTHESIS_PROFILE=explore"
)
def test_a_linear_update_that_answers_slowly_is_taken_back_by_its_latency(world: Rollouts) -> None:
    watch: dict[str, Any] = {
        "instance_count": 3,
        "strategy": {"linear": {"percent": 34, "bake": "30m"}},
        "alarms": {"latency_ms": 200, "periods": 1},
    }
    first, second = world.register("linear", **watch), world.register("linear", **watch)
    assert deployed(world, first).status == "live"
    runtime = world.session.environment.client("sagemaker-runtime", attempts=1)
    with live_traffic(runtime, world.endpoint, [{"say": "slow"}]) as seen:
        back = deployed(world, second)
    assert back.status == "rolled back", back.reasons
    assert "latency" in back.reasons[0]
    assert seen.failed == 0, seen.failures
    assert seen.answered_by(f"{world.model}-run-2") < seen.answered_by(f"{world.model}-run-1")
    facts = come_to_rest(world)
    assert facts.live is not None
    assert facts.live.package_version == first
