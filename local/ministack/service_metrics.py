"""Metrics that services publish about themselves, as far as alarms need them.

AWS ("Available CloudWatch metrics for Amazon SQS", "Monitoring Step Functions metrics"): queues
report their depth and the age of their oldest message, state machines how executions end. Stock
MiniStack publishes Lambda's only.
"""

import time
from typing import Any

from ministack.services import cloudwatch, sqs
from ministack.services import stepfunctions as sfn

from local.ministack import guard

_ENDS = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


def install() -> None:
    """Count executions wherever their status is announced."""
    guard.replace(sfn, "_emit_execution_status_event", "execution", _counted)
    guard.expect(hasattr(sqs, "_queues"), "sqs._queues is missing")


def _counted(execution: dict[str, Any]) -> None:
    guard.stock(_counted)(execution)
    where = {"StateMachineArn": execution["stateMachineArn"]}
    cloudwatch.record_metric("AWS/States", _ENDS[execution["status"]], 1, "Count", where)
    cloudwatch._evaluate_all_alarms()


def measure_queues(alarms: list[dict[str, Any]]) -> None:
    """Record depth and age of the queues that alarms watch."""
    watched = {
        each["Value"]
        for alarm in alarms
        if alarm.get("Namespace") == "AWS/SQS"
        for each in alarm.get("Dimensions") or []
    }
    for queue in list(sqs._queues.values()) if watched else []:
        if queue["name"] in watched:
            _measure(queue)


def _measure(queue: dict[str, Any]) -> None:
    now, where = time.time(), {"QueueName": queue["name"]}
    messages = list(queue["messages"])
    visible = sum(message["visible_at"] <= now for message in messages)
    age = max((now - message["sent_at"] for message in messages), default=0)
    for name, value in (
        ("ApproximateNumberOfMessagesVisible", visible),
        ("ApproximateNumberOfMessagesNotVisible", len(messages) - visible),
        ("ApproximateAgeOfOldestMessage", int(age)),
    ):
        cloudwatch.record_metric("AWS/SQS", name, value, "None", where)
