"""What each monitor says of a window, and that too little data is never called healthy."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.monitoring.baseline import Attributions
from headrace.monitoring.judging import Learnt, Report, Scored, Seen, is_news
from headrace.monitoring.judging.columns import judge_drift
from headrace.monitoring.report import MonitorReport, Segment, TrendPoint, Verdict
from headrace.monitoring.section import Drift
from tests.unit.monitoring.judged import learnt, loans, outcomes, report, scored

ALL = {
    "quality": {"fall": 0.05, "thresholds": {"recall": 0.5}, "cost_per_prediction": 200},
    "bias": {"facets": {"region": ["north"]}, "limits": {"DPPL": 0.15, "DI": 0.5}},
    "attribution": {"rows": 100},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loans")


@pytest.fixture(scope="module")
def baseline(folder: Path) -> Learnt:
    return learnt(folder)


def of(made: Report, monitor: str, segment: Segment | None = None) -> MonitorReport:
    return next(m for m in made.monitors if (m.monitor, m.segment) == (monitor, segment))


def test_a_window_like_the_training_data_is_healthy_in_every_respect(
    baseline: Learnt, folder: Path
) -> None:
    live = Attributions(rows=100, features={"car_value": 2.8, "salary": 1.1, "tenure": 0.2})
    made = report(
        baseline, loans(folder, 1500, seed=5), outcomes(scored(3000, seed=1)), live, **ALL
    )
    assert [(m.monitor, m.verdict) for m in made.monitors if m.verdict != "healthy"] == []
    assert made.verdict == "healthy"
    assert made.reasons == ["nothing moved beyond its limits"]
    assert {m.monitor for m in made.monitors} == {p.monitor for p in made.trend}
    assert Report.model_validate_json(made.to_json()) == made
    # An entity is another in every row, by its nature.
    assert [c.name for c in of(made, "feature-drift").columns] == ["car_value", "salary"]


def test_moved_values_are_drift_of_the_features_alone(baseline: Learnt, folder: Path) -> None:
    low = Segment(column="salary", value="low")
    moved = loans(folder, 1500, shift=60)
    seen = Seen(moved.inputs, loans(folder, 1500, seed=5).predictions, {low: moved})
    made = report(baseline, seen, segments=["salary"], data_quality={"out_of_range": 0.9})
    assert (made.verdict, of(made, "feature-drift").verdict) == ("drifted", "drifted")
    assert {m.monitor for m in made.monitors if m.verdict == "drifted"} == {
        "feature-drift",
        "prediction-drift",  # of the segment
    }
    first = of(made, "feature-drift").columns[0]
    assert (first.name, first.verdict) == ("car_value", "drifted")
    assert "psi is" in first.reasons[0]
    assert made.reasons[0].startswith("feature-drift: car_value: psi is")
    assert sum(b.window for b in first.buckets) == 1500
    segment = of(made, "feature-drift", low)
    assert (segment.verdict, segment.columns[0].name) == ("drifted", "car_value")
    assert any("where salary is low" in reason for reason in made.reasons)


def test_chance_has_more_tries_among_more_segments(baseline: Learnt, folder: Path) -> None:
    """What one column in so few rows would prove is, of one of twenty, nothing special."""
    few = loans(folder, 110, seed=77, shift=14)
    one, many = (
        judge_drift("feature-drift", baseline.seen.inputs, few.inputs, Drift(), 100, {"id"}, tries)
        for tries in (1, 10)
    )
    assert one
    assert many
    assert (one.verdict, many.verdict) == ("drifted", "unsure")
    assert "of 20 columns chance alone makes as much of one" in many.reasons[0]


def test_missing_values_and_columns_are_faults_of_the_data(baseline: Learnt, folder: Path) -> None:
    seen = loans(folder, 1000, nulls=40)
    quality = of(report(baseline, seen), "data-quality")
    assert (quality.verdict, quality.numbers["faults"]) == ("drifted", 1)
    assert quality.reasons[0].startswith("salary: nulls rose from")
    inputs = seen.inputs
    without = Seen(type(inputs)(1000, {"car_value": inputs.columns["car_value"]}), seen.predictions)
    made = report(baseline, without)
    assert of(made, "data-quality").reasons == ["salary: the column is missing"]
    assert of(made, "feature-drift").verdict == "unsure"


def test_a_column_may_have_its_own_limit_or_none(baseline: Learnt, folder: Path) -> None:
    seen = loans(folder, 1500, shift=60)
    for limit in (0, 50):
        made = report(baseline, seen, features={"columns": {"car_value": limit}})
        assert of(made, "feature-drift").verdict == "healthy"


def test_a_fall_of_quality_must_be_beyond_the_limit_and_beyond_chance(baseline: Learnt) -> None:
    worse = outcomes(scored(4000, skill=1.0, seed=3))
    found = of(report(baseline, Seen(), worse), "model-quality")
    assert found.verdict == "drifted"
    assert "on the held-out rows" in found.reasons[0]
    assert found.numbers["roc_auc"] < found.baseline["roc_auc"] - 0.05
    few = outcomes(scored(120, skill=1.0, seed=3))
    unsure = of(report(baseline, Seen(), few), "model-quality")
    assert unsure.verdict == "unsure"
    assert "chance alone" in unsure.reasons[0]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"complete": False}, "others may still come"),
        ({"predictions": 10_000}, "4000 of 10000 outcomes are known, it takes 50%"),
    ],
)
def test_outcomes_that_are_missing_make_it_unsure(
    baseline: Learnt, more: dict[str, int | bool], told: str
) -> None:
    worse = outcomes(scored(4000, skill=0.5), **more)
    made = report(baseline, Seen(), worse, **ALL)
    for monitor in ("model-quality", "business", "bias"):
        found = of(made, monitor)
        assert found.verdict == "unsure"
        assert told in found.reasons[0]


def test_a_segment_that_is_well_says_nothing_of_the_rest(baseline: Learnt) -> None:
    low, counts = Segment(column="salary", value="low"), scored(4000).counts
    no_held_out = Learnt(baseline.seen, Scored(), None)
    known = outcomes(Scored(counts, {low: counts}))
    limits = {"quality": {"thresholds": {"accuracy": 0.5}}, "segments": ["salary"]}
    made = report(no_held_out, Seen(), known, **limits)
    assert of(made, "model-quality").verdict == "unsure"
    assert of(made, "model-quality", low).verdict == "healthy"
    point = next(each for each in made.trend if each.monitor == "model-quality")
    assert (made.verdict, point.verdict) == ("unsure", "unsure")


def test_outcomes_that_are_no_class_are_not_said_to_be_unknown(baseline: Learnt) -> None:
    few = outcomes(scored(40))
    known = replace(few, feedback=few.feedback.model_copy(update={"outcomes": 4000}))
    (reason,) = of(report(baseline, Seen(), known), "model-quality").reasons
    assert reason.startswith("40 of 4000 known outcomes are of a class or a number, it takes 100")


@pytest.mark.parametrize("empty", ["facets", "limits"])
def test_groups_that_nobody_compares_are_not_treated_alike(baseline: Learnt, empty: str) -> None:
    bias = {"facets": {"region": ["north"]}, "limits": {"DPPL": 0.15}} | {empty: {}}
    found = of(report(baseline, Seen(), outcomes(scored(4000)), bias=bias), "bias")
    assert found.verdict == "unsure"
    assert f"monitoring.bias.{empty} is empty" in found.reasons[0]


def test_mistakes_may_cost_too_much_though_quality_holds(baseline: Learnt) -> None:
    limits = {"quality": {"cost_per_prediction": 40}}
    found = of(report(baseline, Seen(), outcomes(scored(4000)), **limits), "business")
    assert found.verdict == "drifted"
    assert found.numbers["cost_per_prediction"] > 40
    assert found.baseline["cost_per_prediction"] > 40


def test_a_group_that_is_favoured_is_bias_if_both_groups_have_rows(baseline: Learnt) -> None:
    unfair = outcomes(scored(4000, unfair=0.6))
    found = of(report(baseline, Seen(), unfair, **ALL), "bias")
    assert found.verdict == "drifted"
    assert found.reasons[0].startswith("region: DPPL is -0.")
    assert "held out" in found.reasons[0]
    few = of(report(baseline, Seen(), outcomes(scored(150, unfair=0.6)), **ALL), "bias")
    assert few.verdict == "unsure"
    assert "of each to tell" in few.reasons[0]


def test_features_that_change_their_ranks_are_named(baseline: Learnt) -> None:
    live = Attributions(rows=100, features={"car_value": 0.1, "salary": 1.0, "tenure": 3.0})
    found = of(report(baseline, Seen(), live=live, **ALL), "attribution-drift")
    assert found.verdict == "drifted"
    assert "car_value is number 3, it was number 1" in found.reasons
    few = live.model_copy(update={"rows": 19})
    assert of(report(baseline, Seen(), live=few, **ALL), "attribution-drift").verdict == "unsure"


def test_without_a_baseline_only_limits_of_their_own_are_judged(folder: Path) -> None:
    made = report(None, loans(folder, 1500), outcomes(scored(4000)), **ALL)
    verdicts = {m.monitor: m.verdict for m in made.monitors}
    assert {v for m, v in verdicts.items() if m not in ("business", "bias")} == {"unsure"}
    assert verdicts["business"] == "healthy"


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        ("", "drifted", True),
        ("", "healthy", False),
        ("", "unsure", False),
        ("healthy", "drifted", True),
        ("drifted", "drifted", False),
        ("drifted", "healthy", True),
        ("drifted", "unsure", False),
        ("drifted unsure unsure", "drifted", False),
        ("drifted unsure", "healthy", True),
        ("healthy unsure", "healthy", False),
    ],
)
def test_drift_is_news_when_it_begins_and_when_it_ends(
    folder: Path, before: str, now: Verdict, news: bool
) -> None:
    made = report(None, loans(folder, 100))
    verdicts = [*before.split(), now]
    trend = [
        TrendPoint(at=f"2026-11-22T{hour:02}:00:00Z", monitor="bias", verdict=verdict)
        for hour, verdict in enumerate(verdicts)
    ]
    assert is_news(made.model_copy(update={"trend": trend, "end": trend[-1].at})) is news


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.sampled_from([0, 1, 29, 30, 99]),
    shift=st.sampled_from([0, 500]),
    nulls=st.sampled_from([0, 100]),
    known=st.sampled_from([0, 1, 30, 99]),
    skill=st.sampled_from([-3.0, 3.0]),
)
def test_too_little_data_is_unsure_whatever_it_looks_like(
    baseline: Learnt, folder: Path, rows: int, shift: float, nulls: int, known: int, skill: float
) -> None:
    """Invariant 37."""
    seen = loans(folder, rows, shift=shift, nulls=nulls) if rows else Seen()
    live = Attributions(rows=rows, features={"tenure": 1.0})
    low = Segment(column="salary", value="low")
    seen = Seen(seen.inputs, seen.predictions, {low: seen})
    of_few = outcomes(scored(known, skill=skill))
    made = report(baseline, seen, of_few, live, segments=["salary"], **ALL)
    assert {m.verdict for m in made.monitors} == {"unsure"}
    assert made.verdict == "unsure"
    assert all(m.reasons and all(m.reasons) for m in made.monitors)
    columns = [c.verdict for m in made.monitors for c in m.columns]
    assert set(columns) <= {"unsure"}
