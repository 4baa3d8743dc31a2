"""Step Functions as AWS documents it: errors, callbacks, stops, roles, JSONata scopes."""

import json
import time

import pytest

from tests.local.conftest import LocalAws, wait_until
from tests.local.ministack.helpers import (
    ACCOUNT,
    ALLOW_ALL,
    execute,
    finish,
    function,
    jsonata,
    machine,
    queue,
    receive,
    role,
    task,
)

FAILING = """
class TransientError(Exception): pass
def handler(event, context):
    if event.get("state", {}).get("RetryCount", event.get("retry", 0)) < 2:
        raise TransientError("again")
    return "done"
"""
RETRY = {
    "ErrorEquals": ["TransientError"],
    "IntervalSeconds": 1,
    "MaxAttempts": 3,
    "BackoffRate": 10,
    "MaxDelaySeconds": 1,
    "JitterStrategy": "FULL",
}


def test_retry_by_exception_name_honours_the_longest_delay_and_jitter(aws: LocalAws) -> None:
    name = function(aws, FAILING)
    event = {"retry": "{% $states.context.State.RetryCount %}"}
    began = time.monotonic()
    ended = execute(aws, jsonata("A", A=task(name, event, Retry=[RETRY])))
    assert (ended["status"], ended["output"]) == ("SUCCEEDED", '"done"')
    assert time.monotonic() - began < 8, "backoff 1 + 10 s is capped at 1 + 1 s"


def test_catch_by_exception_name(aws: LocalAws) -> None:
    catch = {
        "ErrorEquals": ["TransientError"],
        "Next": "B",
        "Output": "{% $parse($states.errorOutput.Cause).errorMessage %}",
    }
    ended = execute(
        aws, jsonata("A", A=task(function(aws, FAILING), Catch=[catch]), B={"Type": "Succeed"})
    )
    assert ended["output"] == '"again"'


def test_a_function_that_times_out_or_dies_is_lambda_unknown(aws: LocalAws) -> None:
    name = function(aws, "import os\ndef handler(e, c): os._exit(1)")
    assert execute(aws, jsonata("A", A=task(name)))["error"] == "Lambda.Unknown"


def test_a_throttle_has_its_documented_name(aws: LocalAws) -> None:
    name = function(aws, "def handler(e, c): return 1")
    aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    ended = execute(aws, jsonata("A", A=task(name)))
    assert ended["error"] == "Lambda.TooManyRequestsException"


def test_task_timeouts_may_be_jsonata(aws: LocalAws) -> None:
    name = function(aws, "import time\ndef handler(e, c): time.sleep(5)")
    ended = execute(aws, jsonata("A", A=task(name, TimeoutSeconds="{% 1 + 0 %}")))
    assert ended["error"] == "States.Timeout"


def test_a_machine_times_out(aws: LocalAws) -> None:
    definition = jsonata("A", A={"Type": "Wait", "Seconds": 9, "End": True})
    ended = execute(aws, {**definition, "TimeoutSeconds": 1})
    assert ended["status"] == "TIMED_OUT"


def test_stopping_ends_at_once_and_stays_aborted(aws: LocalAws) -> None:
    states = aws.client("stepfunctions")
    retry = [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 9}]
    waits = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}
    arn = states.start_execution(
        stateMachineArn=machine(
            aws,
            jsonata(
                "P", P={"Type": "Parallel", "Branches": [waits, waits], "Retry": retry, "End": True}
            ),
        )
    )["executionArn"]
    wait_until(lambda: len(states.get_execution_history(executionArn=arn)["events"]) > 3)
    states.stop_execution(executionArn=arn, error="E", cause="because")
    assert finish(aws, arn)["status"] == "ABORTED"
    count = len(states.get_execution_history(executionArn=arn)["events"])
    time.sleep(0.3)  # nothing may happen: there is no condition to wait for
    assert len(states.get_execution_history(executionArn=arn)["events"]) == count
    assert states.describe_execution(executionArn=arn)["error"] == "E"


def test_the_same_start_twice_is_one_execution(aws: LocalAws) -> None:
    states = aws.client("stepfunctions")
    arn = machine(aws, jsonata("A", A={"Type": "Wait", "Seconds": 1, "End": True}))
    first, second = (
        states.start_execution(stateMachineArn=arn, name="once", input="{}") for _ in range(2)
    )
    assert first["executionArn"] == second["executionArn"]
    finish(aws, first["executionArn"])
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        states.start_execution(stateMachineArn=arn, name="once", input="{}")


CALLBACK = "arn:aws:states:::lambda:invoke.waitForTaskToken"
TOKEN = {"token": "{% $states.context.Task.Token %}"}


