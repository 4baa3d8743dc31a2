"""The gate: may this candidate be registered? A verdict with reasons and numbers, never an error.

Every rule looks at one question and says passed, failed, or unsure (too few rows to tell). One
failure is enough to refuse; being unsure never refuses, and never counts as proof either. A number
that is missing where one is needed is a failure: nothing undefined passes.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from headrace.definition import METRICS, ModelDefinition
from headrace.training.evaluation import DatasetScores, Evaluation, Scores, SliceScores
from headrace.training.wording import compared, interval, number, rows

# A champion that ranks new rows this much worse than chance has met turned labels, not drift:
# turning all labels turns an area under the curve of a into 1 - a.
INVERTED_AUC = 0.35


class Verdict(BaseModel):
    """Whether a candidate is better, why, and what could not be told.

    `spoilt` names dataset versions whose labels are turned, with the reason: whatever learns from
    them gets worse, so later runs had better leave them out.
    """

    model_config = ConfigDict(frozen=True)
    outcome: Literal["better", "not better"]
    reasons: list[str]
    notes: list[str]
    metric: str
    candidate_value: float | None
    champion_value: float | None
    baseline_value: float | None
    spoilt: dict[str, str] = {}


class Finding(NamedTuple):
    """A rule's answer: passed or not, or None when there are too few rows to tell."""

    passed: bool | None
    reason: str
    spoilt: str = ""  # the dataset version that is to blame


class Case(NamedTuple):
    """What the rules look at."""

    evaluation: Evaluation
    definition: ModelDefinition
    has_champion: bool

    @property
    def metric(self) -> str:
        """The primary metric of the project."""
        return self.definition.metric

    @property
    def has_rival(self) -> bool:
        """Whether there is a champion that this project wants beaten."""
        return self.has_champion and "champion" in self.definition.evaluation.must_beat

    @property
    def value(self) -> float | None:
        """The candidate's primary metric on all held-out rows."""
        return self.evaluation.candidate.metrics.get(self.metric)

    @property
    def baselines(self) -> dict[str, Scores | None]:
        """The baselines that must be beaten, by the name a person reads."""
        if "baseline" not in self.definition.evaluation.must_beat:
            return {}
        found = self.evaluation.baselines
        return {"trivial baseline": found.trivial, "simple baseline": found.simple}

    def gain(self, candidate: float, other: float) -> float:
        """By how much the candidate is better; negative when it is worse."""
        return candidate - other if METRICS[self.metric][0] else other - candidate


def judge(evaluation: Evaluation, definition: ModelDefinition, *, has_champion: bool) -> Verdict:
    """Judge a candidate by what its job measured.

    `has_champion` says that something serves: then a job that did not score it proves nothing.
    """
    case = Case(evaluation, definition, has_champion)
    findings = [finding for rule in _RULES for finding in rule(case)]
    failed = [f.reason for f in findings if f.passed is False]
    champion = evaluation.champion.metrics.get(case.metric) if evaluation.champion else None
    simple = evaluation.baselines.simple
    value = "unknown" if case.value is None else number(case.value)
    unrivalled = f"there was nothing to beat (evaluation.must_beat); {case.metric} is {value}"
    return Verdict(
        outcome="not better" if failed else "better",
        reasons=failed or [f.reason for f in findings if f.passed] or [unrivalled],
        notes=[f.reason for f in findings if f.passed is None] + evaluation.warnings,
        metric=case.metric,
        candidate_value=case.value,
        champion_value=champion,
        baseline_value=simple.metrics.get(case.metric) if simple else None,
        spoilt={f.spoilt: f.reason for f in findings if f.spoilt},
    )


