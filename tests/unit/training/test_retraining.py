"""The decision on retraining: a table of cases, and months of trouble on a simulated clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import ValidationError

from headrace.definition import METRICS
from headrace.monitoring.section import MEASURED
from headrace.retraining import (
    Answer,
    Arrival,
    Decision,
    Quality,
    Request,
    Retraining,
    Run,
    Situation,
    decide,
)
from tests.unit import world

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ran(name: str = "r1", data: str = "d1", status: Any = "better", ago: float = 24.0) -> Run:
    ended = None if status == "training" else NOW - ago * HOUR
    return Run(name, status, data, "p1", NOW - (ago + 1) * HOUR, ended, 3600.0)


BEFORE = (ran(),)


def case(*requests: Request, data: str | None = "d2", runs: Any = BEFORE, **more: Any) -> Any:
    return Situation(NOW, data, more.pop("project", "p1"), runs, requests, **more)


DRIFT = Request("a", "recovery", "alarms: drift")
FAILED = tuple(ran(f"r{n}", status="failed") for n in range(3))
BAD = {"data": "d1", "quality": Quality(NOW, {"recall": 0.1})}
BY_HAND = Request("b", "hand", "Ann is curious", person="arn:ann")
INSISTS = BY_HAND._replace(again=True)
NEW = (Arrival("may", 1000),)
RUNS_A_DAY = Retraining(rows=None, budget="1 runs/day", cooldown=0)
DEAR = Retraining(rows=None, budget="0.25 USD/day", cooldown=0)


@pytest.mark.parametrize(
    ("situation", "policy", "verdict", "told"),
    [
        (case(), {}, "no", "nothing asks"),
        (case(arrivals=NEW), {}, "train", "drop may was accepted: 1,000 new rows"),
        (case(arrivals=NEW * 2), {"rows": 2000}, "train", "drops may, may were accepted: 2,000"),
        (case(arrivals=NEW), {"rows": 2000}, "no", "nothing asks"),
        (case(arrivals=NEW), {"rows": None}, "no", "nothing asks"),
        (case(arrivals=NEW, runs=(ran(ago=1),)), {}, "train", "may"),  # data need not cool down
        (case(arrivals=NEW, runs=(ran(status="training"),)), {}, "wait", "r1 is in flight"),
        (case(DRIFT), {}, "train", "alarms: drift"),
        (case(DRIFT), {"drift": False}, "no", "nothing asks"),
        (case(DRIFT, runs=(ran(ago=5),)), {}, "wait", "6 h after run r1 lasts until 2026-11-22 13"),
        (case(DRIFT, runs=(ran(ago=7),)), {}, "train", "drift"),
        (case(DRIFT, arrivals=NEW, runs=(ran(ago=5),)), {}, "train", "may"),
        (case(DRIFT, data="d1"), {}, "no", "nothing asks"),
        (case(DRIFT, data="d1", runs=(ran(status="failed"),)), {}, "train", "drift"),
        (case(data="d1", runs=(ran(status="failed"),)), {}, "no", "nothing asks"),
        # What fails for ever is not tried for ever.
        (case(**BAD, runs=FAILED[:2]), {"metric": {"recall": 0.8}}, "train", "recall is 0.1"),
        (case(**BAD, runs=FAILED), {"metric": {"recall": 0.8}}, "no", "nothing asks"),
        (case(DRIFT, data="d1", runs=FAILED), {}, "no", "nothing asks"),
        (case(BY_HAND, data="d1", runs=FAILED), {}, "train", "by hand"),
        (case(BY_HAND, runs=(ran(ago=1),)), {}, "train", "by hand: Ann is curious"),
        (case(BY_HAND, data="d1"), {}, "no", "nothing asks"),
        (case(INSISTS, data="d1"), {}, "train", "by hand"),
        (case(INSISTS, data="d1", runs=(ran(status="training"),)), {}, "wait", "in flight"),
        (case(DRIFT._replace(again=True), data="d1"), {}, "no", "nothing asks"),
        (case(data="d1", project="p2"), {"project": True}, "train", "version p2 was published"),
        (case(data="d1", project="p2"), {}, "no", "nothing asks"),
        (case(outcomes=99), {"outcomes": 99}, "train", "99 outcomes came"),
        (case(outcomes=98), {"outcomes": 99}, "no", "nothing asks"),
        (case(outcomes=99, runs=(ran(ago=1),)), {"outcomes": 99}, "wait", "cooldown"),
        (
            case(quality=Quality(NOW, {"recall": 0.75})),
            {"metric": {"recall": 0.8}},
            "train",
            "0.75",
        ),
        (case(quality=Quality(NOW, {"recall": 0.85})), {"metric": {"recall": 0.8}}, "no", ""),
        (case(quality=Quality(NOW, {"brier": 0.3})), {"metric": {"brier": 0.2}}, "train", "0.3"),
        (case(quality=Quality(NOW, {"recall": None})), {"metric": {"recall": 0.8}}, "no", ""),
        (
            # The last run was the answer to that report.
            case(quality=Quality(NOW - 30 * HOUR, {"recall": 0.1})),
            {"metric": {"recall": 0.8}},
            "no",
            "nothing asks",
        ),
        (case(arrivals=NEW, data=None, runs=()), {}, "no", "nothing asks"),
        (case(DRIFT, runs=(ran(ago=2),)), RUNS_A_DAY, "wait", "1 runs of 1 runs/day are spent"),
        (case(DRIFT, runs=(ran(ago=13),)), RUNS_A_DAY, "train", "drift"),
        (case(arrivals=NEW, runs=(ran(ago=2),)), RUNS_A_DAY, "no", "nothing asks"),
        (case(BY_HAND, runs=(ran(ago=2),)), RUNS_A_DAY, "train", "by hand"),
        # An hour of ml.m5.large is 0.115 USD.
        (case(DRIFT, runs=(ran(ago=2),)), DEAR, "train", "drift"),
        (case(DRIFT, runs=(ran(ago=3), ran(ago=2))), DEAR, "wait", "0.23 USD of 0.25 USD/day"),
        (case(DRIFT, instance_type="ml.m5.4xlarge"), DEAR, "no", "one run is about 0.92 USD"),
    ],
)
def test_the_verdict_and_why(situation: Situation, policy: Any, verdict: str, told: str) -> None:
    decision = decide(situation, Retraining.model_validate(policy))
    assert decision.verdict == verdict, decision
    assert told in "; ".join(decision.reasons)


def answer(situation: Situation, **policy: Any) -> Answer:
    (found,) = decide(situation, Retraining(**policy)).answers
    return found


def test_every_request_is_told_what_comes_of_it() -> None:
    """A run that is under way answers who asks for the same; who insists waits for its end."""
    assert (answer(case(DRIFT)).answer, answer(case(DRIFT)).run) == ("trained", None)
    flying = case(DRIFT, data="d1", runs=(ran(status="training"),))
    assert (answer(flying).answer, answer(flying).run) == ("trained", "r1")
    assert answer(flying._replace(requests=(INSISTS,))).answer == "waiting"
    same = answer(case(BY_HAND, data="d1"))
    assert same.answer == "refused"
    assert "run r1 learnt from the same data" in same.reasons[0]
    assert answer(case(DRIFT), drift=False).answer == "refused"
    assert "no dataset" in answer(case(BY_HAND, data=None)).reasons[0]
    wanted = decide(case(DRIFT, BY_HAND, arrivals=NEW), Retraining())
    assert wanted.requested_by == ["recovery", "arn:ann", "data"]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"schedule": "hourly"}, "schedule"),
        ({"budget": "20 EUR/day"}, "budget"),
        ({"metric": {"beauty": 1}}, "'beauty' is not measured"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(section: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        world.definition(retraining=section)


def test_a_budget_in_money_needs_a_price() -> None:
    section = {"instance_type": "ml.p5.48xlarge"}
    with pytest.raises(ValidationError, match="no price of"):
        world.definition(retraining={"budget": "20 USD/day"}, training=section)
    world.definition(retraining={"budget": "20 runs/day"}, training=section)


def test_schedules_are_eventbridge_s() -> None:
    assert Retraining(schedule="monthly").expression == "cron(0 3 1 * ? *)"
    assert Retraining(schedule="rate(12 hours)").expression == "rate(12 hours)"
    assert Retraining().expression is None


def test_of_every_metric_it_is_known_which_values_are_worse() -> None:
    assert {metric for measured in MEASURED.values() for metric in measured} - set(METRICS) == {
        "precision",
        "recall",
    }
    for metric, (greater_is_better, _) in METRICS.items():
        quality = Quality(NOW, {metric: 0.4 if greater_is_better else 0.6})
        asked = decide(case(quality=quality), Retraining(metric={metric: 0.5}))
        assert asked.verdict == "train", metric


class Months:
    """A model under its policy: data, requests and runs as the ledger has them, and a clock."""

    def __init__(self, policy: Retraining) -> None:
        self.policy, self.now, self.project = policy, NOW, "p1"
        self.data: list[str] = []
        self.had: set[str] = set()
        self.runs: list[Run] = []
        self.why: dict[str, Decision] = {}
        self.open: dict[str, Request] = {}
        self.answers: dict[str, Answer] = {}

    def accept(self) -> None:
        self.data.append(f"d{len(self.data) + 1}")
        self.look()

    def ask(self, by: Any = "recovery", *, again: bool = False) -> None:
        name = f"q{len(self.open) + len(self.answers)}"
        self.open[name] = Request(name, by, f"{by} asks", again=again)
        self.look()

    def look(self) -> None:
        case = Situation(
            self.now,
            "+".join(self.data) or None,
            self.project,
            tuple(self.runs),
            tuple(self.open.values()),
            tuple(Arrival(d, 10) for d in self.data if d not in self.had),
            longest_seconds=600,
        )
        decision = decide(case, self.policy)
        if decision.verdict == "train":
            name = f"r{len(self.runs) + 1}"
            self.why[name] = decision
            self.had |= set(self.data)
            self.runs.append(Run(name, "training", str(case.data), self.project, self.now))
        for each in decision.answers:
            if each.answer != "waiting":
                self.answers[each.request] = each
                del self.open[each.request]

    def end(self, status: Any = "better") -> None:
        self.runs[-1] = self.runs[-1]._replace(status=status, ended_at=self.now, seconds=60.0)
        self.look()

    def work(self, *, until: datetime) -> None:
        """Let time pass: runs take a minute, and the reconciler looks every hour."""
        while self.now < until:
            if self.is_training:
                self.now += timedelta(minutes=1)
                self.end()
            else:
                self.now = min(until, self.now + HOUR)
                self.look()

    @property
    def is_training(self) -> bool:
        return bool(self.runs) and self.runs[-1].status == "training"


@pytest.mark.parametrize("data_too", [False, True])
def test_a_drift_storm_gives_one_retrain(*, data_too: bool) -> None:
    """Invariant 38: an alarm every second for ten minutes, also while data come in all the time."""
    model = Months(Retraining(rows=None, budget="2 runs/day"))
    model.accept()
    # With data no request is answered before the storm is over, so each look is at all of them.
    every = 5 if data_too else 1
    for second in range(0, 600, every):
        model.now += timedelta(seconds=every)
        if data_too:
            model.accept()
        model.ask()
        if second == 45:
            model.end()
    assert len(model.runs) == 1
    if not data_too:
        assert not model.open
    # What had to wait causes one run more, once the cooldown is over; nothing is lost.
    model.work(until=NOW + timedelta(days=3))
    assert len(model.runs) == (2 if data_too else 1)
    assert not model.open
    assert len(model.answers) == 600 / every
    if data_too:
        assert model.runs[1].started_at - model.runs[0].started_at >= 6 * HOUR
        assert model.runs[1].data == "+".join(model.data)


@pytest.mark.parametrize(("hours_between_data", "most_a_day"), [(None, 0), (1, 2), (36, 1)])
def test_no_loop_of_retrain_and_alarm(hours_between_data: int | None, most_a_day: int) -> None:
    """Invariant 39: the alarm rings after every run and at every hour, for a month."""
    model = Months(Retraining(rows=None, budget="2 runs/day"))
    model.accept()
    model.ask()
    for hour in range(30 * 24):
        model.work(until=NOW + hour * HOUR)
        if hours_between_data and hour % hours_between_data == 0:
            model.accept()
        model.ask()
    days = [run.started_at.date() for run in model.runs[1:]]
    assert all(days.count(day) <= most_a_day for day in days)
    assert len(model.runs) == len({run.data for run in model.runs})
    assert bool(days) is bool(hours_between_data)


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, and however often somebody looks."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Months(Retraining(budget="40 runs/day", project=True))

    @rule()
    def accept(self) -> None:
        self.model.accept()

    @rule(by=st.sampled_from(["recovery", "schedule", "hand"]), again=st.booleans())
    def ask(self, by: Any, *, again: bool) -> None:
        self.model.ask(by, again=again)

    @rule()
    def publish(self) -> None:
        self.model.project += "'"
        self.model.look()

    @precondition(lambda self: self.model.is_training)
    @rule(status=st.sampled_from(["better", "not better", "failed", "refused"]))
    def end(self, status: Any) -> None:
        self.model.end(status)

    @rule(minutes=st.integers(1, 500))
    def pass_time(self, minutes: int) -> None:
        self.model.now += timedelta(minutes=minutes)

    @rule()
    def look_again(self) -> None:
        """A second look at the same changes nothing."""
        self.model.look()
        before = list(self.model.runs), dict(self.model.answers)
        self.model.look()
        assert (self.model.runs, self.model.answers) == before

    @invariant()
    def one_is_in_flight(self) -> None:
        assert sum(run.status == "training" for run in self.model.runs) <= 1

    @invariant()
    def the_same_again_only_by_hand(self) -> None:
        learnt = set()
        for run in self.model.runs:
            why = self.model.why[run.run]
            if (run.data, run.project_version) in learnt:
                assert "hand" in why.requested_by
            if run.status in ("better", "not better"):
                learnt.add((run.data, run.project_version))

    @invariant()
    def a_run_has_a_reason(self) -> None:
        assert all(why.reasons and why.requested_by for why in self.model.why.values())

    @invariant()
    def what_comes_of_the_model_itself_cools_down(self) -> None:
        ends: list[datetime] = []
        for run in self.model.runs:
            patient = set(self.model.why[run.run].requested_by) <= {"recovery", "schedule"}
            if patient and ends:
                assert run.started_at - max(ends) >= 6 * HOUR
            if run.ended_at:
                ends.append(run.ended_at)

    def teardown(self) -> None:
        """In the end all data were had and every request is answered; then all is quiet."""
        model = self.model
        model.work(until=model.now + timedelta(days=3))
        assert not model.is_training
        assert not model.open
        assert model.had == set(model.data)
        runs = len(model.runs)
        model.work(until=model.now + timedelta(days=3))
        assert len(model.runs) == runs


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
