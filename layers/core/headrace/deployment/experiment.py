"""An A/B test: the candidate answers a share of the traffic until a business outcome decides. Pure.

The test may be looked at whenever one likes. It is the mixture sequential probability ratio test
(H. Robbins, "Statistical methods related to the law of the iterated logarithm", Ann. Math. Stat.
41, 1970) as R. Johari, P. Koomen, L. Pekelis and D. Walsh use it ("Always valid inference:
continuous monitoring of A/B tests", Operations Research 70, 2022), turned round to an interval for
the difference of the two means. With estimated variances it holds for large samples (I.
Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy and A. Ramdas, "Time-uniform central limit theory and
asymptotic confidence sequences", Ann. Stat. 52, 2024), so nothing is said before `outcomes` of
each variant are there.
"""

import hashlib
import math
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from pydantic import Field

from headrace.sections import Duration, Section, in_words, lasting

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
AB_LONGEST = 28 * 86400
_UNBALANCED = 1000.0  # odds against the shares that were asked for
_BUCKETS = 1 << 52

Outcome = Literal["continue", "promoted", "worse", "no difference", "unsure"]


class Experiment(Section):
    """The candidate answers a share of the traffic for a time; measured outcomes decide."""

    percent: int = Field(
        50, ge=1, le=90, description="Share of the traffic, or of the entities, it gets."
    )
    duration: Duration = Field(
        lasting("7d"),
        ge=600,
        le=AB_LONGEST,
        description="How long at most; the test ends earlier once it is sure.",
    )
    outcome: str = Field(
        "outcome",
        min_length=1,
        description="Field of the rows under `outcomes/<model>/` in the data bucket that holds "
        "what is measured: a number, or true or false.",
    )
    goal: Literal["higher", "lower"] = Field("higher", description="Which outcome is better.")
    minimum_effect: float = Field(
        gt=0, description="The smallest difference of the mean outcome that is worth a change."
    )
    confidence: float = Field(
        0.95, ge=0.8, lt=1, description="How sure the verdict must be, however often one looks."
    )
    entity: str | None = Field(
        None,
        description="Field of the outcomes that says whom they are about. With it, the same entity "
        "always gets the same variant, which the client names as TargetVariant (docs/guide.md); "
        "absent: each request is assigned by weight, and outcomes name its inference_id.",
    )
    outcomes: int = Field(
        100, ge=30, description="Fewer outcomes of either variant are too few to judge."
    )
    errors: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="By how much its share of failed requests may exceed the champion's.",
    )


class Tally(NamedTuple):
    """The outcomes of one variant: how many, their mean and their variance."""

    number: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Tally":
        """Count outcomes, in one pass (Welford's)."""
        count, mean, squares = 0, 0.0, 0.0
        for value in values:
            count += 1
            change = value - mean
            mean += change / count
            squares += change * (value - mean)
        return cls(count, mean, squares / (count - 1) if count > 1 else 0.0)


class ExperimentVerdict(NamedTuple):
    """The verdict at one look, and why, in words."""

    outcome: Outcome
    reasons: list[str]


def assign(entity: str, salt: str, percent: int) -> Literal["champion", "challenger"]:
    """Return the variant of an entity: the same one for ever, and another draw for another salt."""
    digest = hashlib.sha256(f"{salt}\x00{entity}".encode()).hexdigest()
    return CHALLENGER if int(digest[:13], 16) / _BUCKETS * 100 < percent else CHAMPION


def judge(
    champion: Tally, challenger: Tally, experiment: Experiment, *, over: bool
) -> ExperimentVerdict:
    """Look at the outcomes so far; `over` says that this is the last look."""
    fewest = min(champion.number, challenger.number)
    if fewest < experiment.outcomes:
        told = (
            f"{champion.number} outcomes of the champion and {challenger.number} of the candidate, "
            f"and {experiment.outcomes} of each are needed (deployment.ab.outcomes)"
        )
        return ExperimentVerdict("unsure" if over else "continue", [told])
    if imbalance(champion.number, challenger.number, experiment.percent) > _UNBALANCED:
        total = champion.number + challenger.number
        told = (
            f"{challenger.number} of {total} outcomes are the candidate's, though it got "
            f"{experiment.percent} %: outcomes are lost for one of them, so they cannot be compared"
        )
        return ExperimentVerdict("unsure", [told])
    sign = 1 if experiment.goal == "higher" else -1
    low, high = interval(champion, challenger, experiment)
    gain_low, gain_high = sorted((sign * low, sign * high))
    told = (
        f"mean {experiment.outcome} is {challenger.mean:.4g} with the candidate "
        f"({challenger.number} outcomes) and {champion.mean:.4g} without ({champion.number}): a "
        f"difference between {low:.4g} and {high:.4g} with {experiment.confidence:.1%} confidence"
    )
    if gain_low > 0:
        return ExperimentVerdict("promoted", [told])
    if gain_high < 0:
        return ExperimentVerdict("worse", [told])
    worth = f"{experiment.minimum_effect:g} (deployment.ab.minimum_effect)"
    if gain_high < experiment.minimum_effect:
        return ExperimentVerdict("no difference", [told, f"it is not better by {worth}"])
    if over:
        return ExperimentVerdict("unsure", [told, f"the time is over, and it may be {worth}"])
    return ExperimentVerdict("continue", [told])


def interval(champion: Tally, challenger: Tally, experiment: Experiment) -> tuple[float, float]:
    """Return bounds of the candidate's mean minus the champion's that hold at every look at once.

    The effects mixed over are normal around 0 with `minimum_effect` as standard deviation.
    """
    difference = challenger.mean - champion.mean
    variance = max(_apart(champion, challenger), _pooled(champion, challenger))
    if variance == 0:  # every outcome was the same so far: that says nothing of the next
        return -math.inf, math.inf
    mixed = experiment.minimum_effect**2
    growth = (variance + mixed) / variance
    alpha = 1 - experiment.confidence
    half = math.sqrt(2 * variance * growth / (growth - 1) * math.log(math.sqrt(growth) / alpha))
    return difference - half, difference + half


def imbalance(champion: int, challenger: int, percent: int) -> float:
    """Return the odds that the variants' shares are not those asked for (a sample ratio mismatch).

    A mixture over all shares against the one asked for, which may be looked at at any time too: M.
    Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.
    """
    share, total = percent / 100, champion + challenger
    mixture = math.lgamma(challenger + 1) + math.lgamma(champion + 1) - math.lgamma(total + 2)
    asked = challenger * math.log(share) + champion * math.log(1 - share)
    return math.exp(min(mixture - asked, 700.0))


def explain_experiment(experiment: Experiment) -> str:
    """Return in words what comes before all traffic moves."""
    whom = f"of the entities ({experiment.entity})" if experiment.entity else "of the traffic"
    return (
        f"it gets {experiment.percent} % {whom} for up to {in_words(experiment.duration)}, then, "
        f"if {experiment.outcome} is {experiment.goal}, "
    )


def _apart(one: Tally, other: Tally) -> float:
    return one.variance / one.number + other.variance / other.number


def _pooled(one: Tally, other: Tally) -> float:
    """Return the variance of the difference if there is none; larger when one is much rarer."""
    total = one.number + other.number
    between = one.number * other.number / total * (one.mean - other.mean) ** 2
    within = (one.number - 1) * one.variance + (other.number - 1) * other.variance
    return (within + between) / (total - 1) * (1 / one.number + 1 / other.number)
