"""Retraining: what the ledger says of a model, the decision on it, and at most one run at a time.

Every event that may start a run is only a reason to look. A run exists from the moment it is
decided: its record is written together with the model's turn, so of two who decide at once one
looks again and finds it in flight.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import Field

from headrace.aws.answers import answered_by_runs, tell
from headrace.aws.bus import Bus
from headrace.aws.executions import Executions
from headrace.aws.ledger import Ledger
from headrace.aws.projects import find_model, load_definition
from headrace.aws.runs import RunRequest
from headrace.aws.storage import Location, Storage
from headrace.definition import ModelDefinition
from headrace.errors import LedgerBusyError
from headrace.monitoring.layout import latest_report_key
from headrace.monitoring.report import Report
from headrace.names import run_id
from headrace.records import (
    DatasetRecord,
    Key,
    ModelRecord,
    OutcomesRecord,
    RequestRecord,
    RunRecord,
    TurnRecord,
    model_partition,
    now,
)
from headrace.retraining import Arrival, Decision, Quality, Request, Run, Situation, decide
from headrace.settings import Settings
from headrace.training.plan import choose_datasets, data_hash, job_name

ASKED_FOR = "asked for"
"""Reason of a run that is not planned yet."""
_LOOKS = 5
_MOST_BYTES = 64 << 20  # of a report


class StartRunSettings(Settings):
    """For the functions that start runs."""

    state_machine_arn: str = Field(
        alias="TRAINING_STATE_MACHINE_ARN", description="Started for every run."
    )


class Trainer(NamedTuple):
    """What retraining needs of AWS."""

    settings: Settings
    ledger: Ledger
    storage: Storage
    executions: Executions
    bus: Bus


class _Seen(NamedTuple):
    """What the ledger has of a model, at one look."""

    datasets: list[DatasetRecord]
    """What a run would learn from now, oldest first."""
    runs: list[RunRecord]
    """Oldest first."""
    requests: list[RequestRecord]
    turn: TurnRecord | None

    @property
    def open_requests(self) -> list[RequestRecord]:
        """Requests that have no answer, or none that lasts."""
        return [request for request in self.requests if request.answer in (None, "waiting")]


class Look(NamedTuple):
    """What was decided at a look, why, and the run that was started."""

    verdict: Literal["train", "wait", "no"]
    reasons: list[str]
    run: str | None


def look(model: str, aws: Trainer) -> Look:
    """Look at a model, and start the run that is due, if any; answer the requests for one.

    Raises:
        LedgerBusyError: others start runs of this model all the time.
    """
    for _ in range(_LOOKS):
        record = find_model(aws.ledger, model)
        if record is None:
            return Look("no", [f"no project of {model} is published"], None)
        definition = load_definition(aws.storage, aws.settings, model, record.project_version)
        seen = _see(model, definition, aws.ledger)
        for run in seen.runs:
            if run.status == "training" and run.reason == ASKED_FOR:
                start(run, aws.executions)  # who wrote it down may have died before this
        answers = answered_by_runs(seen.open_requests, seen.runs)
        case = _situation(record, definition, seen, set(answers), aws)
        decision = decide(case, definition.retraining)
        started = None
        if decision.verdict == "train":
            started = _claim(record, seen, decision, aws)
            if started is None:
                continue
            start(started, aws.executions)
            answers |= answered_by_runs(seen.open_requests, [started])
        answers = {answer.request: answer for answer in decision.answers} | answers
        tell(seen.requests, list(answers.values()), aws.ledger, aws.bus)
        return Look(decision.verdict, decision.reasons, started.run if started else None)
    raise LedgerBusyError(f"Others start runs of {model} all the time: look again later.")


def start(run: RunRecord, executions: Executions) -> None:
    """Start the execution that a run was written down for; any number of times."""
    if run.execution_arn == executions.arn(run.run):
        request = RunRequest.model_validate(run.model_dump(include=set(RunRequest.model_fields)))
        executions.start(run.run, request.model_dump())


def _see(model: str, definition: ModelDefinition, ledger: Ledger) -> _Seen:
    partition = model_partition(model)
    # The turn first: whoever starts a run after that makes the claim fail.
    turn = ledger.get(TurnRecord, Key(pk="turns", sk=model))
    runs = sorted(ledger.query(RunRecord, partition, "run#"), key=lambda run: run.started_at)
    datasets = list(ledger.query(DatasetRecord, partition, "dataset#"))
    usable = [dataset for dataset in datasets if dataset.set_aside is None]
    newest = max(usable, key=lambda d: (d.accepted_at, d.dataset_version), default=None)
    return _Seen(
        datasets=choose_datasets(usable, newest.dataset_version, definition.data.window)
        if newest
        else [],
        runs=runs,
        requests=list(ledger.query(RequestRecord, partition, "request#")),
        turn=turn,
    )


def _situation(
    record: ModelRecord, definition: ModelDefinition, seen: _Seen, answered: set[str], aws: Trainer
) -> Situation:
    return Situation(
        now=datetime.now(UTC),
        data=_data_hash(seen.datasets) if seen.datasets else None,
        project_version=record.project_version,
        runs=tuple(_past(run) for run in seen.runs),
        requests=tuple(
            Request(r.request, r.by, r.reason, r.person, r.again)
            for r in seen.open_requests
            if r.request not in answered
        ),
        arrivals=tuple(
            Arrival(dataset.drop, dataset.rows)
            for dataset in seen.datasets
            if not any(run.covers(dataset.dataset_version) for run in seen.runs)
        ),
        outcomes=_new_outcomes(record.model, seen, aws) if definition.retraining.outcomes else 0,
        quality=_quality(record.model, aws) if definition.retraining.metric else None,
        instance_type=definition.training.instance_type,
        longest_seconds=definition.training.max_runtime_minutes * 60,
    )


def _past(run: RunRecord) -> Run:
    return Run(
        run=run.run,
        status=run.status,
        data=run.data_hash or "",
        project_version=run.project_version,
        started_at=datetime.fromisoformat(run.started_at),
        ended_at=datetime.fromisoformat(run.ended_at) if run.ended_at else None,
        seconds=run.job_seconds,
    )


def _data_hash(datasets: Iterable[DatasetRecord]) -> str:
    return data_hash(dataset.dataset_version for dataset in datasets)


def _new_outcomes(model: str, seen: _Seen, aws: Trainer) -> int:
    since = seen.runs[-1].started_at if seen.runs else ""
    records = aws.ledger.query(OutcomesRecord, model_partition(model), "outcomes#")
    return sum(r.rows for r in records if r.status == "accepted" and r.recorded_at > since)


def _quality(model: str, aws: Trainer) -> Quality | None:
    """Return live quality as the latest report has it; None: there is none, or it is unsure."""
    latest = Location(aws.settings.artifacts_bucket, latest_report_key(model))
    if not any(aws.storage.list(latest.bucket, latest.key)):
        return None
    report = Report.if_known(aws.storage.get_bytes(latest, _MOST_BYTES))
    if report is None:
        return None
    for monitor in report.monitors:
        whole = monitor.monitor == "model-quality" and monitor.segment is None
        if whole and monitor.verdict != "unsure":
            return Quality(datetime.fromisoformat(report.made_at), monitor.numbers)
    return None


def _claim(record: ModelRecord, seen: _Seen, decision: Decision, aws: Trainer) -> RunRecord | None:
    """Write the run down as in flight; None: somebody else started one since it was looked."""
    data = _data_hash(seen.datasets)
    name = run_id(record.model, data, record.project_version, decision.attempt)
    run = RunRecord(
        model=record.model,
        run=name,
        status="training",
        reason=ASKED_FOR,
        dataset_version=seen.datasets[-1].dataset_version,
        project_version=record.project_version,
        execution_arn=aws.executions.arn(name),
        training_job=job_name(aws.settings, name),
        cause="; ".join(decision.reasons),
        requested_by=decision.requested_by,
        requests=[a.request for a in decision.answers if a.answer == "trained" and a.run is None],
        dataset_versions=[dataset.dataset_version for dataset in seen.datasets],
        data_hash=data,
        started_at=now(),
    )
    number = seen.turn.number if seen.turn else None
    turn = TurnRecord(model=record.model, number=(number or 0) + 1, run=name)
    return run if aws.ledger.create_guarded(run, turn, {"number": number}) else None
