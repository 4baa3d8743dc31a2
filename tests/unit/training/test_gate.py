"""The gate: what passes, what does not, and what a person is told."""

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.training.evaluation import Evaluation
from headrace.training.gate import Verdict, judge
from tests.unit.world import definition

GOOD = {"roc_auc": 0.975, "accuracy": 0.93}
CHAMPION = {"roc_auc": 0.971, "accuracy": 0.92}


def evaluation(**changes: Any) -> dict[str, Any]:
    """What a job reports of a candidate that is better in every way."""
    report = {
        "schema_version": 1,
        "run": "credit-risk-run",
        "problem": "binary",
        "metric": "roc_auc",
        "greater_is_better": True,
        "rows": {"train": 73608, "holdout": 18402},
        "candidate": {"metrics": GOOD, "cost": {"threshold": 0.2, "per_row": 1.0, "total": 18402}},
        "baselines": {
            "trivial": {
                "kind": "majority",
                "metrics": {"roc_auc": 0.5},
                "cost": {"threshold": 0.5, "per_row": 3.0, "total": 55206},
            },
            "simple": {
                "kind": "linear",
                "metrics": {"roc_auc": 0.9},
                "cost": {"threshold": 0.3, "per_row": 2.0, "total": 36804},
            },
        },
        "champion": {
            "metrics": CHAMPION,
            "cost": {"threshold": 0.2, "per_row": 1.1, "total": 20242},
        },
        "comparison": {
            "difference": 0.004,
            "ci_low": 0.002,
            "ci_high": 0.006,
            "confidence": 0.95,
            "resamples": 500,
        },
        "datasets": [dataset("d1", "known", 0.97, 0.971), dataset("d2", "new", 0.975, 0.96)],
        "slices": [part("north", 500, 0.97, 0.96), part("south", 20, 0.1, 0.9)],
        "latency_ms": {"rows": 1, "p50": 0.4, "p99": 2.0},
        "features": [],
        "warnings": [],
        "seconds": {},
    }
    # Tests take values away from their report, which must not take them from the next one.
    return copy.deepcopy(report | changes)


def dataset(version: str, role: str, candidate: float | None, champion: float | None) -> Any:
    return {
        "version": version,
        "role": role,
        "rows": 9201,
        "candidate": {"roc_auc": candidate},
        "champion": {"roc_auc": champion},
    }


def part(value: str, rows: int, candidate: float | None, champion: float | None) -> Any:
    return {
        "column": "region",
        "value": value,
        "rows": rows,
        "candidate": {"roc_auc": candidate},
        "champion": {"roc_auc": champion},
    }


STRICT = {
    "thresholds": {"accuracy": 0.9},
    "cost": {"false_positive": 1, "false_negative": 5},
    "slices": ["region"],
    "latency_ms": 50,
}


def judged(report: dict[str, Any], *, has_champion: bool = True, **wanted: Any) -> Verdict:
    asked = definition(evaluation=STRICT | wanted)
    return judge(Evaluation.model_validate(report), asked, has_champion=has_champion)


def refused(report: dict[str, Any], **wanted: Any) -> str:
    verdict = judged(report, **wanted)
    assert verdict.outcome == "not better"
    return " | ".join(verdict.reasons)


def test_a_better_candidate_passes_with_its_numbers() -> None:
    verdict = judged(evaluation())
    assert verdict.outcome == "better"
    assert verdict.reasons[0] == (
        "roc_auc 0.975 is above the champion's 0.971 (+0.004, 95 % CI +0.002 … +0.006) "
        "on 18,402 held-out rows"
    )
    assert (verdict.candidate_value, verdict.champion_value, verdict.baseline_value) == (
        0.975,
        0.971,
        0.9,
    )
    assert verdict.notes == ["where region is south there are only 20 held-out rows: unsure"]


@pytest.mark.parametrize("rivals", [[], ["champion"]])
def test_without_rivals_there_is_a_reason_too(rivals: list[str]) -> None:
    report = evaluation(champion=None, comparison=None, slices=[], latency_ms=None, datasets=[])
    asked = definition(evaluation={"must_beat": rivals})
    verdict = judge(Evaluation.model_validate(report), asked, has_champion=False)
    assert verdict.outcome == "better"
    assert verdict.reasons == ["there was nothing to beat (evaluation.must_beat); roc_auc is 0.975"]


