"""Looks at a model on moto's AWS: one run at a time whoever looks, and nothing is lost."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from headrace.aws.answers import note_request
from headrace.aws.bus import Bus
from headrace.aws.executions import Executions
from headrace.aws.ledger import Ledger
from headrace.aws.registry import find_run
from headrace.aws.retraining import Trainer, look
from headrace.aws.storage import Location
from headrace.aws.training_reconciliation import reconcile_runs
from headrace.errors import TrainingError
from headrace.events import RetrainingRequested
from headrace.monitoring.layout import latest_report_key
from headrace.projects import archive_key, build_archive
from headrace.records import OutcomesRecord, Record, RequestRecord, RunRecord, model_partition
from tests.unit import world
from tests.unit.world import MODEL, World

MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:headrace-training"


class States:
    """Step Functions, as far as executions are started and looked up."""

    class exceptions:  # noqa: N801 — boto3's spelling
        class ExecutionAlreadyExists(Exception):  # noqa: N818
            pass

        class ExecutionDoesNotExist(Exception):  # noqa: N818
            pass

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.dies = False

    def start_execution(self, **request: Any) -> None:
        if self.dies:
            raise TimeoutError("the function died here")
        self.status.setdefault(request["name"], "RUNNING")

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:  # noqa: N803
        name = executionArn.rpartition(":")[2]
        if name not in self.status:
            raise self.exceptions.ExecutionDoesNotExist
        return {"status": self.status[name]}


class Events:
    """EventBridge, which remembers what was announced."""

    def __init__(self) -> None:
        self.announced: list[str] = []

    def put_events(self, *, Entries: list[dict[str, str]]) -> dict[str, int]:  # noqa: N803
        self.announced += [entry["DetailType"] for entry in Entries]
        return {"FailedEntryCount": 0}


class Stage:
    """A model, and what happens to it."""

    def __init__(self, here: World, folder: Path) -> None:
        self.here, self.folder = here, folder
        self.states, self.events = States(), Events()
        self.aws = self.trainer(here.ledger)
        self._numbers = itertools.count(1)

    def trainer(self, ledger: Ledger) -> Trainer:
        executions = Executions(MACHINE, self.states)
        bus = Bus("headrace", self.events)
        return Trainer(self.here.settings, ledger, self.here.storage, executions, bus)

    def publish(self, **retraining: Any) -> None:
        section = {"name": MODEL, "data": {"label": "defaulted"}, "retraining": retraining}
        (self.folder / "model.yaml").write_text(yaml.safe_dump(section))
        archive = build_archive(self.folder)
        place = Location("headrace-data", archive_key(MODEL, archive.version))
        self.here.storage.put_bytes(place, archive.content, "application/gzip")
        self.here.ledger.put(world.model_record(project_version=archive.version))

    def accept(self) -> str:
        version = f"d{next(self._numbers)}"
        self.here.ledger.put(world.dataset_record(version, ago(minutes=0)))
        return version

    def ask(self, request: str, **more: Any) -> None:
        reason = f"{request} says so"
        event = RetrainingRequested(model=MODEL, request=request, reason=reason, **more)
        note_request(event, self.here.ledger)

    def end(self, status: str = "better", at: str | None = None) -> None:
        run = self.runs()[-1]
        ended = {"status": status, "reason": "judged", "ended_at": at or ago(minutes=0)}
        self.here.ledger.update(run.key(), ended)

    def runs(self) -> list[RunRecord]:
        found = self.here.ledger.query(RunRecord, model_partition(MODEL), "run#")
        return sorted(found, key=lambda run: run.started_at)

    def requests(self) -> dict[str, RequestRecord]:
        found = self.here.ledger.query(RequestRecord, model_partition(MODEL), "request#")
        return {record.request: record for record in found}


def ago(**how_long: float) -> str:
    return (datetime.now(UTC) - timedelta(**how_long)).isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module")
def made() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, world.aws(patch) as found:
        yield found


@pytest.fixture
def stage(made: World, tmp_path: Path) -> Stage:
    made.clear()
    found = Stage(made, tmp_path)
    found.publish()
    return found


class Overtaken(Ledger):
    """A ledger on which somebody else is faster, once, just before a run is claimed."""

    def __init__(self, here: World, somebody: Callable[[], object]) -> None:
        super().__init__("ledger", here.dynamodb)
        self._somebody: Callable[[], object] | None = somebody

    def create_guarded(self, record: Record, guard: Record, expect: Any) -> bool:
        somebody, self._somebody = self._somebody, None
        if somebody:
            somebody()
        return super().create_guarded(record, guard, expect)


def test_a_dataset_starts_one_run_however_often_it_is_told(stage: Stage) -> None:
    """Invariants 2 and 15."""
    version = stage.accept()
    seen = [look(MODEL, stage.aws) for _ in range(3)]
    assert [each.verdict for each in seen] == ["train", "no", "no"]
    (run,) = stage.runs()
    assert run.run == seen[0].run
    assert (run.status, run.cause) == ("training", "drop d1 was accepted: 1,000 new rows")
    assert (run.requested_by, run.dataset_versions) == (["data"], [version])
    assert stage.states.status == {run.run: "RUNNING"}
    assert run.execution_arn == f"{MACHINE.replace('stateMachine', 'execution')}:{run.run}"


def test_what_comes_during_a_run_shares_the_next_one(stage: Stage) -> None:
    stage.accept()
    look(MODEL, stage.aws)
    second, third = stage.accept(), stage.accept()
    assert look(MODEL, stage.aws).verdict == "wait"
    stage.end()
    assert look(MODEL, stage.aws).verdict == "train"
    _, run = stage.runs()
    assert run.covers(second)
    assert run.covers(third)
    assert run.cause == "drops d2, d3 were accepted: 2,000 new rows"
    stage.end("failed")
    assert look(MODEL, stage.aws).verdict == "no"  # people are told; data alone do not insist
    # What was set aside is not learnt from, and what was taken back is, once there is a reason.
    key = world.dataset_record(third, "").key()
    stage.here.ledger.update(key, {"set_aside": "spoilt"})
    assert look(MODEL, stage.aws).verdict == "no"


def test_of_two_who_decide_at_once_one_starts_a_run(stage: Stage) -> None:
    stage.accept()

    def somebody() -> None:
        stage.accept()  # so that the two would train on other data, by another name
        assert look(MODEL, stage.aws).verdict == "train"

    overtaken = stage.trainer(Overtaken(stage.here, somebody))
    assert look(MODEL, overtaken).verdict == "no"
    assert [run.dataset_versions for run in stage.runs()] == [["d1", "d2"]]


def test_a_run_whose_decider_died_is_started_by_the_next_look(stage: Stage) -> None:
    """The request it answers is answered by it, though nobody wrote that down."""
    stage.accept()
    stage.ask("a")
    stage.states.dies = True
    with pytest.raises(TimeoutError):
        look(MODEL, stage.aws)
    stage.states.dies = False
    (run,) = stage.runs()
    assert stage.states.status == {}
    assert stage.requests()["a"].answer is None
    assert look(MODEL, stage.aws).verdict == "no"
    assert stage.states.status == {run.run: "RUNNING"}
    told = stage.requests()["a"]
    assert (told.answer, told.run) == ("trained", run.run)


def test_requests_are_answered_and_a_refusal_is_told_once(stage: Stage) -> None:
    stage.publish(rows=None)
    stage.ask("early")
    look(MODEL, stage.aws)
    assert stage.requests()["early"].reasons == ["there is no dataset to train on: drop one"]
    stage.accept()
    assert look(MODEL, stage.aws).verdict == "no"
    for name in ("a", "b"):
        stage.ask(name)
        look(MODEL, stage.aws)
    stage.ask("insists", by="hand", person="arn:ann", again=True)
    look(MODEL, stage.aws)
    first = stage.runs()[0].run
    answers = {name: (r.answer, r.run) for name, r in stage.requests().items()}
    assert answers["a"] == answers["b"] == ("trained", first)
    assert answers["insists"] == ("waiting", None)
    stage.end()
    look(MODEL, stage.aws)
    second = stage.runs()[1]
    assert (second.requested_by, second.cause) == (["arn:ann"], "by hand: insists says so")
    assert second.data_hash == stage.runs()[0].data_hash
    told = stage.requests()["insists"]
    assert (told.answer, told.run) == ("trained", second.run)
    stage.end()
    for name in ("c", "d", "c"):
        stage.ask(name)
        look(MODEL, stage.aws)
    assert {stage.requests()[name].answer for name in "cd"} == {"refused"}
    # People hear once that there is nothing to train on, and once that there is nothing new.
    assert stage.events.announced == ["RetrainingRefused"] * 2


def test_a_refusal_whose_announcement_was_lost_is_announced_later(stage: Stage) -> None:
    stage.ask("a")
    look(MODEL, stage.aws)
    changes = {"told": False, "answered_at": ago(minutes=2)}
    stage.here.ledger.update(stage.requests()["a"].key(), changes)
    for _ in range(2):
        look(MODEL, stage.aws)
    assert stage.events.announced == ["RetrainingRefused"] * 2


def test_a_request_for_a_model_nobody_published_is_a_fault(stage: Stage) -> None:
    stage.here.clear()
    with pytest.raises(TrainingError, match="headrace publish"):
        stage.ask("a")
    assert look(MODEL, stage.aws).verdict == "no"


class Jobs:
    """SageMaker, whose jobs all run."""

    exceptions = type("Exceptions", (), {"ClientError": ClientError})

    def __init__(self) -> None:
        self.stopped: list[str] = []

    def describe_training_job(self, **_: str) -> dict[str, str]:
        return {"TrainingJobStatus": "InProgress"}

    def stop_training_job(self, **job: str) -> None:
        self.stopped.append(job["TrainingJobName"])


def test_the_reconciler_finds_what_no_event_told(stage: Stage) -> None:
    """Invariant 5: the run's end, and the dataset that came meanwhile."""
    jobs = Jobs()
    stage.accept()
    look(MODEL, stage.aws)
    (first,) = stage.runs()
    stage.accept()
    assert reconcile_runs(stage.aws, jobs) == ([], [])  # it is young
    stage.here.ledger.update(first.key(), {"started_at": ago(hours=1)})
    assert reconcile_runs(stage.aws, jobs) == ([], [])  # it runs
    stage.states.status[first.run] = "TIMED_OUT"
    (started,), closed = reconcile_runs(stage.aws, jobs)
    assert closed == [first.run]
    assert jobs.stopped == [first.training_job]
    assert stage.events.announced == ["JourneyFailed"]
    ended = find_run(stage.here.ledger, MODEL, first.run)
    assert ended is not None
    assert ended.status == "failed"
    assert stage.runs()[1].run == started
    assert stage.runs()[1].dataset_versions == ["d1", "d2"]


