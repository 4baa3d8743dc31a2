"""What a window is judged by: profiles of requests and answers, outcomes, the live attributions.

All of it adds up: slots make an hour, a day or a week, whoever asks. The baseline's side is the
same evidence, of the rows the model was trained and measured on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.definition import ModelDefinition, Problem
from headrace.monitoring.baseline import Attributions, Baseline
from headrace.monitoring.report import Feedback, Segment
from headrace.monitoring.slots import SlotDocument
from headrace_profiling import Profile
from headrace_profiling.bias import Facet
from headrace_profiling.model_quality import Binary, Multiclass, Regression

Counts = Binary | Multiclass | Regression
_COUNTS: Mapping[Problem, type[Binary] | type[Multiclass] | type[Regression]] = {
    "binary": Binary,
    "multiclass": Multiclass,
    "regression": Regression,
}
_NOTHING = Profile(0, {})


@dataclass(frozen=True)
class Seen:
    """What was asked and answered. `left_out` rows were answered while two versions served.

    `unreadable` counts captured records by what is wrong with them.
    """

    inputs: Profile = _NOTHING
    predictions: Profile = _NOTHING
    segments: Mapping[Segment, "Seen"] = field(default_factory=dict)
    left_out: int = 0
    unreadable: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, document: SlotDocument | Baseline) -> "Seen":
        """Read the profiles of a slot, or of a baseline."""
        segments = {
            Segment(column=column, value=value): cls(
                Profile.from_dict(part.inputs), Profile.from_dict(part.predictions)
            )
            for column, values in document.segments.items()
            for value, part in values.items()
        }
        whole = cls(
            Profile.from_dict(document.inputs), Profile.from_dict(document.predictions), segments
        )
        if isinstance(document, Baseline):
            return whole
        return replace(whole, left_out=document.left_out, unreadable=document.unreadable)

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(
            self.inputs + other.inputs,
            self.predictions + other.predictions,
            _together(self.segments, other.segments),
            self.left_out + other.left_out,
            _together(self.unreadable, other.unreadable),
        )


@dataclass(frozen=True)
class Scored:
    """How predictions turned out: counts of all, of segments, and of facets by their column."""

    counts: Counts | None = None
    segments: Mapping[Segment, Counts] = field(default_factory=dict)
    facets: Mapping[str, Facet] = field(default_factory=dict)

    def __add__(self, other: "Scored") -> "Scored":
        return Scored(
            self.counts + other.counts  # type: ignore[arg-type, operator]  # of the same problem
            if self.counts and other.counts
            else self.counts or other.counts,
            _together(self.segments, other.segments),
            _together(self.facets, other.facets),
        )


@dataclass(frozen=True)
class Outcomes:
    """The predictions of a window that are measured together, and what became of them."""

    start: str
    end: str
    feedback: Feedback
    scored: Scored = Scored()


@dataclass(frozen=True)
class Learnt:
    """The baseline: rows the model was trained and measured on, and how it decided."""

    seen: Seen
    scored: Scored
    attribution: Attributions | None

    @classmethod
    def of(cls, baseline: Baseline) -> "Learnt":
        """Read a baseline's profiles and counts."""
        quality = baseline.quality
        counts = read_counts(quality.kind, quality.counts) if quality else None
        facets = {name: Facet.from_dict(each.counts) for name, each in baseline.bias.items()}
        return cls(Seen.of(baseline), Scored(counts, {}, facets), baseline.attribution)


@dataclass(frozen=True)
class Window:
    """Everything known of what one version answered from `start` to `end` (ISO 8601, UTC)."""

    start: str
    end: str
    seen: Seen
    outcomes: Outcomes
    attribution: Attributions | None = None
    notes: Sequence[str] = ()


def read_counts(problem: Problem, counts: Mapping[str, Any]) -> Counts:
    """Read what `as_dict` of the problem's counts wrote."""
    return _COUNTS[problem].from_dict(counts)


def unwatched(definition: ModelDefinition) -> set[str]:
    """Return columns that differ in every window by their nature, or that nobody learns from."""
    data = definition.data
    return {data.label, *data.exclude} | {
        name for name in (data.entity, data.event_time) if name is not None
    }


def _together(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> dict[Any, Any]:
    return {
        key: one[key] + other[key] if key in one and key in other else one.get(key, other.get(key))
        for key in {**one, **other}
    }
