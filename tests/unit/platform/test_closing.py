"""Executions that ended badly, on moto's Step Functions: what they left open is closed, once."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from headrace.aws.bus import Bus
from headrace.aws.closing import ExecutionEnd, Stage, close_execution
from headrace.aws.registry import find_run
from headrace.events import JourneyFailed
from headrace.records import DeploymentRecord, DropRecord, RunRecord
from tests.unit import world
from tests.unit.world import MODEL, REGION, World

SUBJECTS = {"training": "run", "deployment": "deployment", "datasets": "drop"}


class Jobs:
    """SageMaker's training jobs: one that runs, or none."""

    class exceptions:  # noqa: N801 — boto3's spelling
        ClientError = ClientError

    def __init__(self, status: str | None) -> None:
        self.status = status
        self.stopped: list[str] = []

    def describe_training_job(self, TrainingJobName: str) -> dict[str, str]:  # noqa: N803 — boto3's
        if self.status is None:
            error = {"Code": "ValidationException", "Message": "Requested resource not found."}
            raise ClientError({"Error": error}, "DescribeTrainingJob")
        return {"TrainingJobStatus": self.status}

    def stop_training_job(self, TrainingJobName: str) -> None:  # noqa: N803 — boto3's
        self.stopped.append(TrainingJobName)


class Ended:
    """Ends executions and closes them."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.states = boto3.client("stepfunctions", region_name=REGION)
        self.jobs = Jobs(None)
        events = boto3.client("events", region_name=REGION)
        events.create_event_bus(Name="headrace")
        self.bus = Bus("headrace", events)

    def execution(self, stage: str, *, stop: bool = False) -> str:
        """Return an execution that failed, or that was stopped by hand while it waited."""
        state = (
            {"Type": "Wait", "Seconds": 600, "End": True}
            if stop
            else {"Type": "Fail", "Error": "KeyError", "Cause": "no column 'age'"}
        )
        machine = self.states.create_state_machine(
            name=f"headrace-{stage}",
            definition=json.dumps({"StartAt": "Only", "States": {"Only": state}}),
            roleArn="arn:aws:iam::123456789012:role/states",
        )["stateMachineArn"]
        payload = {"model": MODEL, SUBJECTS[stage]: "subject"}
        arn = self.states.start_execution(
            stateMachineArn=machine, name="subject", input=json.dumps(payload)
        )["executionArn"]
        if stop:
            self.states.stop_execution(executionArn=arn)
        while self.states.describe_execution(executionArn=arn)["status"] == "RUNNING":
            pass
        return str(arn)

    def close(self, stage: Stage, arn: str) -> JourneyFailed | None:
        end = ExecutionEnd(executionArn=arn, stateMachineArn="")
        return close_execution(end, stage, self.here.ledger, self.bus, self.states, self.jobs)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ended]:
    with (
        mock_aws(config={"stepfunctions": {"execute_state_machine": True}}),
        world.aws(monkeypatch) as here,
    ):
        yield Ended(here)


def run_of(arn: str, **changes: Any) -> RunRecord:
    return world.run_record(run="subject", execution_arn=arn, **changes)


def test_a_failed_run_is_closed_with_its_cause_once(ended: Ended) -> None:
    """Invariant 21: every execution ends in a terminal status."""
    arn = ended.execution("training")
    ended.here.ledger.put(run_of(arn))
    failed = ended.close("training", arn)
    assert failed is not None
    assert (failed.subject, failed.error, failed.cause) == (
        "subject",
        "KeyError",
        "no column 'age'",
    )
    run = find_run(ended.here.ledger, MODEL, "subject")
    assert run is not None
    assert (run.status, run.reason) == ("failed", "no column 'age'")
    assert ended.close("training", arn) is None  # the event came twice


def test_a_run_that_was_stopped_stops_its_job(ended: Ended) -> None:
    """Invariant 20."""
    arn = ended.execution("training", stop=True)
    ended.here.ledger.put(run_of(arn))
    ended.jobs.status = "InProgress"
    failed = ended.close("training", arn)
    assert failed is not None
    assert failed.cause == "it was stopped by hand"
    assert ended.jobs.stopped == ["headrace-credit-risk-run"]


@pytest.mark.parametrize("status", ["better", "not better", "refused", "failed"])
def test_a_verdict_stays(ended: Ended, status: str) -> None:
    arn = ended.execution("training")
    before = run_of(arn, status=status)
    ended.here.ledger.put(before)
    assert ended.close("training", arn) is None
    assert find_run(ended.here.ledger, MODEL, "subject") == before


def test_another_execution_s_run_is_left_alone(ended: Ended) -> None:
    arn = ended.execution("training")
    ended.here.ledger.put(run_of(arn + "-2"))
    ended.jobs.status = "InProgress"
    assert ended.close("training", arn) is None
    assert ended.jobs.stopped == []


def test_deployments_and_drops_are_closed_too(ended: Ended) -> None:
    arn = ended.execution("deployment")
    deployment = DeploymentRecord(
        model=MODEL,
        deployment="subject",
        status="deploying",
        endpoint="headrace-credit-risk",
        package_arn="arn:package/1",
        package_version=1,
        execution_arn=arn,
        cause="approved",
        started_at="2026-11-22T07:00:00.000Z",
    )
    ended.here.ledger.put(deployment)
    assert ended.close("deployment", arn) is not None
    stored = ended.here.ledger.get(DeploymentRecord, deployment.key())
    assert stored is not None
    assert (stored.status, stored.reasons) == ("failed", ["no column 'age'"])

    arn = ended.execution("datasets")
    drop = DropRecord(
        model=MODEL,
        drop="subject",
        state="sealed",
        first_seen_at="2026-11-22T07:00:00.000Z",
        last_seen_at="2026-11-22T07:00:00.000Z",
        execution_arn=arn,
    )
    ended.here.ledger.put(drop)
    assert ended.close("datasets", arn) is not None
    found = ended.here.ledger.get(DropRecord, drop.key())
    assert found is not None
    assert found.state == "failed"
