"""Moments, activities and legs: what the ledger and execution histories are read as."""

from datetime import UTC, datetime, timedelta

import pytest

from headrace.records import (
    DatasetRecord,
    DeploymentRecord,
    DropRecord,
    ModelRecord,
    ProjectRecord,
    RequestRecord,
    RunRecord,
)
from headrace_cli.journey import (
    Journey,
    activities,
    between,
    moments,
    numbers,
    run_on,
    state_now,
    transitions,
    waited_seconds,
)
from headrace_cli.watching import is_due


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02d}.000Z"


MODEL = ModelRecord(
    model="m",
    project_version="v",
    published_at=at(0),
    endpoint="e",
    package_group="g",
    approval="manual",
)


def drop(**more) -> DropRecord:
    return DropRecord.model_validate(
        {"model": "m", "drop": "d", "state": "open", "first_seen_at": at(1), "last_seen_at": at(2)}
        | more
    )


def dataset(version: str = "aaaa", accepted_at: str = at(5)) -> DatasetRecord:
    return DatasetRecord(
        model="m",
        dataset_version=version,
        drop="d",
        uri="s3://b/k",
        rows=10,
        files=1,
        accepted_at=accepted_at,
    )


def run(**more) -> RunRecord:
    return RunRecord.model_validate(
        {
            "model": "m",
            "run": "r",
            "status": "training",
            "reason": "dataset accepted",
            "dataset_version": "aaaa",
            "project_version": "v",
            "execution_arn": "arn:run",
            "training_job": "job",
            "started_at": at(6),
        }
        | more
    )


def deployment(**more) -> DeploymentRecord:
    return DeploymentRecord.model_validate(
        {
            "model": "m",
            "deployment": "m-v1-x",
            "status": "deploying",
            "endpoint": "e",
            "package_arn": "arn:g/1",
            "package_version": 1,
            "execution_arn": "arn:deployment",
            "cause": "approved",
            "started_at": at(20),
        }
        | more
    )


def journey(**more) -> Journey:
    kinds = ("projects", "drops", "datasets", "runs", "deployments", "recoveries", "pauses")
    nothing = {kind: [] for kind in (*kinds, "requests")}
    return Journey(**({"model": MODEL, "endpoint": None} | nothing | more))


def test_the_whole_journey_in_order() -> None:
    found = moments(
        journey(
            projects=[
                ProjectRecord(
                    model="m",
                    project_version="v",
                    uri="s3://b/p",
                    status="published",
                    published_at=at(0),
                )
            ],
            drops=[
                drop(
                    state="accepted",
                    sealed_at=at(3),
                    ended_at=at(5),
                    dataset_version="aaaa",
                    rows=1000,
                    files=3,
                    quarantined_files=1,
                )
            ],
            runs=[
                run(
                    status="better",
                    ended_at=at(16),
                    metric="roc_auc",
                    candidate_value=0.8,
                    baseline_value=0.7,
                    package_arn="arn:g/1",
                )
            ],
            deployments=[deployment(status="live", ended_at=at(25))],
        )
    )
    assert [(m.stage, m.verdict) for m in found] == [
        ("projects", "published"),
        ("datasets", ""),
        ("datasets", ""),
        ("datasets", "accepted"),
        ("training", ""),
        ("training", "better"),
        ("deployment", ""),
        ("deployment", "live"),
    ]
    assert "1,000 rows in 3 files" in found[3].text
    assert "quarantined 1 files" in found[3].text
    assert "roc_auc 0.8000 against baseline 0.7000" in found[5].text
    assert "registered as v1" in found[5].text
    assert len({m.id for m in found}) == len(found)


def test_moments_from_a_time_on() -> None:
    found = moments(journey(drops=[drop(sealed_at=at(3))]), since=at(2))
    assert [m.at for m in found] == [at(3)]


def test_what_goes_on_is_what_has_no_verdict() -> None:
    found = activities(
        journey(
            drops=[drop(state="sealed", execution_arn="arn:drop"), drop(state="accepted")],
            runs=[run(), run(status="failed")],
            deployments=[deployment(), deployment(status="live")],
        )
    )
    assert [(a.stage, a.execution_arn) for a in found] == [
        ("datasets", "arn:drop"),
        ("training", "arn:run"),
        ("deployment", "arn:deployment"),
    ]


