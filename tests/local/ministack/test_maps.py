"""Map states and SDK integrations of Step Functions, as AWS documents them."""

import json
from typing import Any

import pytest

from tests.local.conftest import LocalAws
from tests.local.ministack.helpers import (
    ALLOW_ALL,
    execute,
    function,
    jsonata,
    role,
    unique,
)


@pytest.fixture(scope="module")
def bucket(aws: LocalAws) -> str:
    name = unique("maps")
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="items.json", Body=b"[1, 2, 3]")
    s3.put_object(Bucket=name, Key="rows.csv", Body=b"a,b\n1,2\n3,4\n")
    return name


def over(states: dict[str, Any] | None = None, mode: str = "DISTRIBUTED", **options: Any) -> Any:
    states = states or {"P": {"Type": "Pass", "End": True}}
    processor = {
        "ProcessorConfig": {"Mode": mode, "ExecutionType": "STANDARD"},
        "StartAt": next(iter(states)),
        "States": states,
    }
    return jsonata("M", M={"Type": "Map", "ItemProcessor": processor, "End": True, **options})


@pytest.mark.parametrize("mode", ["INLINE", "DISTRIBUTED"])
def test_items_selector_output_and_assign_in_jsonata(aws: LocalAws, mode: str) -> None:
    definition = over(
        mode=mode,
        Items="{% $states.input.xs %}",
        MaxConcurrency="{% 1 + 1 %}",
        ItemSelector={"v": "{% $states.context.Map.Item.Value * $states.input.by %}"},
        Assign={"total": "{% $sum($states.result.v) %}"},
        Output="{% $states.result.v %}",
    )
    del definition["States"]["M"]["End"]
    definition["States"]["M"]["Next"] = "T"
    definition["States"]["T"] = {
        "Type": "Pass",
        "Output": "{% {'list': $states.input, 'total': $total} %}",
        "End": True,
    }
    ended = execute(aws, definition, {"xs": [1, 2, 3], "by": 10})
    assert json.loads(ended["output"]) == {"list": [10, 20, 30], "total": 60}


def test_items_of_an_object_in_batches(aws: LocalAws, bucket: str) -> None:
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Arguments": {"Bucket": "{% $states.input.bucket %}", "Key": "items.json"},
    }
    ended = execute(
        aws,
        over(
            ItemReader=reader,
            ItemBatcher={
                "MaxItemsPerBatch": 2,
                "BatchInput": {"from": "{% $states.input.bucket %}"},
            },
        ),
        {"bucket": bucket},
    )
    shared = {"BatchInput": {"from": bucket}}
    assert json.loads(ended["output"]) == [{**shared, "Items": [1, 2]}, {**shared, "Items": [3]}]


def test_results_are_written_with_a_manifest(aws: LocalAws, bucket: str) -> None:
    writer = {
        "Resource": "arn:aws:states:::s3:putObject",
        "Arguments": {"Bucket": bucket, "Prefix": "results"},
    }
    ended = execute(aws, over(Items="{% [1, 2] %}", ResultWriter=writer))
    details = json.loads(ended["output"])["ResultWriterDetails"]
    s3 = aws.client("s3")
    manifest = json.loads(s3.get_object(**details)["Body"].read())
    key = manifest["ResultFiles"]["SUCCEEDED"][0]["Key"]
    written = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert sorted(each["Output"] for each in written) == ["1", "2"]
    refused = execute(aws, over(Items=[1], ResultWriter=writer), role_arn=role(aws, "states"))
    assert refused["error"] == "States.ResultWriterFailed"


def test_failures_are_tolerated_up_to_the_threshold(aws: LocalAws) -> None:
    states = {
        "C": {
            "Type": "Choice",
            "Default": "F",
            "Choices": [{"Condition": "{% $states.input > 1 %}", "Next": "P"}],
        },
        "F": {"Type": "Fail", "Error": "Low"},
        "P": {"Type": "Pass", "End": True},
    }
    tolerant = execute(aws, over(states, Items=[1, 2, 3], ToleratedFailureCount=1))
    assert json.loads(tolerant["output"]) == [None, 2, 3]
    strict = execute(aws, over(states, Items=[1, 2, 3]))
    assert strict["error"] == "States.ExceedToleratedFailureThreshold"


