"""`retrain` asks on the bus, and tells the answer; the stack's side is played by a thread."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from headrace.records import RequestRecord, RunRecord
from headrace_cli.exit_codes import ExitCode

Answers = Callable[..., None]


@pytest.fixture
def stack(model, record) -> Iterator[Answers]:
    """Says what is answered to the next request; yields how."""
    events, sqs = boto3.client("events"), boto3.client("sqs")
    events.create_event_bus(Name="headrace-dev")
    queue = sqs.create_queue(QueueName="requests")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    events.put_rule(
        Name="r", EventBusName="headrace-dev", EventPattern='{"source": ["headrace.training"]}'
    )
    events.put_targets(
        Rule="r", EventBusName="headrace-dev", Targets=[{"Id": "q", "Arn": arn["QueueArn"]}]
    )
    threads: list[threading.Thread] = []

    def reply(answer: dict[str, Any]) -> None:
        def play() -> None:
            while not (found := sqs.receive_message(QueueUrl=queue).get("Messages")):
                time.sleep(0.01)
            asked = json.loads(found[0]["Body"])["detail"]
            kept = {k: asked[k] for k in ("model", "request", "by", "reason", "person", "again")}
            at = "2026-01-01T00:00:00.000Z"
            record(RequestRecord(**kept, asked_at=at, answered_at=at, **answer))

        threads.append(threading.Thread(target=play))
        threads[-1].start()

    yield reply
    for thread in threads:
        thread.join()


def a_run(status: Any) -> RunRecord:
    return RunRecord(
        model="credit-risk",
        run="run-1",
        status=status,
        reason="judged",
        dataset_version="d",
        project_version="p",
        execution_arn="arn",
        training_job="job",
        started_at="2026-01-01T00:00:00.000Z",
    )


def test_whoever_waits_hears_of_the_run(stack: Answers, record, headrace) -> None:
    record(a_run("not better"))
    stack({"answer": "trained", "run": "run-1"})
    words = ("--reason", "why not", "--again", "--wait", "--json")
    result = headrace("retrain", "credit-risk", *words)
    assert result.exit_code == ExitCode.NEGATIVE, result.output
    told = json.loads(result.stdout)
    assert told["run"]["status"] == "not better"
    assert (told["request"]["reason"], told["request"]["again"]) == ("why not", True)
    assert told["request"]["person"].startswith("arn:aws:sts::")


def test_a_model_nobody_published(aws, headrace) -> None:
    assert headrace("retrain", "unknown", "--reason", "x").exit_code == ExitCode.USAGE
