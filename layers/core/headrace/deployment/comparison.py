"""What a candidate must come through before all traffic moves to it. Pure."""

from typing import Literal, Protocol, get_args

from headrace.deployment.experiment import Experiment, explain_experiment
from headrace.deployment.shadow import Shadow, explain_shadow

Kind = Literal["shadow", "ab"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which a candidate comes through them."""
_FEWEST = 0.01  # of the requests
OUTCOME_LOOKS = 48  # at a test of full length
_LOOKS = 800  # an execution's history holds 25,000 events (Step Functions quotas), a look makes 21
_SHORTEST_PAUSE = 600


class Comparisons(Protocol):
    """The comparisons a project asks for."""

    @property
    def shadow(self) -> Shadow | None:
        """The comparison in the shadow of what serves."""

    @property
    def ab(self) -> Experiment | None:
        """The test of a business outcome."""


def next_kind(asked: Comparisons, done: list[str]) -> Kind | None:
    """Return the comparison that is due, if any."""
    return next((kind for kind in KINDS if getattr(asked, kind) and kind not in done), None)


def lasts(asked: Comparisons, kind: Kind) -> int:
    """Return how long a comparison takes at most, unless it is prolonged, in seconds."""
    section = asked.shadow if kind == "shadow" else asked.ab
    return section.duration if section else 0


def pause(asked: Comparisons, kind: Kind) -> int:
    """Return the time between two looks, in seconds: a shadow is looked at once it is over.

    A test's candidate answers customers, so that it does not fail is looked at often.
    """
    if kind == "shadow":
        return lasts(asked, kind)
    return max(_SHORTEST_PAUSE, lasts(asked, kind) // _LOOKS)


def first_look(asked: Comparisons, kind: Kind, minute_seconds: int) -> int:
    """Return when to look first, in seconds; a minute lasts `minute_seconds` here."""
    return max(1, pause(asked, kind) * minute_seconds // 60)


def explain_comparisons(asked: Comparisons) -> str:
    """Return in words what comes before all traffic moves; nothing if nothing does."""
    shadow = explain_shadow(asked.shadow) if asked.shadow else ""
    return shadow + (explain_experiment(asked.ab) if asked.ab else "")


def contradictions(asked: Comparisons, strategy: str, capture_percent: int) -> list[str]:
    """Return why comparisons cannot be carried out, in words."""
    found = []
    if asked.shadow:
        # Production and shadow are sampled apart, so both are captured this seldom.
        both = asked.shadow.percent / 100 * (capture_percent / 100) ** 2
        if both < _FEWEST:
            found.append(
                f"only {both:.2%} of the requests would be captured both in production and in the "
                "shadow, too few to compare: raise capture_percent or shadow.percent"
            )
    if asked.ab and asked.ab.entity is None and not capture_percent:
        found.append(
            "an A/B test by weight needs captured requests to tell which variant an outcome is of: "
            "raise capture_percent, or name ab.entity"
        )
    if asked.ab and strategy != "all-at-once":
        found.append(
            f"a {strategy} shift cannot follow an A/B test: SageMaker shifts traffic in steps only "
            "between configurations of the same variants, and a test has one more; leave "
            "deployment.strategy out"
        )
    return found
