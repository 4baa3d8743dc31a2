"""Follows a model's journey until it is idle, or until a verdict comes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError

from headrace.records import DatasetRecord
from headrace_cli.errors import TimedOutError, error_code
from headrace_cli.journey import (
    Activity,
    Journey,
    Moment,
    activities,
    between,
    history,
    moments,
    read_journey,
    state_now,
)
from headrace_cli.session import Session

# Stages hand over by way of EventBridge; for so long nothing may seem to go on.
_QUIET_SECONDS = 5.0
_QUIET_SECONDS_REMOTE = 30.0
# Who waits for something has a reason to, so more time passes before it is given up.
_PATIENCE = 8
_JOB_LOGS = "/aws/sagemaker/TrainingJobs"


@dataclass(frozen=True)
class Watched:
    """What was seen, and whether what was waited for came."""

    journey: Journey
    moments: list[Moment]
    reached: bool


def watch(
    session: Session,
    model: str,
    *,
    timeout: float,
    since: str | None = None,
    until: Callable[[Journey, list[Moment]], bool] | None = None,
    on_moment: Callable[[Moment], None],
    on_activity: Callable[[list[str]], None],
) -> Watched:
    """Follow a model from a time on; by default, from its newest drop's first object.

    Ends when `until` holds or, whatever was waited for, when nothing goes on any more.

    Raises:
        TimedOutError: neither happened in time.
    """
    seen: dict[str, Moment] = {}
    quiet = _QUIET_SECONDS if session.environment.is_local else _QUIET_SECONDS_REMOTE
    quiet *= _PATIENCE if until else 1
    deadline = time.monotonic() + timeout
    busy_until = time.monotonic() + (quiet if until else 0)
    while True:
        journey = read_journey(session, model)
        if since is None:
            since = journey.drops[-1].first_seen_at if journey.drops else ""
        for moment in moments(journey, since):
            if moment.id not in seen:
                seen[moment.id] = moment
                on_moment(moment)
        if until and until(journey, list(seen.values())):
            return Watched(journey, list(seen.values()), reached=True)
        going_on = activities(journey)
        if going_on or is_due(journey):
            busy_until = time.monotonic() + quiet
        elif time.monotonic() > busy_until:
            return Watched(journey, list(seen.values()), reached=until is None)
        if time.monotonic() > deadline:
            raise TimedOutError(
                f"'{model}' was still busy after {timeout:.0f} s.", f"headrace watch {model}"
            )
        on_activity([describe(session, activity) for activity in going_on])
        time.sleep(session.environment.poll_seconds)


def is_due(journey: Journey) -> bool:
    """Tell whether a run must be on its way: for data no run has had, or a request that waits.

    Both are looked at when they come, and again when a run ends; what is not taken up soon after
    that waits for something that takes longer.
    """
    newest = journey.datasets[-1] if journey.datasets else None
    news = [newest.accepted_at] if newest and not _is_had(journey, newest) else []
    news += [r.asked_at for r in journey.requests if r.answer in (None, "waiting")]
    if not news:
        return False
    ends = [run.ended_at for run in journey.runs if run.ended_at]
    return between(max(news + ends), None) <= _QUIET_SECONDS_REMOTE


def _is_had(journey: Journey, dataset: DatasetRecord) -> bool:
    return any(run.covers(dataset.dataset_version) for run in journey.runs)


def describe(session: Session, activity: Activity) -> str:
    """Return one line about something that goes on: its state, its job's status and last words."""
    parts = [f"{activity.stage} {activity.subject}"]
    if activity.execution_arn:
        parts.append(_state(session, activity.execution_arn) or "starting")
    if activity.training_job:
        parts += _job(session, activity.training_job)
    return " · ".join(parts)


def job_log(session: Session, job: str, limit: int = 100) -> Iterator[str]:
    """Yield the newest lines a training job has logged, oldest first; none before it starts."""
    try:
        reply = session.client("logs").filter_log_events(
            logGroupName=_JOB_LOGS, logStreamNamePrefix=f"{job}/", limit=10_000
        )
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return
        raise
    yield from (event["message"].rstrip() for event in reply["events"][-limit:])


def _state(session: Session, execution_arn: str) -> str:
    try:
        return state_now(history(session, execution_arn))
    except ClientError as error:
        # Runs and deployments are written down a moment before they are started.
        if error_code(error) == "ExecutionDoesNotExist":
            return ""
        raise


def _job(session: Session, job: str) -> list[str]:
    try:
        described = session.client("sagemaker").describe_training_job(TrainingJobName=job)
    except ClientError as error:
        # Until the execution reaches its task there is no job (API reference, DescribeTrainingJob).
        if error_code(error) in {"ValidationException", "ResourceNotFound"}:
            return []
        raise
    status = str(described.get("SecondaryStatus", described["TrainingJobStatus"]))
    return [status, *list(job_log(session, job, limit=1))]
