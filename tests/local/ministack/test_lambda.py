"""Lambda as AWS documents it: errors, environments, concurrency, asynchronous invocations, EMF."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.local.conftest import LocalAws, wait_until
from tests.local.ministack.helpers import archive, function, invoke, queue, receive


def test_an_exception_is_named_by_its_class_and_leaves_the_environment_usable(
    aws: LocalAws,
) -> None:
    name = function(
        aws,
        """
import os
class TransientError(Exception): pass
def handler(event, context):
    if event: raise TransientError("no luck")
    return os.getpid()
""",
    )
    before, _ = invoke(aws, name)
    payload, error = invoke(aws, name, "fail")
    assert (error, payload["errorType"], payload["errorMessage"]) == (
        "Unhandled",
        "TransientError",
        "no luck",
    )
    assert "raise TransientError" in payload["stackTrace"][-1]
    assert invoke(aws, name)[0] == before


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import missing_module", "Runtime.ImportModuleError"),
        ("x = 1", "Runtime.HandlerNotFound"),
        ("raise ValueError('at import')", "ValueError"),
        ("def handler(e, c): return object()", "Runtime.MarshalError"),
        ("import os\ndef handler(e, c): os.kill(os.getpid(), 9)", "Runtime.ExitError"),
        ("import time\ndef handler(e, c): time.sleep(9)", "Sandbox.Timedout"),
    ],
)
def test_the_runtime_names_its_own_failures(aws: LocalAws, code: str, error: str) -> None:
    payload, _ = invoke(aws, function(aws, code, Timeout=1))
    assert payload["errorType"] == error


def test_a_function_sees_its_own_environment_and_packages_only(aws: LocalAws) -> None:
    name = function(
        aws,
        """
import importlib.util, os, sys
def handler(event, context):
    found = [n for n in ("boto3", "ministack", "pydantic", "samtranslator", "local")
             if importlib.util.find_spec(n)]
    return {"env": dict(os.environ), "found": found, "cwd": os.getcwd(),
            "left": context.get_remaining_time_in_millis()}
""",
        Environment={"Variables": {"OWN": "1"}},
    )
    seen, error = invoke(aws, name)
    assert not error, seen
    assert seen["found"] == ["boto3"]
    assert "SECRET_OF_THE_HOST" not in seen["env"]
    assert "HOME" not in seen["env"]
    assert seen["env"]["OWN"] == "1"
    assert seen["env"]["AWS_ENDPOINT_URL"] == aws.facts["endpoint_url"]
    assert seen["env"]["LAMBDA_TASK_ROOT"] == seen["cwd"]
    assert seen["env"]["AWS_ACCESS_KEY_ID"] != aws.facts["access_key_id"]
    assert 0 < seen["left"] <= 10_000


def test_layers_come_after_the_code_and_later_layers_first(aws: LocalAws) -> None:
    client = aws.client("lambda")
    layers = [
        client.publish_layer_version(
            LayerName=f"l{i}",
            Content={
                "ZipFile": archive(
                    **{
                        "python__shared": f"WHO = {i}",
                        f"python__only{i}": "",
                        "python__app": "x = 1",
                    }
                )
            },
        )["LayerVersionArn"]
        for i in range(2)
    ]
    code = "import shared, only0, only1\ndef handler(e, c): return [shared.WHO, shared.__file__]"
    first, second = (function(aws, code, Layers=layers) for _ in range(2))
    (who, path), _ = invoke(aws, first)
    assert who == 1
    assert invoke(aws, second)[0][1] == path, "unpacked once, shared"


def test_a_burst_queues_and_loses_nothing(aws: LocalAws) -> None:
    name = function(
        aws,
        """
import os, time
def handler(event, context):
    time.sleep(0.02)
    return [event, os.getpid()]
""",
    )
    with ThreadPoolExecutor(40) as threads:
        replies = list(threads.map(lambda i: invoke(aws, name, i), range(80)))
    assert [reply[0][0] for reply in replies] == list(range(80))
    assert len({reply[0][1] for reply in replies}) <= 2 * (os.cpu_count() or 2)


def test_functions_that_call_functions_do_not_wait_for_their_own_turn(aws: LocalAws) -> None:
    name = function(
        aws,
        """
