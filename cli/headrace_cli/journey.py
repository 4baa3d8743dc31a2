"""What happened to a model, read from the ledger: one list of moments, and what goes on now."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from headrace.names import digest
from headrace.records import (
    DatasetRecord,
    DeploymentRecord,
    DropRecord,
    EndpointRecord,
    Key,
    ModelRecord,
    PauseRecord,
    ProjectRecord,
    Record,
    RecoveryRecord,
    RequestRecord,
    RunRecord,
    model_partition,
)
from headrace_cli.session import Session

R = TypeVar("R", bound=Record)
_WAITS = (".sync", ".waitForTaskToken")


@dataclass(frozen=True)
class Moment:
    """Something that happened: when, to what, and the verdict if it was one."""

    at: str
    stage: str
    subject: str
    text: str
    verdict: str = ""

    @property
    def id(self) -> str:
        """A name that stays the same however often the journey is read."""
        return digest(self.at, self.stage, self.subject, self.verdict)


@dataclass(frozen=True)
class Activity:
    """Something that goes on: since when, and which execution drives it."""

    stage: str
    subject: str
    since: str
    execution_arn: str | None
    training_job: str | None = None


@dataclass(frozen=True)
class Leg:
    """One stage of a journey that ended, and how much of its time was the job's own compute."""

    stage: str
    subject: str
    verdict: str
    seconds: float
    compute_seconds: float

    @property
    def overhead_seconds(self) -> float:
        """What the stage took beyond its job's own compute."""
        return max(0.0, self.seconds - self.compute_seconds)


@dataclass(frozen=True)
class Journey:
    """All records of one model, oldest first."""

    model: ModelRecord
    endpoint: EndpointRecord | None
    projects: list[ProjectRecord]
    drops: list[DropRecord]
    datasets: list[DatasetRecord]
    runs: list[RunRecord]
    requests: list[RequestRecord]
    deployments: list[DeploymentRecord]
    recoveries: list[RecoveryRecord]
    pauses: list[PauseRecord]


def read_journey(session: Session, model: str) -> Journey:
    """Read everything the ledger knows about a model."""
    ledger, partition = session.ledger, model_partition(model)

    def records(kind: type[R], by: str) -> list[R]:
        found = ledger.query(kind, partition, f"{kind.kind}#")
        return sorted(found, key=lambda r: str(getattr(r, by)))

    record = session.model(model)
    return Journey(
        model=record,
        endpoint=ledger.get(EndpointRecord, Key(pk="endpoints", sk=record.endpoint)),
        projects=records(ProjectRecord, "published_at"),
        drops=records(DropRecord, "first_seen_at"),
        datasets=records(DatasetRecord, "accepted_at"),
        runs=records(RunRecord, "started_at"),
        requests=records(RequestRecord, "asked_at"),
        deployments=records(DeploymentRecord, "started_at"),
        recoveries=records(RecoveryRecord, "at"),
        pauses=records(PauseRecord, "at"),
    )


def moments(journey: Journey, since: str = "") -> list[Moment]:
    """Return what happened from a time on, in its order."""
    found: list[Moment] = []
    for project in journey.projects:
        found.append(
            Moment(
                project.published_at,
                "projects",
                project.project_version,
                "; ".join(project.reasons) or f"project version {project.project_version}",
                project.status,
            )
        )
    for drop in journey.drops:
        found += _of_drop(drop)
    for run in journey.runs:
        found += _of_run(run)
    for request in journey.requests:
        found += _of_request(request)
    for deployment in journey.deployments:
        found += _of_deployment(deployment)
    found += [_of_recovery(recovery) for recovery in journey.recoveries]
    for pause in journey.pauses:
        said = f"by {pause.by}" + (f": {pause.reason}" if pause.reason else "")
        verdict = "paused" if pause.paused else "resumed"
        found.append(Moment(pause.at, "pause", pause.endpoint, said, verdict))
    return sorted((m for m in found if m.at >= since), key=lambda m: m.at)


def run_on(journey: Journey, dataset_version: str | None) -> RunRecord | None:
    """Return the run that was the first to learn from a dataset version, once it has ended.

    Datasets that are accepted while a run is in flight share the next one.
    """
    covering = (run for run in journey.runs if run.covers(dataset_version))
    first = next(covering, None)
    return first if first and first.status != "training" else None


def activities(journey: Journey) -> list[Activity]:
    """Return what has begun and has no verdict yet."""
    found = [
        Activity("datasets", drop.drop, drop.first_seen_at, drop.execution_arn)
        for drop in journey.drops
        if drop.state in {"open", "sealed"}
    ]
    found += [
        Activity("training", run.run, run.started_at, run.execution_arn, run.training_job)
        for run in journey.runs
        if run.status == "training"
    ]
    found += [
        Activity("deployment", d.deployment, d.started_at, d.execution_arn)
        for d in journey.deployments
        if d.is_open
    ]
    return found


def legs(session: Session, journey: Journey, since: str = "") -> list[Leg]:
    """Return what every stage took from a time on, from the ledger and execution histories.

    A dataset counts from its last object seen to its verdict, a run from the acceptance of its
    dataset (from its start if it is not the first on that), a deployment from its start. Compute is
    what SageMaker itself needed: the training job's own seconds, and the endpoint's, while the
    execution waited for it.
    """
    found = [
        Leg("datasets", d.drop, d.state, between(d.last_seen_at, d.ended_at), 0.0)
        for d in journey.drops
        if d.ended_at and d.first_seen_at >= since
    ]
    accepted = {d.dataset_version: d.accepted_at for d in journey.datasets}
    for run in journey.runs:
        if run.ended_at and run.started_at >= since:
            is_first = run_on(journey, run.dataset_version) is run
            began = accepted.get(run.dataset_version, "") if is_first else ""
            began = min(run.started_at, began or run.started_at)
            took = between(began, run.ended_at)
            found.append(Leg("training", run.run, run.status, took, run.job_seconds or 0.0))
    for deployment in journey.deployments:
        if deployment.ended_at and deployment.started_at >= since:
            took = between(deployment.started_at, deployment.ended_at)
            waited = waited_seconds(history(session, deployment.execution_arn))
            found.append(Leg("deployment", deployment.deployment, deployment.status, took, waited))
    return found


