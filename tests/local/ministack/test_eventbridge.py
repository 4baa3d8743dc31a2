"""EventBridge as AWS documents it: retries, dead-letter queues, roles of targets."""

import json

from tests.local.conftest import LocalAws, wait_until
from tests.local.ministack.helpers import (
    ALLOW_ALL,
    function,
    jsonata,
    machine,
    queue,
    receive,
    role,
    unique,
)


def emit(aws: LocalAws, target: dict[str, object], detail: object = None) -> None:
    events, name = aws.client("events"), unique("rule")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(Rule=name, Targets=[{"Id": "1", **target}])
    entry = {"Source": name, "DetailType": "x", "Detail": json.dumps(detail or {})}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0


def test_a_missing_target_goes_to_the_dead_letter_queue(aws: LocalAws) -> None:
    url, dead = queue(aws)
    states = aws.client("stepfunctions")
    arn = machine(aws, jsonata("A", A={"Type": "Succeed"}))
    states.delete_state_machine(stateMachineArn=arn)
    emit(
        aws,
        {"Arn": arn, "RoleArn": role(aws, "events", ALLOW_ALL), "DeadLetterConfig": {"Arn": dead}},
    )
    attributes = receive(aws, url)[0]["MessageAttributes"]
    assert attributes["ERROR_CODE"]["StringValue"] == "RESOURCE_NOT_FOUND"
    assert attributes["TARGET_ARN"]["StringValue"] == arn
    assert attributes["RULE_ARN"]["StringValue"].startswith("arn:aws:events:")


def test_the_role_of_a_target_is_enforced(aws: LocalAws) -> None:
    url, dead = queue(aws)
    arn = machine(aws, jsonata("A", A={"Type": "Succeed"}))
    states = aws.client("stepfunctions")
    emit(aws, {"Arn": arn, "RoleArn": role(aws, "events"), "DeadLetterConfig": {"Arn": dead}})
    code = receive(aws, url)[0]["MessageAttributes"]["ERROR_CODE"]["StringValue"]
    assert code == "NO_PERMISSIONS"
    assert states.list_executions(stateMachineArn=arn)["executions"] == []
    allowed = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": arn}
    emit(aws, {"Arn": arn, "RoleArn": role(aws, "events", allowed)})
    wait_until(lambda: states.list_executions(stateMachineArn=arn)["executions"])


def test_a_failing_function_is_retried_and_its_event_kept(aws: LocalAws) -> None:
    url, dead = queue(aws)
    name = function(
        aws,
        "def handler(e, c): raise ValueError(e['detail']['n'])",
        DeadLetterConfig={"TargetArn": dead},
    )
    lambda_ = aws.client("lambda")
    lambda_.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    arn = lambda_.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    emit(aws, {"Arn": arn}, {"n": 3})
    assert json.loads(receive(aws, url)[0]["Body"])["detail"] == {"n": 3}
    logs = aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert sum("REPORT" in event["message"] for event in logs) == 2