def test_a_worse_candidate_is_refused_with_the_numbers() -> None:
    comparison = {"difference": -0.059, "ci_low": -0.066, "ci_high": -0.052}
    worse = {"metrics": {"roc_auc": 0.912, "accuracy": 0.9}, "cost": {"per_row": 1.0}}
    told = judged(evaluation(candidate=worse, comparison=comparison)).reasons
    assert told == [
        "roc_auc 0.912 is below the champion's 0.971 (−0.059, 95 % CI −0.066 … −0.052) "
        "on 18,402 held-out rows"
    ]


def test_an_equal_candidate_is_not_better() -> None:
    same = {"metrics": CHAMPION, "cost": {"per_row": 1.1}}
    assert "roc_auc 0.971 equals the champion's 0.971" in refused(evaluation(candidate=same))


def test_the_gain_asked_for_must_be_exceeded() -> None:
    told = refused(evaluation(), minimum_gain=0.01)
    assert "+0.004" in told
    assert "not by more than the 0.010 asked for" in told


def test_metrics_of_which_less_is_better() -> None:
    asked = definition(evaluation={"problem": "regression"})
    report = evaluation(
        problem="regression",
        metric="rmse",
        candidate={"metrics": {"rmse": 11.0}},
        champion={"metrics": {"rmse": 12.5}},
        baselines={
            "trivial": {"metrics": {"rmse": 30.0}},
            "simple": {"metrics": {"rmse": 10.0}},
        },
        comparison=None,
        datasets=[],
    )
    verdict = judge(Evaluation.model_validate(report), asked, has_champion=True)
    assert verdict.reasons == [
        "rmse 11 is above the simple baseline's 10 (+1) on 18,402 held-out rows"
    ]


@pytest.mark.parametrize("kind", ["trivial", "simple"])
def test_baselines_must_be_beaten(kind: str) -> None:
    report = evaluation()
    report["baselines"][kind]["metrics"]["roc_auc"] = 0.98
    assert f"the {kind} baseline's 0.980" in refused(report)


def test_flipped_labels_show_on_the_data_the_champion_knew() -> None:
    """Invariant 24: on new rows the flipped candidate wins, on old ones it gives itself away."""
    report = evaluation(
        datasets=[dataset("d1", "known", 0.62, 0.971), dataset("d2", "new", 0.96, 0.031)]
    )
    told = refused(report)
    assert "0.620 is below the champion's 0.971" in told
    assert "held-out rows of data the champion knew: more than the tolerated 0.010 is lost" in told
    assert (
        "the labels of dataset d2 look inverted: there the champion has roc_auc 0.031, far below "
        "0.5, but 0.971 on the data it knew" in told
    )


def test_flipped_labels_show_even_if_no_old_data_is_in_the_window() -> None:
    report = evaluation(datasets=[dataset("d2", "new", 0.96, 0.031)])
    assert "look inverted" in refused(report)
    assert list(judged(report).spoilt) == ["d2"]


def test_drift_is_not_taken_for_inverted_labels() -> None:
    report = evaluation(
        datasets=[dataset("d1", "known", 0.97, 0.971), dataset("d2", "new", 0.8, 0.55)]
    )
    assert judged(report).outcome == "better"
    assert judged(report).spoilt == {}


def test_known_versions_count_together() -> None:
    """A small version that is a little worse by chance does not refuse."""
    small = dataset("d0", "known", 0.9, 0.95) | {"rows": 40}
    report = evaluation(datasets=[small, dataset("d1", "known", 0.972, 0.971)])
    assert judged(report).outcome == "better"


def test_a_slice_that_loses_too_much_refuses() -> None:
    told = refused(evaluation(slices=[part("north", 500, 0.94, 0.96)]))
    assert "where region is north (500 held-out rows)" in told


def test_a_slice_that_was_not_measured_refuses() -> None:
    assert "did not measure the slices of region" in refused(evaluation(slices=[]))


def test_a_slice_of_one_class_is_unsure() -> None:
    verdict = judged(evaluation(slices=[part("north", 500, None, None)]))
    assert verdict.outcome == "better"
    assert "undefined for both models" in verdict.notes[0]


def test_thresholds_costs_and_latency_refuse() -> None:
    weak = {"metrics": {"roc_auc": 0.975, "accuracy": 0.85}, "cost": {"per_row": 1.2}}
    told = refused(evaluation(candidate=weak, latency_ms={"p50": 1, "p99": 80.0}))
    assert "accuracy 0.850 is below the threshold 0.900" in told
    assert "business cost per row 1.200 is above the champion's 1.100" in told
    assert "p99 latency 80 ms is above the limit of 50 ms (+30)" in told