def between(start: str, end: str | None) -> float:
    """Return the seconds between two times of the ledger; until now when the second is missing."""
    until = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return (until - datetime.fromisoformat(start)).total_seconds()


def history(session: Session, execution_arn: str) -> list[dict[str, Any]]:
    """Return an execution's events, oldest first."""
    pages = (
        session.client("stepfunctions")
        .get_paginator("get_execution_history")
        .paginate(executionArn=execution_arn)
    )
    return [event for page in pages for event in page["events"]]


def waited_seconds(events: Iterable[dict[str, Any]]) -> float:
    """Return how long an execution waited for others: tasks with `.sync` or `.waitForTaskToken`.

    Such a task is TaskScheduled, and TaskSubmitted once what it calls has answered; it ends in
    TaskSucceeded, TaskFailed or TaskTimedOut (Step Functions API reference, HistoryEvent).
    """
    waited, since = 0.0, None
    for event in events:
        if event["type"] == "TaskScheduled":
            waits = event["taskScheduledEventDetails"]["resource"].endswith(_WAITS)
            since = event["timestamp"] if waits else None
        elif event["type"] == "TaskSubmitted":
            since = event["timestamp"]
        elif event["type"] in {"TaskSucceeded", "TaskFailed", "TaskTimedOut"} and since:
            waited += (event["timestamp"] - since).total_seconds()
            since = None
    return waited


def state_now(events: list[dict[str, Any]]) -> str:
    """Return the state an execution is in, or an empty text before the first."""
    entered = [e["stateEnteredEventDetails"]["name"] for e in events if _enters(e)]
    return entered[-1] if entered else ""


def transitions(events: list[dict[str, Any]]) -> int:
    """Return how many state transitions an execution has made: what Step Functions bills."""
    return 1 + sum(_enters(e) for e in events)


def numbers(run: RunRecord) -> str:
    """Return what a run measured, for people: candidate against champion and baseline."""
    if run.metric is None or run.candidate_value is None:
        return ""
    rivals = [("champion", run.champion_value), ("baseline", run.baseline_value)]
    against = ", ".join(f"{name} {value:.4f}" for name, value in rivals if value is not None)
    return f"{run.metric} {run.candidate_value:.4f}" + (f" against {against}" if against else "")


def _enters(event: dict[str, Any]) -> bool:
    return str(event["type"]).endswith("StateEntered")


def _of_drop(drop: DropRecord) -> list[Moment]:
    found = [Moment(drop.first_seen_at, "datasets", drop.drop, "the drop begins to arrive")]
    if drop.sealed_at:
        found.append(Moment(drop.sealed_at, "datasets", drop.drop, "the drop is complete"))
    if drop.ended_at:
        said = "; ".join(drop.reasons)
        if drop.dataset_version:
            said = f"{drop.rows:,} rows in {drop.files} files: dataset {drop.dataset_version}"
            if drop.quarantined_files or drop.quarantined_rows:
                said += (
                    f"; quarantined {drop.quarantined_files or 0} files "
                    f"and {drop.quarantined_rows or 0} rows"
                )
        found.append(Moment(drop.ended_at, "datasets", drop.drop, said, drop.state))
    return found


def _of_run(run: RunRecord) -> list[Moment]:
    why = f": {run.cause}" if run.cause else ""
    began = f"training on {run.dataset_version}{why}"
    found = [Moment(run.started_at, "training", run.run, began)]
    if run.ended_at:
        if run.package_arn:
            parts = [numbers(run), f"registered as v{run.package_arn.rpartition('/')[2]}"]
        else:
            parts = [numbers(run), *(run.reasons or [run.reason])]
        said = "; ".join(p for p in parts if p)
        found.append(Moment(run.ended_at, "training", run.run, said, run.status))
    return found


def _of_request(request: RequestRecord) -> list[Moment]:
    name, who = request.request, request.person or request.by
    found = [Moment(request.asked_at, "retraining", name, f"asked for by {who}: {request.reason}")]
    if request.answered_at and request.answer:
        said = f"run {request.run}" if request.run else "; ".join(request.reasons)
        found.append(Moment(request.answered_at, "retraining", name, said, request.answer))
    return found


def _of_recovery(recovery: RecoveryRecord) -> Moment:
    rang = ", ".join(recovery.alarms) or "no alarm any more"
    said = f"{rang}: {'; '.join(recovery.reasons)}"
    return Moment(recovery.at, "recovery", recovery.recovery, said, recovery.remedy)


def _of_deployment(deployment: DeploymentRecord) -> list[Moment]:
    name, version = deployment.deployment, deployment.package_version
    began = f"moving {deployment.endpoint} to v{version}: {deployment.cause}"
    if deployment.strategy:
        began += f"; {deployment.strategy}"
    found = [Moment(deployment.started_at, "deployment", name, began)]
    if deployment.comparing_since:
        said = "; ".join(deployment.findings) or f"v{version} is compared with what serves"
        found.append(Moment(deployment.comparing_since, "deployment", name, said, "comparing"))
    if deployment.ended_at:
        said = "; ".join(deployment.reasons) or f"{deployment.endpoint} serves v{version}"
        found.append(Moment(deployment.ended_at, "deployment", name, said, deployment.status))
    return found
