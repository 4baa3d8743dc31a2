"""Model quality and its cost: predictions against outcomes, once enough of them are known."""

from collections.abc import Iterator
from typing import NamedTuple

from headrace.definition import METRICS, ModelDefinition
from headrace.monitoring.judging.evidence import Counts, Outcomes
from headrace.monitoring.judging.scores import (
    Estimate,
    against_change,
    against_limit,
    estimate,
    estimate_cost,
    finite,
)
from headrace.monitoring.report import MonitorReport, Segment, Verdict
from headrace.monitoring.section import Quality
from headrace_profiling.model_quality import Binary

GREATER_IS_BETTER = {name: better for name, (better, _) in METRICS.items()} | {
    "recall": True,
    "precision": True,
}


class Check(NamedTuple):
    """One thing that was held against its limit."""

    verdict: Verdict
    reason: str


def why_unsure(outcomes: Outcomes, limits: Quality, rows: int, scored: int) -> str | None:
    """Say why a window's outcomes tell nothing yet, or None if they do."""
    feedback = outcomes.feedback
    known = f"{feedback.outcomes} of {feedback.predictions} outcomes are known"
    if not feedback.predictions:
        return "nothing was predicted whose outcome could be known"
    if not feedback.complete:
        return f"{known}, and others may still come (monitoring.quality.wait)"
    if feedback.outcomes < limits.coverage * feedback.predictions:
        return f"{known}, it takes {limits.coverage:.0%} to tell (monitoring.quality.coverage)"
    if scored < rows:
        few = f"{scored} outcomes are known"
        if scored < feedback.outcomes:
            few = f"{scored} of {feedback.outcomes} known outcomes are of a class or a number"
        return f"{few}, it takes {rows} to tell (monitoring.rows)"
    return None


def judge_quality(
    counts: Counts | None,
    held_out: Counts | None,
    outcomes: Outcomes,
    definition: ModelDefinition,
    segment: Segment | None = None,
) -> MonitorReport | None:
    """Say whether predictions turn out as well as they must; None if it is not watched.

    A segment is held against the thresholds alone: the baseline has no outcomes of segments.
    """
    limits = definition.monitoring.quality
    if limits is None or (segment and not limits.thresholds):
        return None
    found, before = (estimate(side) if side else {} for side in (counts, held_out))
    metric = definition.metric
    told_limits = dict(limits.thresholds)
    checks = list(_against_thresholds(found, limits))
    if limits.fall is not None and segment is None:
        told_limits[f"fall of {metric}"] = limits.fall
        checks.append(_against_held_out(metric, found.get(metric), before.get(metric), limits.fall))
    verdict, reasons = _sum_up(
        why_unsure(outcomes, limits, definition.monitoring.rows, counts.rows if counts else 0),
        checks,
    )
    return MonitorReport(
        monitor="model-quality",
        verdict=verdict,
        reasons=reasons,
        rows=counts.rows if counts else 0,
        headline=metric,
        numbers=finite({name: each.value for name, each in found.items()}),
        baseline=finite({name: each.value for name, each in before.items()}),
        limits=told_limits,
        segment=segment,
    )


def judge_business(
    counts: Counts | None,
    held_out: Counts | None,
    outcomes: Outcomes,
    definition: ModelDefinition,
) -> MonitorReport | None:
    """Say whether mistakes cost more than they may; None if no cost or no limit is given."""
    limits, cost = definition.monitoring.quality, definition.evaluation.cost
    limit = limits.cost_per_prediction if limits else None
    if limits is None or cost is None or limit is None:
        return None
    found = estimate_cost(counts, cost) if isinstance(counts, Binary) else None
    before = estimate_cost(held_out, cost) if isinstance(held_out, Binary) else None
    checks = []
    if found:
        checks.append(_against("cost per prediction", found, limit, greater_is_better=False))
    verdict, reasons = _sum_up(
        why_unsure(outcomes, limits, definition.monitoring.rows, counts.rows if counts else 0),
        checks,
    )
    return MonitorReport(
        monitor="business",
        verdict=verdict,
        reasons=reasons,
        rows=counts.rows if counts else 0,
        headline="cost_per_prediction",
        numbers={"cost_per_prediction": found.value if found else None},
        baseline={"cost_per_prediction": before.value if before else None},
        limits={"cost_per_prediction": limit},
    )


def _against_thresholds(found: dict[str, Estimate], limits: Quality) -> Iterator[Check]:
    for metric, limit in limits.thresholds.items():
        value = found.get(metric)
        if value is None:
            yield Check("unsure", f"{metric} cannot be computed from these outcomes")
        else:
            yield _against(metric, value, limit, GREATER_IS_BETTER[metric])


def _against(name: str, value: Estimate, limit: float, greater_is_better: bool) -> Check:
    verdict = against_limit(value, limit, greater_is_better)
    told = f"{name} is {value.value:.3g}, {limit:g} is the limit"
    if verdict == "unsure":
        told += f"; in so few rows chance alone makes {value.noise:.2g}"
    return Check(verdict, told)


def _against_held_out(
    metric: str, now: Estimate | None, before: Estimate | None, limit: float
) -> Check:
    if before is None:
        return Check("unsure", f"the baseline has no {metric} of held-out rows to compare with")
    if now is None:
        return Check("unsure", f"{metric} cannot be computed from these outcomes")
    change = (before.value - now.value) * (1 if GREATER_IS_BETTER[metric] else -1)
    noise = (now.noise**2 + before.noise**2) ** 0.5
    verdict = against_change(change, noise, limit)
    told = (
        f"{metric} is {now.value:.3g}, it was {before.value:.3g} on the held-out rows; "
        f"worse by {limit:g} is the limit"
    )
    if verdict == "unsure":
        told += f", and in so few rows chance alone makes {noise:.2g}"
    return Check(verdict, told)


def _sum_up(unsure: str | None, checks: list[Check]) -> tuple[Verdict, list[str]]:
    """Return the worst check's verdict with its reasons; nothing is known of what is unsure."""
    if unsure:
        return "unsure", [unsure]
    if not checks:
        return "unsure", ["no limit is set (monitoring.quality)"]
    for verdict in ("drifted", "unsure", "healthy"):
        reasons = [check.reason for check in checks if check.verdict == verdict]
        if reasons:
            return verdict, reasons
    raise AssertionError("every check has a verdict")
