"""A window against the baseline becomes a report: what each monitor saw, why, and the worst first.

Everything here is pure. Too little data is unsure, never healthy, whatever it looks like.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headrace.definition import ModelDefinition
from headrace.monitoring.judging.columns import judge_data_quality, judge_drift
from headrace.monitoring.judging.evidence import (
    Learnt,
    Outcomes,
    Scored,
    Seen,
    Window,
    unwatched,
)
from headrace.monitoring.judging.fairness import judge_attribution, judge_bias
from headrace.monitoring.judging.quality import judge_business, judge_quality
from headrace.monitoring.judging.trend import continue_trend, is_news
from headrace.monitoring.judging.wording import listed
from headrace.monitoring.report import Monitor, MonitorReport, Report, Segment, TrendPoint, together
from headrace.monitoring.section import Drift, Monitoring, Quality
from headrace_profiling import Profile

__all__ = [
    "Learnt",
    "Outcomes",
    "Scored",
    "Seen",
    "Subject",
    "Window",
    "is_news",
    "judge",
    "watched_monitors",
]


class Subject(NamedTuple):
    """Whose predictions are judged."""

    model: str
    endpoint: str
    package_version: int
    run: str


def judge(
    subject: Subject,
    baseline: Learnt | None,
    window: Window,
    definition: ModelDefinition,
    *,
    made_at: str,
    history: Sequence[TrendPoint] = (),
) -> Report:
    """Hold everything known of a window against the baseline and the limits of model.yaml.

    Without a baseline (the run is older than monitoring) what needs one is unsure.
    """
    known = baseline or Learnt(Seen(), Scored(), None)
    monitors = [*_of_columns(known, window, definition), *_of_outcomes(known, window, definition)]
    settings = definition.monitoring
    if settings.attribution:
        monitors.append(
            judge_attribution(
                known.attribution, window.attribution, settings.attribution, settings.rows
            )
        )
    if baseline is None:
        monitors = [_without_baseline(each) for each in monitors]
    feedback = window.outcomes.feedback if settings.quality or settings.bias else None
    return Report(
        **subject._asdict(),
        start=window.start,
        end=window.end,
        made_at=made_at,
        verdict=together(monitors),
        reasons=_reasons(monitors),
        monitors=monitors,
        trend=continue_trend(history, window.end, monitors, subject.package_version),
        feedback=feedback,
        notes=list(_notes(window)),
    )


def watched_monitors(definition: ModelDefinition) -> list[Monitor]:
    """Return the monitors that a project has switched on: each has an alarm."""
    settings = definition.monitoring
    quality = settings.quality
    switched: dict[Monitor, bool] = {
        "data-quality": settings.data_quality is not None,
        "feature-drift": settings.features is not None,
        "prediction-drift": settings.predictions is not None,
        "model-quality": quality is not None,
        "business": bool(
            quality and quality.cost_per_prediction is not None and definition.evaluation.cost
        ),
        "bias": settings.bias is not None,
        "attribution-drift": settings.attribution is not None,
    }
    return [monitor for monitor, on in switched.items() if on]


def _of_columns(
    known: Learnt, window: Window, definition: ModelDefinition
) -> Iterator[MonitorReport]:
    settings = definition.monitoring
    ignored = unwatched(definition)
    if settings.data_quality:
        yield judge_data_quality(
            known.seen.inputs, window.seen.inputs, settings.data_quality, settings.rows, ignored
        )
    segments = {s: p for s, p in known.seen.segments.items() if s.column in settings.segments}
    populations = 1 + len(segments)
    yield from _drifts(known.seen, window.seen, settings, ignored, populations)
    for segment, before in segments.items():
        now = window.seen.segments.get(segment, Seen())
        # Of a segment its own column says nothing; who wants to see one wants what drifted.
        for each in _drifts(before, now, settings, ignored | {segment.column}, populations):
            drifted = [column for column in each.columns if column.verdict == "drifted"]
            yield each.model_copy(update={"segment": segment, "columns": drifted})


def _drifts(
    before: Seen, now: Seen, settings: Monitoring, ignored: set[str], populations: int
) -> Iterator[MonitorReport]:
    watched: list[tuple[Monitor, Profile, Profile, Drift | None, set[str]]] = [
        ("feature-drift", before.inputs, now.inputs, settings.features, ignored),
        ("prediction-drift", before.predictions, now.predictions, settings.predictions, set()),
    ]
    for monitor, baseline, window, limits, left_out in watched:
        found = limits and judge_drift(
            monitor, baseline, window, limits, settings.rows, left_out, populations
        )
        if found:
            yield found


def _of_outcomes(
    known: Learnt, window: Window, definition: ModelDefinition
) -> Iterator[MonitorReport]:
    settings, outcomes = definition.monitoring, window.outcomes
    scored, before = outcomes.scored, known.scored
    found = [
        judge_quality(scored.counts, before.counts, outcomes, definition),
        judge_business(scored.counts, before.counts, outcomes, definition),
    ]
    if settings.bias:
        quality = settings.quality or Quality()
        found.append(judge_bias(scored, before, outcomes, settings.bias, quality, settings.rows))
    for segment, counts in scored.segments.items():
        if segment.column in settings.segments:
            found.append(judge_quality(counts, None, outcomes, definition, segment))
    yield from (each for each in found if each)


def _without_baseline(each: MonitorReport) -> MonitorReport:
    """Say that there is nothing to compare with; outcomes have limits of their own."""
    if each.monitor in ("model-quality", "business", "bias"):
        return each
    told = "the version that serves has no baseline: train it again to have one"
    return each.model_copy(
        update={"verdict": "unsure", "reasons": [told], "columns": [], "numbers": {}}
    )


def _reasons(monitors: list[MonitorReport]) -> list[str]:
    """Return why the verdict is what it is, in one line per monitor and segment."""
    for verdict in ("drifted", "unsure"):
        found = [each for each in monitors if each.verdict == verdict]
        told = [  # every monitor's first reason, then every second one
            f"{each.monitor}{_where(each.segment)}: {each.reasons[place]}"
            for place in range(max((len(each.reasons) for each in found), default=0))
            for each in found
            if place < len(each.reasons)
        ]
        if told and together(monitors) == verdict:
            return listed(told)
    if not monitors:
        return ["nothing is watched"]
    unsure = dict.fromkeys(
        each.monitor for each in monitors if each.verdict == "unsure" and each.segment is None
    )
    told = [f"too little is known to say so of {', '.join(unsure)}"] if unsure else []
    return ["nothing moved beyond its limits", *told]


def _where(segment: Segment | None) -> str:
    return f" where {segment.column} is {segment.value}" if segment else ""


def _notes(window: Window) -> Iterator[str]:
    yield from window.notes
    if window.seen.left_out:
        yield f"{window.seen.left_out} rows are left out: two versions answered at that time"
    for reason, records in window.seen.unreadable.items():
        yield f"{records} captured records are left out: {reason}"
    if window.outcomes.feedback.predictions:
        outcomes = window.outcomes
        yield f"outcomes are those of predictions from {outcomes.start} to {outcomes.end}"