def test_outcomes_and_live_quality_are_read_since_the_last_run(stage: Stage) -> None:
    stage.accept()
    look(MODEL, stage.aws)
    stage.end(at=ago(hours=7))
    stage.accept()
    stage.publish(rows=None, outcomes=5, metric={"recall": 0.8})
    assert look(MODEL, stage.aws).verdict == "no"
    for number, recorded_at in enumerate((ago(hours=8), ago(minutes=0))):
        stage.here.ledger.put(
            OutcomesRecord(
                model=MODEL,
                digest=f"o{number}",
                status="accepted",
                object_key="outcomes/x",
                version_id="v",
                received_at=recorded_at,
                recorded_at=recorded_at,
                rows=4,
            )
        )
    assert look(MODEL, stage.aws).verdict == "no"  # four are older than the last run
    report = {
        "model": MODEL,
        "endpoint": "e",
        "package_version": 1,
        "run": "r",
        "verdict": "drifted",
        "reasons": [],
        **dict.fromkeys(("start", "end", "made_at"), ago(minutes=0)),
    }
    monitor = {"monitor": "model-quality", "verdict": "unsure", "reasons": [], "rows": 9}
    for verdict in ("unsure", "drifted"):
        numbers = {"recall": 0.7}
        monitors = [{**monitor, "verdict": verdict, "numbers": numbers}]
        place = Location("headrace-artifacts", latest_report_key(MODEL))
        stage.here.storage.put_json(place, report | {"monitors": monitors})
        seen = look(MODEL, stage.aws)
    assert len(stage.runs()) == 2
    assert (seen.verdict, seen.reasons) == ("train", ["live recall is 0.7, worse than 0.8"])
