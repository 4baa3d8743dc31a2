"""Executions that ended without a verdict: what they worked on is closed in the ledger.

A state machine records its own failures. This is for the ends it cannot record: stopped by hand,
out of time, or failed in the very states that record.
"""

import json
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from headrace.aws.bus import Bus
from headrace.aws.ledger import Ledger
from headrace.events import JourneyFailed
from headrace.records import DeploymentRecord, DropRecord, Key, RunRecord, model_partition, now

Stage = Literal["datasets", "training", "deployment"]
_OPEN = frozenset({"open", "sealed", "training", "queued", "deploying", "comparing"})
_WORDS = {
    "ABORTED": "it was stopped by hand",
    "TIMED_OUT": "it took longer than it may",
}


class ExecutionEnd(BaseModel):
    """The detail of `Step Functions Execution Status Change` for an execution that failed."""

    executionArn: str  # noqa: N815 — AWS's spelling
    stateMachineArn: str  # noqa: N815 — AWS's spelling


class _Subject(NamedTuple):
    kind: type[DropRecord | RunRecord | DeploymentRecord]
    name: str
    state: str


_SUBJECTS: dict[Stage, _Subject] = {
    "datasets": _Subject(DropRecord, "drop", "state"),
    "training": _Subject(RunRecord, "run", "status"),
    "deployment": _Subject(DeploymentRecord, "deployment", "status"),
}


def close_execution(
    end: ExecutionEnd, stage: Stage, ledger: Ledger, bus: Bus, stepfunctions: Any, sagemaker: Any
) -> JourneyFailed | None:
    """Mark what a failed execution worked on as failed, unless that has a verdict already.

    A training job that still runs for it is stopped. Returns what was announced.
    """
    execution = stepfunctions.describe_execution(executionArn=end.executionArn)
    request = json.loads(execution["input"])
    subject = _SUBJECTS[stage]
    name = request[subject.name]
    key = Key(pk=model_partition(request["model"]), sk=f"{subject.name}#{name}")
    record = ledger.get(subject.kind, key)
    if record is None or record.execution_arn != end.executionArn:
        return None
    state = getattr(record, subject.state)
    if isinstance(record, RunRecord) and state != "better":
        stop_job(record.training_job, sagemaker)
    if state not in _OPEN:
        return None
    status = execution["status"]
    reason = _WORDS.get(status) or execution.get("cause") or f"the execution is {status}"
    changes: dict[str, Any] = {subject.state: "failed", "ended_at": now(), "reasons": [reason]}
    if isinstance(record, RunRecord):
        changes["reason"] = reason
    if not ledger.update(key, changes, {subject.state: state, "execution_arn": end.executionArn}):
        return None
    failed = JourneyFailed(
        model=request["model"],
        stage=stage,
        subject=name,
        error=execution.get("error") or status,
        cause=reason[:1000],
    )
    bus.announce(failed)
    return failed


def stop_job(job: str, sagemaker: Any) -> None:
    """Stop a training job if it was started and still runs."""
    try:
        description = sagemaker.describe_training_job(TrainingJobName=job)
        if description["TrainingJobStatus"] == "InProgress":
            sagemaker.stop_training_job(TrainingJobName=job)
    except sagemaker.exceptions.ClientError as error:
        # It was never started, or ended between the two calls: one code for both.
        if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
            raise
