"""Drift, alarm, retraining, a new version: what may follow from one another, and what cannot.

The policies and the adapters of alarms are the real ones; the clock, CloudWatch's evaluation and
the training are made up.
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from headrace.aws.alarms import ringing_monitors
from headrace.aws.monitoring.alarms import ensure_monitor_alarms
from headrace.deployment.alarms import kind_of
from headrace.monitoring.judging import Learnt, Scored
from headrace.monitoring.report import Report
from headrace.recovery import Choice, Earlier, Recovery, Situation, choose
from headrace.retraining import Request, Retraining, Run, decide
from headrace.retraining import Situation as TrainingSituation
from tests.unit.deployment.alarmed import Alarmed
from tests.unit.monitoring.judged import SUBJECT, loans, report
from tests.unit.world import definition, settings

START = datetime(2026, 11, 22, tzinfo=UTC)
ENDPOINT = SUBJECT.endpoint
COOLDOWN = Recovery().cooldown


class Story:
    """An endpoint whose callers' data moved; an hour is a window."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alarmed = Alarmed()
        self.version, self.learnt, self.live_since = 1, 0.0, START - timedelta(days=9)
        self.data = "d0"
        self.runs: list[Run] = []
        self.earlier: list[Earlier] = []

    def hour(self, number: int, asked: float) -> Report:
        """Judge what was asked (cars are worth so much more), let alarms ring, and act on it."""
        now = START + timedelta(hours=number)
        baseline = Learnt(loans(self.folder, 600, shift=self.learnt), Scored(), None)
        seen = report(baseline, loans(self.folder, 600, seed=1, shift=asked), predictions=None)
        seen = seen.model_copy(update={"package_version": self.version})
        ensure_monitor_alarms(seen, definition(), settings(), self.alarmed)
        for point in seen.trend:
            if point.verdict != "unsure":
                drifted = point.verdict == "drifted"
                name = f"{ENDPOINT}/{point.monitor}"
                self.alarmed.states[name] = "ALARM" if drifted else "OK"
        if self.hear(now).remedy == "retrain":
            self.train(now, asked)
        return seen

    def hear(self, now: datetime) -> Choice:
        """Choose a remedy for what rings, and remember it."""
        rings = ringing_monitors(ENDPOINT, self.version, self.alarmed)
        case = Situation(
            now=now,
            rings=frozenset(kind_of(name, ENDPOINT) for name in rings),
            live_version=self.version,
            live_since=self.live_since,
            last_good=self.version - 1 or None,
            earlier=tuple(self.earlier),
        )
        choice = choose(case, Recovery())
        if choice.remedy != "wait":
            self.earlier.append(Earlier(choice.remedy, now))
        return choice

    def train(self, now: datetime, learns: float) -> None:
        """Ask for a run; it ends at once, and its version serves."""
        case = TrainingSituation(
            now=now,
            data=self.data,
            project_version="p1",
            runs=tuple(self.runs),
            requests=(Request(f"r{now}", "recovery", "feature-drift"),),
        )
        if decide(case, Retraining()).verdict != "train":
            return
        self.runs.append(Run(f"run{len(self.runs)}", "better", self.data, "p1", now, now))
        self.version, self.learnt, self.live_since = self.version + 1, learns, now


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loans")


def test_one_move_of_the_data_is_one_run_and_then_silence(folder: Path) -> None:
    """Invariant 39: the new version is held against what it learnt, so nothing rings about it."""
    story = Story(folder)
    verdicts = [story.hour(n, asked=0 if n < 2 else 60).verdict for n in range(24)]
    assert len(story.runs) == 1
    assert story.version == 2
    assert verdicts == ["healthy"] * 2 + ["drifted"] + ["healthy"] * 21


def test_the_alarm_of_the_version_before_says_nothing_of_the_next(folder: Path) -> None:
    """Invariant 39: even before its first window, when the old alarm still rings."""
    story = Story(folder)
    story.hour(0, asked=60)
    assert "ALARM" in story.alarmed.states.values()
    assert ringing_monitors(ENDPOINT, story.version, story.alarmed) == []
    story.earlier = []
    assert story.hear(START + timedelta(minutes=1)).reasons == ["nothing rings any more"]


def test_data_that_never_stop_moving_train_once_a_cooldown(folder: Path) -> None:
    """Invariants 38 and 39, at the worst: each new version is outdated when it goes live."""
    story = Story(folder)
    for n in range(24):
        story.data = f"d{n}"
        story.hour(n, asked=60 * (n % 4 + 1))
    times = [run.started_at for run in story.runs]
    assert len(times) == 24 * 3600 // COOLDOWN
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert min(gaps) >= timedelta(seconds=COOLDOWN)
    assert all(choice.remedy == "retrain" for choice in story.earlier)


def test_drift_without_new_data_trains_once_however_long_it_rings(folder: Path) -> None:
    """Invariant 39: the same data again would come to the same again."""
    story = Story(folder)
    for n in range(14):
        story.hour(n, asked=60)
        story.learnt = 0  # what is dropped is not what is asked
    assert len(story.runs) == 1


def test_a_storm_of_alarms_is_one_run(folder: Path) -> None:
    """Invariant 38: every second for ten minutes."""
    story = Story(folder)
    story.hour(0, asked=60)
    story.version, story.earlier, story.runs = 1, [], []
    for second in range(600):
        now = START + timedelta(seconds=second)
        if story.hear(now).remedy != "wait":
            story.train(now, learns=0)
            story.version = 1  # it is still being trained
    assert len(story.runs) == 1