def test_one_failing_item_of_an_inline_map_fails_it(aws: LocalAws) -> None:
    states = {"F": {"Type": "Fail", "Error": "Low"}}
    caught = over(states, "INLINE", Items=[1, 2], Catch=[{"ErrorEquals": ["Low"], "Next": "S"}])
    caught["States"]["S"] = {"Type": "Pass", "Output": "caught", "End": True}
    assert execute(aws, caught)["output"] == '"caught"'


def sdk(aws: LocalAws, action: str, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
    resource = f"arn:aws:states:::aws-sdk:{action}"
    state = {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True}
    return execute(aws, jsonata("T", T={**state, **options}))


def test_objects_can_be_put_got_and_copied(aws: LocalAws, bucket: str) -> None:
    put = sdk(aws, "s3:putObject", {"Bucket": bucket, "Key": "new.json", "Body": {"a": 1}})
    assert "ETag" in json.loads(put["output"])
    copied = sdk(
        aws,
        "s3:copyObject",
        {"Bucket": bucket, "CopySource": f"{bucket}/new.json", "Key": "copy.json"},
    )
    assert copied["status"] == "SUCCEEDED", copied
    got = sdk(
        aws,
        "s3:getObject",
        {"Bucket": bucket, "Key": "copy.json"},
        Output="{% $parse($states.result.Body).a %}",
    )
    assert got["output"] == "1", got
    missing = sdk(aws, "s3:getObject", {"Bucket": bucket, "Key": "nothing"})
    assert missing["error"] == "S3.NoSuchKeyException"


def test_functions_and_schedules_can_be_called(aws: LocalAws) -> None:
    name = function(aws, "def handler(e, c): return e")
    found = sdk(aws, "lambda:getFunctionConfiguration", {"FunctionName": name})
    assert json.loads(found["output"])["FunctionName"] == name
    called = sdk(
        aws,
        "lambda:invoke",
        {"FunctionName": name, "Payload": {"a": 2}},
        Output="{% $parse($states.result.Payload).a %}",
    )
    assert called["output"] == "2", called
    states = sdk(aws, "sfn:listStateMachines", {"MaxResults": 1})
    assert isinstance(json.loads(states["output"])["StateMachines"], list)
    listed = sdk(aws, "scheduler:listSchedules", {"NamePrefix": "nothing"})
    assert json.loads(listed["output"])["Schedules"] == []


def test_names_keep_their_inner_acronyms(aws: LocalAws) -> None:
    table = unique("table")
    aws.client("dynamodb").create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    put = sdk(aws, "dynamodb:putItem", {"TableName": table, "Item": {"id": {"S": "a"}}})
    assert put["status"] == "SUCCEEDED", put
    got = sdk(aws, "dynamodb:getItem", {"TableName": table, "Key": {"id": {"S": "a"}}})
    assert json.loads(got["output"])["Item"] == {"id": {"S": "a"}}
    failed = sdk(
        aws,
        "dynamodb:putItem",
        {
            "TableName": table,
            "Item": {"id": {"S": "a"}},
            "ConditionExpression": "attribute_not_exists(id)",
        },
    )
    assert failed["error"] == "DynamoDb.ConditionalCheckFailedException"


def test_the_token_of_an_sdk_call_can_be_sent_back(aws: LocalAws) -> None:
    code = """
import boto3, json
def handler(event, context):
    boto3.client("stepfunctions").send_task_success(
        taskToken=event["token"], output=json.dumps({"back": True}))
"""
    name = function(aws, code, Role=role(aws, "lambda", ALLOW_ALL))
    payload = "{% $string({'token': $states.context.Task.Token}) %}"
    ended = sdk(
        aws,
        "lambda:invoke.waitForTaskToken",
        {"FunctionName": name, "InvocationType": "Event", "Payload": payload},
        TimeoutSeconds=20,
    )
    assert json.loads(ended["output"]) == {"back": True}, ended