import boto3, json, os
def handler(event, context):
    if event == 0: return "end"
    reply = boto3.client("lambda").invoke(
        FunctionName=context.function_name, Payload=json.dumps(event - 1))
    return json.loads(reply["Payload"].read())
""",
        Timeout=30,
    )
    many = 2 * (os.cpu_count() or 2)
    with ThreadPoolExecutor(many) as threads:
        replies = list(threads.map(lambda _: invoke(aws, name, 1), range(many)))
    assert [reply[0] for reply in replies] == ["end"] * many


def test_reserved_concurrency_throttles(aws: LocalAws) -> None:
    name = function(aws, "def handler(e, c): return 1")
    client = aws.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        invoke(aws, name)


def test_log_lines_in_embedded_metric_format_become_metrics(aws: LocalAws) -> None:
    name = function(
        aws,
        """
import json, logging
def handler(event, context):
    logging.getLogger().warning("careful")
    print(json.dumps({"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "Emf",
        "Dimensions": [["model"]], "Metrics": [{"Name": "rows", "Unit": "Count"}]}]},
        "model": context.function_name, "rows": [2, 3]}))
""",
    )
    invoke(aws, name)
    metric = {
        "Namespace": "Emf",
        "MetricName": "rows",
        "Dimensions": [{"Name": "model", "Value": name}],
    }
    found = aws.client("cloudwatch").get_metric_statistics(
        **metric, StartTime=0, EndTime=4102444800, Period=86400, Statistics=["Sum", "SampleCount"]
    )["Datapoints"]
    assert [(point["Sum"], point["SampleCount"]) for point in found] == [(5, 2)]
    events = aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    text = "\n".join(event["message"] for event in events)
    assert "[WARNING]" in text
    assert "careful" in text
    assert "REPORT RequestId" in text


def test_an_asynchronous_failure_is_retried_then_sent_to_the_dead_letter_queue(
    aws: LocalAws,
) -> None:
    (dead_url, dead), (record_url, record) = queue(aws), queue(aws)
    name = function(
        aws, "def handler(e, c): raise KeyError('gone')", DeadLetterConfig={"TargetArn": dead}
    )
    client = aws.client("lambda")
    client.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": record}},
    )
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"a": 1}')
    letter = receive(aws, dead_url)[0]
    assert json.loads(letter["Body"]) == {"a": 1}
    assert letter["MessageAttributes"]["ErrorMessage"]["StringValue"] == "'gone'"
    report = json.loads(receive(aws, record_url)[0]["Body"])
    assert report["requestContext"]["condition"] == "RetriesExhausted"
    assert report["requestContext"]["approximateInvokeCount"] == 2
    assert report["responsePayload"]["errorType"] == "KeyError"


def test_an_asynchronous_success_reports_to_its_destination(aws: LocalAws) -> None:
    url, arn = queue(aws)
    name = function(aws, "def handler(e, c): return e")
    client = aws.client("lambda")
    client.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": arn}}
    )
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b"7")
    assert json.loads(receive(aws, url)[0]["Body"])["responsePayload"] == 7


def test_new_code_replaces_warm_environments(aws: LocalAws) -> None:
    name = function(aws, "def handler(e, c): return 1")
    client = aws.client("lambda")
    assert invoke(aws, name)[0] == 1
    client.update_function_code(
        FunctionName=name, ZipFile=archive(app="def handler(e, c): return 2")
    )
    wait_until(lambda: invoke(aws, name)[0] == 2, what="the new code")


def test_invocations_that_functions_leave_behind_queue_too(aws: LocalAws) -> None:
    url, _ = queue(aws)
    name = function(
        aws,
        f"""
import boto3, json, os, time
def handler(event, context):
    if event == "start":
        for i in range(20):
            boto3.client("lambda").invoke(
                FunctionName=context.function_name, InvocationType="Event", Payload=json.dumps(i))
        return
    time.sleep(0.05)
    boto3.client("sqs").send_message(QueueUrl="{url}", MessageBody=str(os.getpid()))
""",
        Timeout=60,
    )
    invoke(aws, name, "start")
    processes = {each["Body"] for each in receive(aws, url, 20, 60)}
    assert len(processes) <= 2 * (os.cpu_count() or 2)