def _is_what_was_asked(case: Case) -> Iterator[Finding]:
    """The job measured this problem by this metric, on some rows."""
    evaluation, wanted = case.evaluation, case.definition.evaluation
    if (evaluation.problem, evaluation.metric) != (wanted.problem, case.metric):
        yield Finding(
            False,
            f"the job measured {evaluation.metric} of a {evaluation.problem} problem, but the "
            f"project asks for {case.metric} of a {wanted.problem} problem",
        )
    if evaluation.rows.holdout < 1:
        yield Finding(False, "no row was held out, so nothing was measured")
    if case.value is None:
        yield Finding(False, f"the candidate's {case.metric} could not be computed")


def _beats_the_baselines(case: Case) -> Iterator[Finding]:
    if case.value is None:
        return
    for name, scores in case.baselines.items():
        other = scores.metrics.get(case.metric) if scores else None
        if other is None:
            yield Finding(False, f"the {name} has no {case.metric} to compare with")
        else:
            told = compared(case.metric, case.value, other, f"the {name}'s")
            on = f"on {rows(case.evaluation.rows.holdout)} held-out rows"
            yield Finding(case.gain(case.value, other) > 0, f"{told} {on}")


def _beats_the_champion(case: Case) -> Iterator[Finding]:
    wanted, evaluation = case.definition.evaluation, case.evaluation
    if not case.has_champion:
        yield Finding(None, "nothing serves yet, so there is no champion to compare with")
        return
    if not case.has_rival or case.value is None:
        return
    other = evaluation.champion.metrics.get(case.metric) if evaluation.champion else None
    if other is None:
        why = evaluation.champion.error if evaluation.champion else None
        reason = f"the champion's {case.metric} on the held-out rows is missing"
        yield Finding(False, f"{reason}: {why}" if why else reason)
        return
    gain = case.gain(case.value, other)
    told = compared(
        case.metric, case.value, other, "the champion's", interval(evaluation.comparison)
    )
    enough = gain > wanted.minimum_gain
    short = gain > 0 and not enough
    but = f", but not by more than the {number(wanted.minimum_gain)} asked for" if short else ""
    yield Finding(enough, f"{told} on {rows(evaluation.rows.holdout)} held-out rows{but}")


def _forgets_nothing(case: Case) -> Iterator[Finding]:
    """On data the champion knew the candidate is as good: this is where wrong labels show.

    The versions count together, weighted by their rows: one small version would refuse by chance.
    """
    known = [d for d in case.evaluation.datasets if d.role == "known"]
    if not case.has_rival:
        return
    if not known:
        yield Finding(None, "the run holds no data the champion knew, so none was compared")
        return
    both = _mean(known, case.metric)
    if both is None:
        yield Finding(False, f"{case.metric} on the data the champion knew could not be computed")
        return
    candidate, champion = both
    on = f"on the {rows(sum(d.rows for d in known))} held-out rows of data the champion knew"
    yield _tolerated(case, candidate, champion, on)


def _labels_are_not_inverted(case: Case) -> Iterator[Finding]:
    """A champion that is good on old rows and far worse than chance on new ones says: turned."""
    for dataset in case.evaluation.datasets:
        area = (dataset.champion or {}).get("roc_auc")
        if dataset.role != "new" or area is None or area >= INVERTED_AUC:
            continue
        known = [d for d in case.evaluation.datasets if d.role == "known"]
        before = _mean(known, "roc_auc")
        good = f", but {number(before[1])} on the data it knew" if before else ""
        if dataset.rows < case.definition.evaluation.slice_rows:
            yield Finding(None, f"dataset {dataset.version}: too few rows to tell turned labels")
        else:
            yield Finding(
                False,
                f"the labels of dataset {dataset.version} look inverted: there the champion has "
                f"roc_auc {number(area)}, far below 0.5{good}",
                dataset.version,
            )


def _holds_on_every_slice(case: Case) -> Iterator[Finding]:
    wanted = case.definition.evaluation
    measured = {s.column for s in case.evaluation.slices}
    for column in wanted.slices:
        if column not in measured:
            yield Finding(False, f"the job did not measure the slices of {column}")
    if not case.has_rival:
        return
    for part in case.evaluation.slices:
        if part.column in wanted.slices:
            yield _slice(case, part, wanted.slice_rows)


