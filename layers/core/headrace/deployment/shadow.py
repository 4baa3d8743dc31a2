"""A candidate in the shadow of what serves: the same requests, answers nobody gets. Pure.

`compare` judges from pairs of predictions for the same requests and from both variants' metrics.
Wilson's interval: E. B. Wilson, "Probable inference, the law of succession, and statistical
inference", JASA 22 (1927). Population stability index: N. Siddiqi, "Credit Risk Scorecards"
(2006), whose rule of thumb is that above 0.2 a distribution has moved.
"""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev, quantiles
from typing import Literal, NamedTuple

from pydantic import Field

from headrace.deployment.captured import Prediction
from headrace.sections import Duration, Section, in_words, lasting

SHADOW_LONGEST = 7 * 86400
_BINS = 10
_Z = 1.96  # of a 95 % interval
_SMALLEST = 0.5  # requests in a bin that has none, so that its logarithm exists
_SAME = 0.5  # standard deviations: two scores of a regression this near agree


class Shadow(Section):
    """The candidate gets copies of requests first, and is promoted if it compares well."""

    percent: int = Field(100, ge=1, le=100, description="Share of the requests that are copied.")
    duration: Duration = Field(
        lasting("1h"),
        ge=600,
        le=SHADOW_LONGEST,
        description="How long it is compared; once as long again if that was too little traffic.",
    )
    requests: int = Field(
        500, ge=10, le=100_000, description="Fewer compared predictions are too few to judge."
    )
    agreement: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of predictions that must have the same label; of a regression, scores "
        "within half a standard deviation of production's scores.",
    )
    score_shift: float = Field(
        0.2, gt=0, description="Population stability index of the scores that is acceptable."
    )
    latency_ratio: float = Field(
        1.5, gt=0, description="How many times production's p99 latency its own may be."
    )
    errors: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="By how much its share of failed requests may exceed production's.",
    )


class Traffic(NamedTuple):
    """What CloudWatch says of a variant; the latency is the model's p99 in milliseconds."""

    requests: int
    errors: int
    latency_ms: float | None

    @property
    def error_share(self) -> float:
        """The share of failed requests."""
        return self.errors / self.requests if self.requests else 0.0


Pair = tuple[Prediction, Prediction]
Outcome = Literal["promoted", "worse", "unsure"]


class Finding(NamedTuple):
    """What one thing that was compared says, in words."""

    outcome: Outcome
    told: str


class ShadowVerdict(NamedTuple):
    """The verdict, and everything that was compared, in words; the worst comes first."""

    outcome: Outcome
    reasons: list[str]


def compare(
    pairs: Sequence[Pair], production: Traffic, shadow: Traffic, limits: Shadow
) -> ShadowVerdict:
    """Judge a shadow by `pairs` (production's prediction, the shadow's) and by both's metrics.

    One thing that is worse makes it worse; a shadow that fails has no predictions to compare, so
    its failures count first. Otherwise one thing that is unsure makes it unsure.
    """
    findings = [compare_errors(production, shadow, limits.errors)]
    if len(pairs) < limits.requests:
        findings.append(
            Finding(
                "unsure",
                f"{len(pairs)} predictions could be compared, and {limits.requests} are needed "
                "(deployment.shadow.requests)",
            )
        )
    else:
        findings += [
            _agreement(pairs, limits),
            _scores(pairs, limits),
            _latency(production, shadow, limits),
        ]
    for outcome in ("worse", "unsure"):
        told = [f.told for f in findings if f.outcome == outcome]
        if told:
            others = [f.told for f in findings if f.outcome != outcome]
            return ShadowVerdict(outcome, told + others)
    return ShadowVerdict("promoted", [f.told for f in findings])


def explain_shadow(shadow: Shadow) -> str:
    """Return in words what comes before traffic moves."""
    return (
        f"copies of {shadow.percent} % of the requests go to it for {in_words(shadow.duration)}, "
        "then, if it compares well, "
    )


def stability(expected: Sequence[float], actual: Sequence[float]) -> float:
    """Return the population stability index of two samples, by the first one's deciles."""
    edges = sorted(set(quantiles(expected, n=_BINS))) if len(expected) > 1 else list(expected)
    first, second = _shares(expected, edges), _shares(actual, edges)
    return sum((b - a) * math.log(b / a) for a, b in zip(first, second, strict=True))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    share, square = successes / trials, _Z**2
    middle = share + square / (2 * trials)
    spread = _Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    scale = 1 + square / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def compare_errors(production: Traffic, shadow: Traffic, more: float) -> Finding:
    """Say whether a candidate's share of failed requests exceeds production's by `more`."""
    allowed = production.error_share + more
    told = (
        f"{shadow.error_share:.2%} of its {shadow.requests} requests failed, "
        f"{production.error_share:.2%} of production's {production.requests}"
    )
    if shadow.errors and wilson(shadow.errors, shadow.requests)[0] > allowed:
        return Finding("worse", told)
    return Finding("unsure" if shadow.error_share > allowed else "promoted", told)


def _agreement(pairs: Sequence[Pair], limits: Shadow) -> Finding:
    alike, what = _alike(pairs)
    told = (
        f"{alike / len(pairs):.1%} of {len(pairs)} predictions {what}, and "
        f"{limits.agreement:.1%} must"
    )
    if alike / len(pairs) >= limits.agreement:
        return Finding("promoted", told)
    sure = wilson(alike, len(pairs))[1] < limits.agreement
    return Finding("worse" if sure else "unsure", told)


def _alike(pairs: Sequence[Pair]) -> tuple[int, str]:
    if any(one.label is not None for one, _ in pairs):
        return sum(one.label == other.label for one, other in pairs), "have the same label"
    spread = _SAME * pstdev(one.score for one, _ in pairs if one.score is not None)
    near = [
        abs(one.score - other.score) <= spread
        for one, other in pairs
        if one.score is not None and other.score is not None
    ]
    return sum(near), "are within half a standard deviation"


def _scores(pairs: Sequence[Pair], limits: Shadow) -> Finding:
    scored = [(a.score, b.score) for a, b in pairs if a.score is not None and b.score is not None]
    if len(scored) < limits.requests:
        return Finding("promoted", "too few predictions have scores to compare those")
    index = stability([one for one, _ in scored], [other for _, other in scored])
    differences = sorted(abs(one - other) for one, other in scored)
    told = (
        f"its scores differ by {fmean(differences):.4g} on average and by "
        f"{differences[int(0.95 * (len(differences) - 1))]:.4g} at the 95th percentile; their "
        f"stability index is {index:.3f}, and {limits.score_shift:g} is acceptable"
    )
    return Finding("worse" if index > limits.score_shift else "promoted", told)


def _latency(production: Traffic, shadow: Traffic, limits: Shadow) -> Finding:
    if not production.latency_ms or not shadow.latency_ms:
        return Finding("unsure", "CloudWatch has no latency of both to compare")
    ratio = shadow.latency_ms / production.latency_ms
    told = (
        f"its p99 latency is {shadow.latency_ms:.1f} ms, {ratio:.2f} times production's "
        f"{production.latency_ms:.1f} ms, and {limits.latency_ratio:g} times is acceptable"
    )
    return Finding("worse" if ratio > limits.latency_ratio else "promoted", told)


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[sum(value > edge for edge in edges)] += 1
    return [max(count, _SMALLEST) / len(values) for count in counts]
