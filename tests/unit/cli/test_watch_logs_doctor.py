"""`watch`, `logs` and `doctor` against an account in which things have happened."""

import contextlib
import json
import time
from datetime import UTC, datetime

import boto3
import pytest

from headrace.records import DropRecord, EndpointRecord
from headrace_cli.exit_codes import ExitCode


def now(offset: float = 0) -> str:
    return datetime.fromtimestamp(time.time() + offset, UTC).isoformat(timespec="milliseconds")


@pytest.fixture
def ended(model, record) -> None:
    for name, first in (("old", "2026-01-01T00:00:00.000Z"), ("new", "2026-01-02T00:00:00.000Z")):
        record(
            DropRecord(
                model=model.model,
                drop=name,
                state="quarantined",
                first_seen_at=first,
                last_seen_at=first,
                ended_at=first,
                reasons=[f"nothing of {name} could be used"],
            )
        )


@pytest.fixture
def log(aws):
    client = boto3.client("logs")

    def write(group: str, stream: str, *messages: str) -> None:
        with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_log_group(logGroupName=group)
        client.create_log_stream(logGroupName=group, logStreamName=stream)
        at = int(time.time() * 1000)
        client.put_log_events(
            logGroupName=group,
            logStreamName=stream,
            logEvents=[{"timestamp": at + i, "message": m} for i, m in enumerate(messages)],
        )

    return write


def test_watching_ends_when_nothing_goes_on(ended, headrace) -> None:
    result = headrace("watch", "credit-risk")
    assert result.exit_code == 0, result.output
    assert "nothing of new could be used" in result.stdout
    assert "nothing of old" not in result.stdout


def test_watching_until_a_verdict(ended, headrace) -> None:
    result = headrace("watch", "credit-risk", "--until", "quarantined", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["reached"] is True


def test_watching_something_that_does_not_end(model, record, headrace) -> None:
    record(
        DropRecord(
            model="credit-risk", drop="x", state="open", first_seen_at=now(), last_seen_at=now()
        )
    )
    result = headrace("watch", "credit-risk", "--timeout", "1")
    assert result.exit_code == ExitCode.TIMED_OUT


def test_logs_of_functions_are_readable_and_of_the_model(model, log, headrace) -> None:
    line = {
        "level": "INFO",
        "message": "Published",
        "function_name": "headrace-dev-ReconcileProject-X1",
        "timestamp": "2026-01-01 00:00:00,000+0000",
        "model": "credit-risk",
        "version": "abc",
    }
    log("headrace-dev-logs", "s", json.dumps(line), "START credit-risk", "of another model")
    result = headrace("logs", "credit-risk")
    assert result.exit_code == 0, result.output
    assert "INFO headrace-dev-ReconcileProject: Published model=credit-risk version=abc" in (
        result.stdout
    )
    assert "START credit-risk" in result.stdout
    assert "another model" not in result.stdout


def test_logs_of_a_stage(model, log, headrace) -> None:
    for stage in ("training", "monitoring"):
        line = {"message": f"of {stage}", "service": stage, "model": "credit-risk"}
        log("headrace-dev-logs", stage, json.dumps(line, separators=(",", ":")))
    said = headrace("logs", "credit-risk", "--stage", "monitoring").stdout
    assert "of monitoring" in said
    assert "of training" not in said


def test_logs_of_the_endpoint(model, log, headrace) -> None:
    assert "Nothing in" in headrace("logs", "credit-risk", "--endpoint").stdout
    log(f"/aws/sagemaker/Endpoints/{model.endpoint}", "main/i-1", "answered")
    result = headrace("logs", "credit-risk", "--endpoint", "--json")
    assert [e["message"] for e in json.loads(result.stdout)] == ["answered"]


@pytest.mark.parametrize(
    "words", [["--endpoint", "--run", "r"], ["--run", "unknown"], ["--follow", "--json"]]
)
def test_logs_that_make_no_sense(model, headrace, words: list[str]) -> None:
    assert headrace("logs", "credit-risk", *words).exit_code == ExitCode.USAGE


def test_the_doctor_says_what_is_not_deployed(aws, headrace) -> None:
    aws.outputs = None
    result = headrace("doctor", "--json")
    assert result.exit_code == ExitCode.NEGATIVE
    findings = {f["check"]: f for f in json.loads(result.stdout)}
    assert findings["credentials"]["state"] == "ok"
    assert findings["stack"]["state"] == "wrong"
    assert findings["stack"]["todo"] == "headrace up --env dev"


def test_the_doctor_sees_queues_alarms_and_endpoints_that_disagree(
    aws, model, record, headrace
) -> None:
    queue = boto3.client("sqs").create_queue(QueueName="dead")["QueueUrl"]
    aws.outputs["DeadLettersUrl"] = queue
    healthy = headrace("doctor", "--json")
    findings = {f["check"]: f for f in json.loads(healthy.stdout)}
    assert findings["DeadLetters"]["state"] == "ok"
    assert findings["alarms"]["state"] == "ok"
    assert findings["credit-risk endpoint"]["state"] == "ok"
    assert findings["credit-risk journey"]["state"] == "ok"

    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody="lost")
    cloudwatch = boto3.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="headrace-dev-Alarms-X",
        AlarmDescription="read the runbook",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Threshold=0,
        MetricName="m",
        Namespace="n",
        Period=60,
        Statistic="Sum",
    )
    cloudwatch.set_alarm_state(
        AlarmName="headrace-dev-Alarms-X", StateValue="ALARM", StateReason="too many"
    )
    record(
        EndpointRecord(model="credit-risk", endpoint=model.endpoint, package_arn="arn:g/1"),
        DropRecord(
            model="credit-risk",
            drop="forgotten",
            state="open",
            first_seen_at=now(-7200),
            last_seen_at=now(-7200),
        ),
    )
    result = headrace("doctor", "--json")
    assert result.exit_code == ExitCode.NEGATIVE
    findings = {f["check"]: f for f in json.loads(result.stdout)}
    assert findings["DeadLetters"]["detail"] == "1 messages"
    assert findings["headrace-dev-Alarms-X"]["todo"] == "read the runbook"
    assert "the ledger says arn:g/1" in findings["credit-risk endpoint"]["detail"]
    assert findings["credit-risk datasets"]["state"] == "warning"
    assert all(f["todo"] for f in findings.values() if f["state"] != "ok")
