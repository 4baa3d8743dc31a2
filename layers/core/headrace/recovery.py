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
_QUALITY = frozenset({"model-quality", "business", "bias"})
_MOVED = frozenset({"feature-drift", "prediction-drift", "attribution-drift"})
_BLAMING = _SERVING | _QUALITY
_LEARNING = _QUALITY | _MOVED


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
    """What the policy looks at. `rings` are kinds of alarms that ring at this moment.

    `seen` is what monitors that ring saw, in words. `brought_back` says that what serves is there
    because a newer version was taken back.
    """

    now: datetime
    rings: frozenset[str]
    live_version: int | None
    live_since: datetime | None
    last_good: int | None
    seen: tuple[str, ...] = ()
    brought_back: bool = False
    deploying: str | None = None
    paused: str | None = None
    disagrees: str | None = None
    earlier: tuple[Earlier, ...] = ()


class Choice(BaseModel):
    """The remedy, why, and which version a rollback brings back."""

    model_config = ConfigDict(frozen=True)
    remedy: Remedy
    reasons: list[str]
    restore: int | None = None


def choose(case: Situation, policy: Recovery) -> Choice:
    """Choose a remedy for what rings."""
    for refrain in (_nothing_rings, _is_paused, _is_deploying, _nothing_serves, _disagrees):
        reason = refrain(case)
        if reason:
            return Choice(remedy="wait", reasons=[reason])
    blame, told = _blame(case, policy)
    reasons = [told, *case.seen]
    against = _against_going_back(case, policy) if blame else None
    roll_back = blame and against is None
    if against:
        reasons.append(against)
    learning = bool(case.rings & _LEARNING)
    against = _against_retraining(case, policy) if learning else None
    retrain = learning and against is None
    if retrain:
        reasons.append("the data moved away from what it learnt, so a new candidate is trained")
    elif against:
        reasons.append(against)
    if roll_back:
        reasons.append(f"version {case.last_good} served well before")
        remedy: Remedy = "both" if retrain else "roll back"
        return Choice(remedy=remedy, reasons=reasons, restore=case.last_good)
    return Choice(remedy="retrain" if retrain else "wait", reasons=reasons)


def _blame(case: Situation, policy: Recovery) -> tuple[bool, str]:
    """Say whether the version that serves is to blame."""
    rings = ", ".join(sorted(case.rings))
    age = (case.now - (case.live_since or case.now)).total_seconds()
    if not case.rings & _BLAMING:
        return False, f"{rings}: {_beyond_versions(case.rings)}"
    told = f"{rings}: {in_words(round(age))} after version {case.live_version} went live"
    if case.brought_back:
        # It served well before: walking further back would only reject good versions.
        return False, f"{told}, which was brought back and rings too: the cause is another"
    if age > policy.watch:
        return False, f"{told}, too long to blame it (recovery.watch)"
    return True, told


def _beyond_versions(rings: frozenset[str]) -> str:
    """Say why no version is to blame for what rings."""
    if rings & _MOVED:
        return "what is asked has changed, which is no fault of the version that serves"
    if "data-quality" in rings:
        return "callers send other data than it was trained on, which people must look at"
    return "nobody asks, which no version of a model can mend"


def _against_going_back(case: Situation, policy: Recovery) -> str | None:
    if not policy.roll_back:
        return "model.yaml forbids to roll back (recovery.roll_back)"
    if case.last_good is None:
        return "there is no earlier version to go back to"
    return _cools_down(case, policy, "roll back")


def _against_retraining(case: Situation, policy: Recovery) -> str | None:
    if not policy.retrain:
        return "model.yaml forbids to retrain (recovery.retrain)"
    return _cools_down(case, policy, "retrain")


def _nothing_rings(case: Situation) -> str | None:
    return None if case.rings else "nothing rings any more"


def _is_paused(case: Situation) -> str | None:
    return f"automation is paused: {case.paused}" if case.paused else None


def _is_deploying(case: Situation) -> str | None:
    if case.deploying is None:
        return None
    return f"deployment {case.deploying} is under way; it is looked at again afterwards"


def _nothing_serves(case: Situation) -> str | None:
    return None if case.live_version else "no version of ours serves"


def _disagrees(case: Situation) -> str | None:
    if case.disagrees is None:
        return None
    return f"the endpoint serves another version than the ledger says: {case.disagrees}"


def _cools_down(case: Situation, policy: Recovery, remedy: Remedy) -> str | None:
    """Tell that a remedy was tried a short while ago; another one may be tried all the same."""
    for earlier in case.earlier:
        ago = (case.now - earlier.at).total_seconds()
        if earlier.remedy in (remedy, "both") and ago < policy.cooldown:
            return (
                f"{remedy} was tried {in_words(round(ago))} ago, and the cooldown is "
                f"{in_words(policy.cooldown)}: if it still rings, the cause is another"
            )
    return None
