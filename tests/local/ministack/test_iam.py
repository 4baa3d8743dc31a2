"""IAM as AWS documents it: resources of actions, passed roles."""

import json
from typing import Any

from tests.local.conftest import LocalAws
from tests.local.ministack.helpers import (
    ACCOUNT,
    ALLOW_ALL,
    finish,
    function,
    invoke,
    jsonata,
    machine,
    role,
    unique,
)

WHERE = f"us-east-1:{ACCOUNT}"
CALL = """
import boto3
def handler(event, context):
    getattr(boto3.client(event["service"]), event["operation"])(**event["request"])
"""


def call(
    aws: LocalAws, statements: list[dict[str, Any]], service: str, operation: str, **request: Any
) -> str:
    """The error of the call when made with a role of these statements; "" when allowed."""
    name = function(aws, CALL, Role=role(aws, "lambda", *statements))
    event = {"service": service, "operation": operation, "request": request}
    payload, _ = invoke(aws, name, event)
    return str((payload or {}).get("errorMessage", ""))


def allow(action: str, resource: str, **condition: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": resource,
        **({"Condition": condition} if condition else {}),
    }


def test_schedules_are_named_with_their_group_and_their_role_is_passed(aws: LocalAws) -> None:
    scheduler, group = aws.client("scheduler"), unique("group")
    scheduler.create_schedule_group(Name=group)
    target = machine(aws, jsonata("A", A={"Type": "Succeed"}))
    target_role = role(aws, "scheduler", ALLOW_ALL)
    request = {
        "Name": unique("s"),
        "GroupName": group,
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": target, "RoleArn": target_role},
    }
    create = allow("scheduler:CreateSchedule", f"arn:aws:scheduler:{WHERE}:schedule/{group}/*")
    passing = allow(
        "iam:PassRole", target_role, StringEquals={"iam:PassedToService": "scheduler.amazonaws.com"}
    )
    elsewhere = allow("scheduler:CreateSchedule", f"arn:aws:scheduler:{WHERE}:schedule/default/*")
    for statements, refused in (([elsewhere, passing], "CreateSchedule"), ([create], "PassRole")):
        assert refused in call(aws, statements, "scheduler", "create_schedule", **request)
    assert call(aws, [create, passing], "scheduler", "create_schedule", **request) == ""


def test_rules_of_the_default_bus_and_log_streams_have_their_documented_arns(
    aws: LocalAws,
) -> None:
    name = unique("x")
    rules = allow("events:PutRule", f"arn:aws:events:{WHERE}:rule/{name}")
    pattern = json.dumps({"source": ["x"]})
    assert call(aws, [rules], "events", "put_rule", Name=name, EventPattern=pattern) == ""
    aws.client("logs").create_log_group(logGroupName=name)
    streams = allow("logs:CreateLogStream", f"arn:aws:logs:{WHERE}:log-group:{name}:*")
    request = {"logGroupName": name, "logStreamName": "s"}
    assert call(aws, [streams], "logs", "create_log_stream", **request) == ""


def test_alarms_are_deleted_with_the_right_to_each_and_composed_with_the_right_to_all(
    aws: LocalAws,
) -> None:
    """DeleteAlarms names several; PutCompositeAlarm "must be scoped to *" (API reference)."""
    name = unique("x")
    ours = f"arn:aws:cloudwatch:{WHERE}:alarm:{name}-*"
    names = [f"{name}-a", f"{name}-b"]
    deleting = allow("cloudwatch:DeleteAlarms", ours)
    assert call(aws, [deleting], "cloudwatch", "delete_alarms", AlarmNames=names) == ""
    refused = call(aws, [deleting], "cloudwatch", "delete_alarms", AlarmNames=[*names, "other"])
    assert "DeleteAlarms" in refused
    request = {"AlarmName": f"{name}-c", "AlarmRule": "FALSE"}
    narrow, wide = (allow("cloudwatch:PutCompositeAlarm", where) for where in (ours, "*"))
    refused = call(aws, [narrow], "cloudwatch", "put_composite_alarm", **request)
    assert "PutCompositeAlarm" in refused
    assert call(aws, [wide], "cloudwatch", "put_composite_alarm", **request) == ""


def test_a_token_is_sent_with_the_right_to_its_machine(aws: LocalAws) -> None:
    states = aws.client("stepfunctions")
    code = """
import boto3, json
def handler(event, context):
    token = event["token"]
    boto3.client("stepfunctions").send_task_success(taskToken=token, output=json.dumps(token))
"""
    sender = unique("sender")
    senders: list[str] = []

    def waiting(*statements: dict[str, Any]) -> str:
        name = function(aws, code, Role=role(aws, "lambda", *statements))
        senders.append(name)
        arn = machine(
            aws,
            jsonata(
                "W",
                W={
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
                    "Arguments": {
                        "FunctionName": name,
                        "Payload": {"token": "{% $states.context.Task.Token %}"},
                    },
                    "TimeoutSeconds": 20,
                    "End": True,
                },
            ),
        )
        return str(states.start_execution(stateMachineArn=arn, name=sender)["executionArn"])

    machines = f"arn:aws:states:{WHERE}:stateMachine:sm-*"
    succeeded = finish(aws, waiting(allow("states:SendTaskSuccess", machines)))
    assert succeeded["status"] == "SUCCEEDED"
    # Who comes late, with the same right, is told that the task has ended, not that it may not.
    token = {"token": json.loads(succeeded["output"])}
    reply = aws.client("lambda").invoke(FunctionName=senders[0], Payload=json.dumps(token))
    assert "TaskTimedOut" in json.loads(reply["Payload"].read())["errorMessage"]
    other = f"arn:aws:states:{WHERE}:stateMachine:other"
    ended = finish(aws, waiting(allow("states:SendTaskSuccess", other)))
    assert "AccessDenied" in ended["cause"]
