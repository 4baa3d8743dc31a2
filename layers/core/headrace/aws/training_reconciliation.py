"""What events could not tell of training: runs whose end nobody heard of, looks nobody took.

A run that is in flight for ever would keep every other from starting, so this asks Step Functions
itself, seldom. Then it looks at each model as any event would: what waited for a cooldown, for
tomorrow's budget or for an event that was lost is found here.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from headrace.aws.closing import stop_job
from headrace.aws.executions import FAILED_STATUSES
from headrace.aws.retraining import ASKED_FOR, Trainer, look, start
from headrace.errors import HeadraceError, TrainingError
from headrace.events import JourneyFailed
from headrace.records import ModelRecord, RunRecord, model_partition, now

# What was started so recently is on its way.
_YOUNG = timedelta(minutes=5)


class Found(NamedTuple):
    """Runs a reconciliation started, and runs it closed."""

    started: list[str]
    closed: list[str]


def reconcile_runs(aws: Trainer, sagemaker: Any) -> Found:
    """Reconcile every model; one that cannot be does not keep the others waiting.

    The job of a run that is closed is stopped: nobody would look at what comes of it.

    Raises:
        TrainingError: naming the models that could not be reconciled, and why.
    """
    found, faults = Found([], []), []
    for model in list(aws.ledger.query(ModelRecord, "models")):
        try:
            runs = list(aws.ledger.query(RunRecord, model_partition(model.model), "run#"))
            dead = [run for run in runs if _is_dead(run, aws)]
            found.closed.extend(run.run for run in dead if _close(run, aws, sagemaker))
            started = look(model.model, aws).run
            found.started.extend([started] if started else [])
        except (HeadraceError, BotoCoreError, ClientError) as error:
            faults.append(f"{model.model}: {error}")
    if faults:
        raise TrainingError("; ".join(faults))
    return found


def _is_dead(run: RunRecord, aws: Trainer) -> bool:
    """Tell whether a run in flight has no execution that could bring it to an end."""
    young = datetime.now(UTC) - datetime.fromisoformat(run.started_at) < _YOUNG
    if run.status != "training" or young:
        return False
    status = aws.executions.status(run.execution_arn.rpartition(":")[2])
    if status is None and run.reason == ASKED_FOR:
        start(run, aws.executions)
        return False
    return status is None or status == "SUCCEEDED" or status in FAILED_STATUSES


def _close(run: RunRecord, aws: Trainer, sagemaker: Any) -> bool:
    stop_job(run.training_job, sagemaker)
    reason = f"execution {run.execution_arn} ended without a verdict"
    changes = {"status": "failed", "reason": reason, "reasons": [reason], "ended_at": now()}
    expect = {"status": "training", "execution_arn": run.execution_arn}
    if not aws.ledger.update(run.key(), changes, expect):
        return False
    aws.bus.announce(
        JourneyFailed(
            model=run.model, stage="training", subject=run.run, error="NoVerdict", cause=reason
        )
    )
    return True