def test_a_new_dataset_without_a_run_is_due_for_a_while() -> None:
    fresh = datetime.now(UTC).isoformat()
    assert is_due(journey(datasets=[dataset(accepted_at=fresh)]))
    assert not is_due(journey(datasets=[dataset(accepted_at=fresh)], runs=[run()]))
    assert not is_due(journey(datasets=[dataset(accepted_at=at(5))]))
    assert not is_due(journey())
    # The run that ends now hands over to the next one, which takes up what came meanwhile.
    late = [dataset(), dataset("bbbb")]
    assert is_due(journey(datasets=late, runs=[run(status="better", ended_at=fresh)]))
    assert not is_due(journey(datasets=late, runs=[run(status="better", ended_at=at(9))]))
    covering = run(dataset_version="bbbb", dataset_versions=["aaaa", "bbbb"])
    assert not is_due(journey(datasets=late, runs=[covering]))
    asked = {"model": "m", "request": "q", "by": "hand", "reason": "why not", "asked_at": fresh}
    assert is_due(journey(requests=[RequestRecord.model_validate(asked)]))
    answered = RequestRecord.model_validate(asked | {"answer": "refused"})
    assert not is_due(journey(requests=[answered]))


def test_the_run_of_a_dataset_is_the_first_that_learns_from_it() -> None:
    shared = run(run="r2", dataset_version="cccc", dataset_versions=["aaaa", "bbbb", "cccc"])
    found = journey(runs=[run(status="better"), shared])
    assert run_on(found, "aaaa") == found.runs[0]
    assert run_on(found, "bbbb") is None  # it has not ended
    ended = shared.model_copy(update={"status": "better"})
    assert run_on(journey(runs=[run(status="better"), ended]), "bbbb") == ended


def test_requests_and_answers_are_told() -> None:
    request = RequestRecord(
        model="m",
        request="q",
        by="hand",
        person="arn:ann",
        reason="why not",
        asked_at=at(1),
        answer="refused",
        reasons=["there is no dataset"],
        answered_at=at(2),
    )
    asked, answered = moments(journey(requests=[request]))
    assert asked.text == "asked for by arn:ann: why not"
    assert (answered.verdict, answered.text) == ("refused", "there is no dataset")


def test_numbers_of_a_run_without_any_are_silent() -> None:
    assert numbers(run()) == ""
    assert numbers(run(metric="roc_auc", candidate_value=0.5)) == "roc_auc 0.5000"


def test_between_reads_the_ledger_s_times() -> None:
    assert between(at(1), at(3)) == 2.0
    assert between(datetime.now(UTC).isoformat(), None) == pytest.approx(0, abs=5)


def event(kind: str, second: float, state: str = "", resource: str = "") -> dict:
    when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    details = {"stateEnteredEventDetails": {"name": state}} if state else {}
    if resource:
        details = {"taskScheduledEventDetails": {"resource": resource}}
    return {"type": kind, "timestamp": when, **details}


HISTORY = [
    event("ExecutionStarted", 0),
    event("TaskStateEntered", 0, "PlanRun"),
    event("TaskScheduled", 0, resource="invoke"),
    event("TaskStarted", 0),
    event("TaskSucceeded", 1),  # an ordinary task is not waited for
    event("TaskStateExited", 1),
    event("TaskStateEntered", 1, "TrainCandidate"),
    event("TaskScheduled", 1, resource="createTrainingJob.sync"),
    event("TaskStarted", 1),
    event("TaskSubmitted", 2),
    event("TaskSucceeded", 12),
    event("TaskStateExited", 12),
    event("TaskStateEntered", 12, "DeployEndpoint"),
    # The local AWS tells the whole resource, and says nothing of its submission.
    event("TaskScheduled", 12, resource="arn:aws:states:::lambda:invoke.waitForTaskToken"),
    event("TaskTimedOut", 15),
    event("ChoiceStateEntered", 15, "IsCandidateBetter"),
]


def test_an_execution_s_history() -> None:
    assert waited_seconds(HISTORY) == 10.0 + 3.0
    assert state_now(HISTORY) == "IsCandidateBetter"
    assert state_now([]) == ""
    assert transitions(HISTORY) == 5