def test_a_callback_with_a_token_per_attempt(aws: LocalAws) -> None:
    url, _ = queue(aws)
    name = function(
        aws,
        f"""
import boto3
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl="{url}", MessageBody=event["token"])
""",
    )
    waits = task(
        name,
        TOKEN,
        Resource=CALLBACK,
        Output="{% $states.result %}",
        Retry=[{"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 1}],
    )
    states = aws.client("stepfunctions")
    arn = states.start_execution(stateMachineArn=machine(aws, jsonata("A", A=waits)))[
        "executionArn"
    ]
    first = receive(aws, url)[0]["Body"]
    states.send_task_failure(taskToken=first, error="Again", cause="")
    second = receive(aws, url)[0]["Body"]
    assert first != second
    with pytest.raises(states.exceptions.TaskTimedOut):
        states.send_task_success(taskToken=first, output="{}")
    states.send_task_success(taskToken=second, output='{"ok": true}')
    assert json.loads(finish(aws, arn)["output"]) == {"ok": True}


def test_a_callback_without_heartbeats_ends(aws: LocalAws) -> None:
    name = function(aws, "def handler(e, c): return 1")
    waits = task(name, TOKEN, Resource=CALLBACK, HeartbeatSeconds=1, TimeoutSeconds=60)
    assert execute(aws, jsonata("A", A=waits))["error"] == "States.HeartbeatTimeout"


def test_a_callback_whose_function_fails_fails(aws: LocalAws) -> None:
    waits = task(function(aws, FAILING), TOKEN, Resource=CALLBACK, TimeoutSeconds=60)
    assert execute(aws, jsonata("A", A=waits))["error"] == "TransientError"


def test_the_role_of_the_machine_is_enforced(aws: LocalAws) -> None:
    name = function(aws, "def handler(e, c): return 1")
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}"
    allowed = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
    definition = jsonata("A", A=task(name))
    assert execute(aws, definition, role_arn=role(aws, "states", allowed))["status"] == "SUCCEEDED"
    for refused in (role(aws, "states"), role(aws, "lambda", ALLOW_ALL)):
        ended = execute(aws, definition, role_arn=refused)
        assert ended["error"] == "Lambda.AWSLambdaException"
        assert "is not authorized" in ended["cause"]


def test_variables_assigned_in_a_branch_stay_there(aws: LocalAws) -> None:
    branch = {
        "StartAt": "X",
        "States": {
            "X": {
                "Type": "Pass",
                "Assign": {"v": 2, "w": 1},
                "Output": "{% $states.input.n + $v %}",
                "End": True,
            }
        },
    }
    ended = execute(
        aws,
        jsonata(
            "Z",
            Z={"Type": "Pass", "Assign": {"v": 1}, "Next": "P"},
            P={
                "Type": "Parallel",
                "Arguments": {"n": "{% $states.input.a + 1 %}"},
                "Branches": [branch],
                "Output": "{% {'r': $states.result} %}",
                "Assign": {"r": "{% $states.result[0] %}"},
                "Next": "Q",
            },
            Q={
                "Type": "Pass",
                "End": True,
                "Output": "{% {'v': $v, 'leaked': $exists($w), 'r': $r, 'in': $states.input.r} %}",
            },
        ),
        {"a": 5},
    )
    assert json.loads(ended["output"]) == {"v": 1, "leaked": False, "r": 7, "in": [7]}


def test_a_failing_branch_ends_the_others(aws: LocalAws) -> None:
    def branch(state: dict[str, object]) -> dict[str, object]:
        return {"StartAt": "S", "States": {"S": state}}

    began = time.monotonic()
    ended = execute(
        aws,
        jsonata(
            "P",
            P={
                "Type": "Parallel",
                "End": True,
                "Branches": [
                    branch({"Type": "Wait", "Seconds": 30, "End": True}),
                    branch({"Type": "Fail", "Error": "Broken"}),
                ],
            },
        ),
    )
    assert (ended["status"], ended["error"]) == ("FAILED", "Broken")
    assert time.monotonic() - began < 10


def test_outputs_are_limited(aws: LocalAws) -> None:
    ended = execute(
        aws, jsonata("A", A={"Type": "Pass", "Output": "{% $pad('', 262150, 'x') %}", "End": True})
    )
    assert ended["error"] == "States.DataLimitExceeded"


def test_a_nested_execution_is_waited_for_and_described(aws: LocalAws) -> None:
    child = machine(aws, jsonata("A", A={"Type": "Pass", "Output": {"x": 1}, "End": True}))
    failing = machine(aws, jsonata("A", A={"Type": "Fail", "Error": "Child", "Cause": "c"}))

    def nested(arn: str) -> dict[str, object]:
        return jsonata(
            "N",
            N={
                "Type": "Task",
                "Resource": "arn:aws:states:::states:startExecution.sync:2",
                "Arguments": {"StateMachineArn": arn, "Input": {}},
                "Output": "{% $states.result.Output.x %}",
                "End": True,
            },
        )

    assert execute(aws, nested(child))["output"] == "1"
    ended = execute(aws, nested(failing))
    assert ended["error"] == "States.TaskFailed"
    assert json.loads(ended["cause"])["Error"] == "Child"
