"""What must hold of an endpoint: always, and once everything has come to rest.

Numbers are those of the invariants in the design's section on them.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from headrace.deployment.steps import EndpointState
from headrace.names import deployment_id
from headrace.records import DeploymentRecord, EndpointRecord, RecoveryRecord, model_partition
from headrace.registry import Package
from headrace_cli import rollout
from tests.journey.rollouts import Rollouts

_OFTEN = 3  # seconds between two looks of the reconciler while something is under way


class Facts(NamedTuple):
    """One look at everything."""

    live: EndpointRecord | None
    deployments: list[DeploymentRecord]
    recoveries: list[RecoveryRecord]
    described: EndpointState | None


def look(world: Rollouts) -> Facts:
    partition = model_partition(world.model)
    return Facts(
        rollout.live(world.session, world.model),
        world.deployments(),
        list(world.session.ledger.query(RecoveryRecord, partition, "recovery#")),
        world.describe(),
    )


def hold_always(world: Rollouts, before: Facts | None) -> Facts:
    """Check what holds in the middle of things."""
    facts = look(world)
    if facts.described:  # 27: what answers callers was approved
        version = world.version_of(facts.described.config)
        assert version in world.approvals, f"version {version} serves and was never approved"
    running = {e["name"] for e in world.executions("deployment") if e["status"] == "RUNNING"}
    moving = [d for d in facts.deployments if d.status == "deploying" and d.deployment in running]
    assert len(moving) <= 1, f"30: {[d.deployment for d in moving]} are in flight together"
    for each in facts.deployments:
        _hold_of(each, facts, world)
    if before and before.live and facts.live:  # 31
        assert facts.live.fence >= before.live.fence
    return facts


def _hold_of(each: DeploymentRecord, facts: Facts, world: Rollouts) -> None:
    version, replaced = each.package_version, each.replaces_version or 0
    assert version in world.approvals or each.status in ("refused", "queued"), f"28: {each}"
    if not each.is_open:
        assert each.status == "live" or each.reasons, f"no reason: {each}"
        assert each.ended_at, f"without an end: {each}"
    if each.status == "live" and replaced > version:
        meant = replaced in world.rejections or (version, replaced) in world.intents
        assert meant or _was_rejected(world, replaced), f"29: went back unasked: {each}"
    if each.status == "live":  # 34: also when it replaces what must not serve
        assert world.kinds[version] not in ("broken", "unwatched", "tampered"), f"34: {each}"
        assert world.kinds[version] != "wrong", f"it answers wrongly: {each}"
    if each.status == "failed":  # what is to blame is known
        blamed = each.deployment in world.stopped or world.kinds[version] in ("wrong", "broken")
        # What was to be brought back was rejected while it was.
        blamed |= version in world.rejections and "Rejected meanwhile" in each.reasons[0]
        assert blamed, f"it failed of itself: {each}"
    if each.status == "rolled back":
        later = [
            d
            for d in facts.deployments
            if d.package_version == version
            and d.started_at > str(each.ended_at)
            and d.status in ("live", "rolled back", "deploying")
        ]
        if later:  # 36
            again = [at for at in world.approvals[version] if at >= str(each.ended_at)]
            assert again, f"36: {version} was rolled back and deployed again: {later}"


def _was_rejected(world: Rollouts, version: int) -> bool:
    """Tell whether the machine took a version back; people's rejections are known here."""
    package = world.package(version)
    return package.approval == "Rejected" or "Rolled back" in str(package.approval_description)


def come_to_rest(world: Rollouts, seconds: float = 240) -> Facts:
    """Hear everything again, let time pass, and reconcile until nothing changes.

    Whoever waits for a lock looks again after two minutes at the latest.
    """
    world.unmute()
    world.ring(world.own_alarm, "OK")
    deadline = time.monotonic() + seconds
    while True:
        busy_until = time.monotonic() + _OFTEN
        while world.is_busy() and time.monotonic() < busy_until:
            world.tell_of_endpoint()
            time.sleep(0.2)
        assert time.monotonic() < deadline, f"no rest: {look(world)}"
        if not world.is_busy():
            _let_time_pass(world)
        found = world.reconcile()
        if not found and not world.is_busy():
            return hold_at_rest(world)


def _let_time_pass(world: Rollouts) -> None:
    """Make what is open old: the reconciler leaves alone what may be on its way."""
    long_ago = (datetime.now(UTC) - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for each in world.deployments():
        if each.is_open:
            world.session.ledger.update(each.key(), {"started_at": long_ago})


def hold_at_rest(world: Rollouts) -> Facts:
    """Check what holds once nothing happens any more."""
    facts = hold_always(world, None)
    live, described = facts.live, facts.described
    assert not [d for d in facts.deployments if d.is_open], "open without an execution"
    if live is None or live.package_version is None or live.package_arn is None:
        return facts
    assert live.lock_owner is None, f"a lock is left: {live}"
    if live.disagreement is None:  # 32: it is as the ledger says, or somebody is told
        assert described is not None
        assert described.serves(str(live.endpoint_config)), (described, live)
    assert world.version_of(str(live.endpoint_config)) == live.package_version  # 35
    package = world.package(live.package_version)
    if package.approval != "Approved" and live.disagreement is None:
        told = [d for d in facts.deployments if "no other version served before" in str(d.reasons)]
        assert told, f"27: version {package.version} serves, and is {package.approval}"
    _hold_of_approvals(world, facts)
    _hold_of_recoveries(facts)
    return facts


def _hold_of_approvals(world: Rollouts, facts: Facts) -> None:
    """Check that every approval that stands had its deployment: none is lost."""
    live = facts.live
    if live is None or live.paused:
        return
    known = {d.deployment for d in facts.deployments}
    for version in set(world.approvals) - {live.package_version}:
        package: Package = world.package(version)
        if package.approval != "Approved" or package.changed_at <= str(live.live_since):
            continue
        wanted = deployment_id(world.model, version, package.changed_at)
        assert wanted in known, f"the approval of {version} at {package.changed_at} was lost"


def _hold_of_recoveries(facts: Facts) -> None:
    """Check 33: between two versions that went live an alarm takes back one at most."""
    forward = sum(d.went_forward for d in facts.deployments)
    back = [r for r in facts.recoveries if r.remedy == "roll back"]
    assert len(back) <= forward, f"33: {back}"


def nothing_was_given_up(world: Rollouts) -> None:
    """Check 41 as far as it shows here: nothing ended as a dead letter."""
    for name, url in world.session.stack.dead_letters.items():
        found = world.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        ours = [m["Body"] for m in found.get("Messages", []) if world.model in m["Body"]]
        assert not ours, f"41: {name}: {ours}"
