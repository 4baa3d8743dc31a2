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


def test_a_schedule_starts_a_machine_with_its_role_and_attributes(aws: LocalAws) -> None:
    arn, schedules = machine(aws, jsonata("A", A={"Type": "Succeed"})), aws.client("scheduler")
    allowed = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": arn}
    url, dead = queue(aws)
    by_role = {
        unique("refused"): role(aws, "events", ALLOW_ALL),  # trusts rules, not schedules
        unique("allowed"): role(aws, "scheduler", allowed),
    }
    for name, role_arn in by_role.items():
        schedules.create_schedule(
            Name=name,
            ScheduleExpression="at(2020-01-01T00:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": arn,
                "RoleArn": role_arn,
                "DeadLetterConfig": {"Arn": dead},
                "Input": json.dumps({"name": name, "at": "<aws.scheduler.scheduled-time>"}),
            },
        )
    universal = unique("universal")
    schedules.create_schedule(
        Name=universal,
        ScheduleExpression="at(2020-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:sfn:startExecution",
            "RoleArn": by_role[list(by_role)[1]],
            "Input": json.dumps({"StateMachineArn": arn, "Name": universal, "Input": "{}"}),
        },
    )
    states = aws.client("stepfunctions")

    def executions() -> list[str]:
        found = states.list_executions(stateMachineArn=arn)["executions"]
        return [each["executionArn"] for each in found]

    started = wait_until(lambda: found if len(found := executions()) == 2 else None, 25)
    inputs = [
        json.loads(states.describe_execution(executionArn=each)["input"])
        for each in started
        if not each.endswith(universal)
    ]
    assert [(each["name"], each["at"][-1]) for each in inputs] == [(list(by_role)[1], "Z")]
    code = receive(aws, url)[0]["MessageAttributes"]["ERROR_CODE"]["StringValue"]
    assert code == "NO_PERMISSIONS"