def test_without_a_champion_the_baselines_decide() -> None:
    report = evaluation(champion=None, comparison=None)
    verdict = judged(report, has_champion=False)
    assert verdict.outcome == "better"
    assert "nothing serves yet" in verdict.notes[0]


def test_a_champion_that_was_not_scored_refuses() -> None:
    assert "the champion's roc_auc on the held-out rows is missing" in refused(
        evaluation(champion=None)
    )
    broken = {"metrics": {"roc_auc": None}, "cost": None, "error": "it wants column 'age'"}
    assert "missing: it wants column 'age'" in refused(evaluation(champion=broken))


def test_a_project_may_not_care_for_its_champion() -> None:
    verdict = judged(evaluation(champion=None, slices=[]), must_beat=["baseline"], slices=[])
    assert verdict.outcome == "better"


def test_a_job_that_measured_something_else_refuses() -> None:
    assert "asks for roc_auc" in refused(evaluation(metric="accuracy"))
    assert "no row was held out" in refused(evaluation(rows={"train": 10, "holdout": 0}))


UNDEFINED = st.sampled_from([None, math.nan, math.inf, -math.inf, "absent"])
# Every place where the strict project needs a number.
PLACES = [
    ("candidate", "metrics", "roc_auc"),
    ("candidate", "metrics", "accuracy"),
    ("candidate", "cost", "per_row"),
    ("baselines", "trivial", "metrics", "roc_auc"),
    ("baselines", "trivial", "cost", "per_row"),
    ("baselines", "simple", "metrics", "roc_auc"),
    ("baselines", "simple", "cost", "per_row"),
    ("champion", "metrics", "roc_auc"),
    ("champion", "cost", "per_row"),
    ("datasets", 0, "candidate", "roc_auc"),
    ("datasets", 0, "champion", "roc_auc"),
    ("slices", 0, "candidate", "roc_auc"),
    ("slices", 0, "champion", "roc_auc"),
    ("latency_ms", "p99"),
]


@given(places=st.lists(st.sampled_from(PLACES[:9]), min_size=1, unique=True), value=UNDEFINED)
def test_an_undefined_number_never_passes(places: list[tuple[Any, ...]], value: Any) -> None:
    """Invariant 23, wherever and however many numbers are missing."""
    report = evaluation()
    for place in places:
        remove(report, place, value)
    assert judged(report).outcome == "not better"


@pytest.mark.parametrize("place", PLACES, ids=str)
@given(value=UNDEFINED)
def test_each_undefined_number_alone_refuses(place: tuple[Any, ...], value: Any) -> None:
    report = evaluation()
    remove(report, place, value)
    assert judged(report).outcome == "not better"


def remove(report: Any, place: tuple[Any, ...], value: Any) -> None:
    for step in place[:-1]:
        report = report[step]
    if value == "absent":
        report.pop(place[-1], None)
    else:
        report[place[-1]] = value


numbers = st.floats(0, 1) | st.none()


@given(candidate=numbers, champion=numbers, trivial=numbers, simple=numbers, known=numbers)
def test_whatever_passes_has_beaten_them_all(
    candidate: float | None,
    champion: float | None,
    trivial: float | None,
    simple: float | None,
    known: float | None,
) -> None:
    report = evaluation(
        candidate={"metrics": {"roc_auc": candidate}},
        champion={"metrics": {"roc_auc": champion}},
        baselines={
            "trivial": {"metrics": {"roc_auc": trivial}},
            "simple": {"metrics": {"roc_auc": simple}},
        },
        datasets=[dataset("d1", "known", known, 0.9)],
    )
    asked = definition(evaluation={"minimum_gain": 0.01, "tolerance": 0.02})
    verdict = judge(Evaluation.model_validate(report), asked, has_champion=True)
    assert verdict.reasons
    numbers_there = None not in (candidate, champion, trivial, simple, known)
    beaten = (
        numbers_there
        and candidate - champion > 0.01  # type: ignore[operator]
        and candidate > max(trivial, simple)  # type: ignore[operator, type-var]
        and known - 0.9 >= -0.02  # type: ignore[operator]
    )
    assert (verdict.outcome == "better") is beaten