def _slice(case: Case, part: SliceScores, enough: int) -> Finding:
    on = f"where {part.column} is {part.value}"
    if part.rows < enough:
        return Finding(None, f"{on} there are only {part.rows} held-out rows: unsure")
    candidate = part.candidate.get(case.metric)
    champion = (part.champion or {}).get(case.metric)
    if candidate is None and champion is None:
        return Finding(None, f"{on} {case.metric} is undefined for both models: unsure")
    if candidate is None or champion is None:
        return Finding(False, f"{on} one model's {case.metric} is missing")
    return _tolerated(case, candidate, champion, f"{on} ({rows(part.rows)} held-out rows)")


def _tolerated(case: Case, candidate: float, champion: float, on: str) -> Finding:
    tolerance = case.definition.evaluation.tolerance
    passed = case.gain(candidate, champion) >= -tolerance
    told = compared(case.metric, candidate, champion, "the champion's")
    limit = "" if passed else f": more than the tolerated {number(tolerance)} is lost"
    return Finding(passed, f"{told} {on}{limit}")


def _meets_thresholds(case: Case) -> Iterator[Finding]:
    for metric, threshold in case.definition.evaluation.thresholds.items():
        value = case.evaluation.candidate.metrics.get(metric)
        if value is None:
            yield Finding(False, f"{metric} is missing, but must reach {number(threshold)}")
        else:
            passed = value >= threshold if METRICS[metric][0] else value <= threshold
            yield Finding(passed, compared(metric, value, threshold, "the threshold"))


def _costs_no_more(case: Case) -> Iterator[Finding]:
    if case.definition.evaluation.cost is None:
        return
    cost = _cost(case.evaluation.candidate)
    if cost is None:
        yield Finding(False, "the candidate's business cost could not be computed")
        return
    rivals = dict(case.baselines)
    if case.has_rival:
        rivals["champion"] = case.evaluation.champion
    for name, scores in rivals.items():
        other = _cost(scores)
        if other is None:
            yield Finding(False, f"the {name} has no business cost to compare with")
        else:
            told = compared("business cost per row", cost, other, f"the {name}'s")
            yield Finding(cost <= other, told)


def _answers_in_time(case: Case) -> Iterator[Finding]:
    limit = case.definition.evaluation.latency_ms
    if limit is None:
        return
    p99 = case.evaluation.latency_ms.p99 if case.evaluation.latency_ms else None
    if p99 is None:
        yield Finding(False, f"p99 latency is missing, but must stay under {number(limit)} ms")
    else:
        yield Finding(p99 < limit, compared("p99 latency", p99, limit, "the limit of", unit=" ms"))


def _mean(datasets: list[DatasetScores], metric: str) -> tuple[float, float] | None:
    """Return candidate's and champion's mean over datasets, weighted by rows.

    A dataset where neither can be computed (one class only, say) does not count; one where only
    one model's is missing makes the whole undefined.
    """
    total, candidates, champions = 0, 0.0, 0.0
    for dataset in datasets:
        candidate = dataset.candidate.get(metric)
        champion = _get(dataset.champion, metric)
        if candidate is None and champion is None:
            continue
        if candidate is None or champion is None:
            return None
        total += dataset.rows
        candidates += dataset.rows * candidate
        champions += dataset.rows * champion
    return (candidates / total, champions / total) if total else None


def _get(metrics: Mapping[str, float | None] | None, metric: str) -> float | None:
    return metrics.get(metric) if metrics else None


def _cost(scores: Scores | None) -> float | None:
    return scores.cost.per_row if scores and scores.cost else None


_RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    _is_what_was_asked,
    _labels_are_not_inverted,
    _beats_the_champion,
    _forgets_nothing,
    _beats_the_baselines,
    _holds_on_every_slice,
    _meets_thresholds,
    _costs_no_more,
    _answers_in_time,
)
