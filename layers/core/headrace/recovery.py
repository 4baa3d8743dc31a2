"""Recovery: which remedy does an alarm call for? A pure policy; a verdict with its reasons.

An alarm soon after a deployment blames the version; long after it, something else. Rolling back
helps against the first, retraining against data that moved, and neither against a broken caller
or a broken region: then people are told, and nothing is made worse.
"""

from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from headrace.sections import Duration, Section, in_words, lasting

Remedy = Literal["roll back", "retrain", "both", "wait"]
_SERVING = frozenset({"server-errors", "client-errors", "latency", "own"})
_LEARNING = frozenset({"model-quality", "drift", "business"})


class Recovery(Section):
    """What may be done by itself when an alarm rings."""

    roll_back: bool = Field(True, description="Whether the version before may be brought back.")
    retrain: bool = Field(True, description="Whether a new candidate may be trained.")
    watch: Duration = Field(
        lasting("24h"), ge=0, description="How long after a deployment its version is blamed."
    )
    cooldown: Duration = Field(
        lasting("6h"), ge=0, description="How long after a remedy no other is tried."
    )


class Earlier(NamedTuple):
    """A remedy that was tried before."""

    remedy: Remedy
    at: datetime


class Situation(NamedTuple):
    """What the policy looks at. `rings` are kinds of alarms that ring at this moment."""

    now: datetime
    rings: frozenset[str]
    live_version: int | None
    live_since: datetime | None
    last_good: int | None
    deploying: str | None = None
    paused: str | None = None
    earlier: tuple[Earlier, ...] = ()


class Choice(BaseModel):
    """The remedy, why, and which version a rollback brings back."""

    model_config = ConfigDict(frozen=True)
    remedy: Remedy
    reasons: list[str]
    restore: int | None = None


def choose(case: Situation, policy: Recovery) -> Choice:
    """Choose a remedy for what rings."""
    for refrain in (_nothing_rings, _is_paused, _is_deploying, _nothing_serves, _cools_down):
        reason = refrain(case, policy)
        if reason:
            return Choice(remedy="wait", reasons=[reason])
    blame, reasons = _blame(case, policy)
    learning = bool(case.rings & _LEARNING)
    roll_back = blame and policy.roll_back and case.last_good is not None
    retrain = learning and policy.retrain
    if blame and not roll_back:
        reasons.append(
            "there is no earlier version to go back to"
            if policy.roll_back
            else "model.yaml forbids to roll back (recovery.roll_back)"
        )
    if learning:
        reasons.append(
            "the data moved away from what it learnt, so a new candidate is trained"
            if retrain
            else "model.yaml forbids to retrain (recovery.retrain)"
        )
    if roll_back:
        reasons.append(f"version {case.last_good} served well before")
        remedy: Remedy = "both" if retrain else "roll back"
        return Choice(remedy=remedy, reasons=reasons, restore=case.last_good)
    return Choice(remedy="retrain" if retrain else "wait", reasons=reasons)


def _blame(case: Situation, policy: Recovery) -> tuple[bool, list[str]]:
    """Say whether the version that serves is to blame."""
    rings = ", ".join(sorted(case.rings))
    age = (case.now - (case.live_since or case.now)).total_seconds()
    if not case.rings & (_SERVING | _LEARNING):
        return False, [f"{rings}: nobody asks, which no version of a model can mend"]
    told = f"{rings}: {in_words(round(age))} after version {case.live_version} went live"
    if age > policy.watch:
        return False, [f"{told}, too long to blame it (recovery.watch)"]
    return True, [told]


def _nothing_rings(case: Situation, _policy: Recovery) -> str | None:
    return None if case.rings else "nothing rings any more"


def _is_paused(case: Situation, _policy: Recovery) -> str | None:
    return f"automation is paused: {case.paused}" if case.paused else None


def _is_deploying(case: Situation, _policy: Recovery) -> str | None:
    if case.deploying is None:
        return None
    return f"deployment {case.deploying} is under way, and its own alarms decide about it"


def _nothing_serves(case: Situation, _policy: Recovery) -> str | None:
    return None if case.live_version else "no version of ours serves"


def _cools_down(case: Situation, policy: Recovery) -> str | None:
    for earlier in case.earlier:
        ago = (case.now - earlier.at).total_seconds()
        if earlier.remedy != "wait" and ago < policy.cooldown:
            return (
                f"{earlier.remedy} was tried {in_words(round(ago))} ago, and the cooldown is "
                f"{in_words(policy.cooldown)}: if it still rings, the cause is another"
            )
    return None
