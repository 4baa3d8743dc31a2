"""CloudWatch alarms as AWS documents them: dimensions, M of N, missing data, events, actions."""

import json
import time
from typing import Any

import pytest

from tests.local.conftest import LocalAws, wait_until
from tests.local.ministack.helpers import function, jsonata, machine, queue, receive, unique


def alarm(aws: LocalAws, **options: Any) -> str:
    """An alarm on metric `m` of a namespace that is named like the alarm."""
    name = unique("alarm")
    settings = {
        "Namespace": name,
        "MetricName": "m",
        "Statistic": "Average",
        "Period": 10,
        "EvaluationPeriods": 1,
        "Threshold": 5,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    aws.client("cloudwatch").put_metric_alarm(AlarmName=name, **{**settings, **options})
    return name


def put(aws: LocalAws, namespace: str, value: float, ago: float = 0, **dimensions: str) -> None:
    named = [{"Name": key, "Value": each} for key, each in dimensions.items()]
    aws.client("cloudwatch").put_metric_data(
        Namespace=namespace,
        MetricData=[
            {"MetricName": "m", "Value": value, "Dimensions": named, "Timestamp": time.time() - ago}
        ],
    )


def state(aws: LocalAws, name: str) -> str:
    found = aws.client("cloudwatch").describe_alarms(
        AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    return str((found["MetricAlarms"] + found["CompositeAlarms"])[0]["StateValue"])


def settle(aws: LocalAws, name: str, expected: str) -> None:
    wait_until(lambda: state(aws, name) == expected, what=f"{name} to be {expected}")


def test_an_alarm_looks_at_its_own_dimensions(aws: LocalAws) -> None:
    name = alarm(aws, Dimensions=[{"Name": "model", "Value": "a"}])
    other = alarm(aws, Namespace=name, Dimensions=[{"Name": "model", "Value": "b"}])
    put(aws, name, 9, model="b")
    settle(aws, other, "ALARM")
    assert state(aws, name) == "INSUFFICIENT_DATA"


def test_m_out_of_n_periods_must_breach(aws: LocalAws) -> None:
    name = alarm(aws, EvaluationPeriods=3, DatapointsToAlarm=2)
    control = alarm(aws, Namespace=name)
    put(aws, name, 9)
    settle(aws, control, "ALARM")
    assert state(aws, name) == "INSUFFICIENT_DATA", "one breaching datapoint of two is too few"
    put(aws, name, 1, ago=11)
    settle(aws, name, "OK")
    put(aws, name, 9, ago=22)
    settle(aws, name, "ALARM")


@pytest.mark.parametrize(
    ("treatment", "expected"),
    [("breaching", "ALARM"), ("notBreaching", "OK"), ("missing", "INSUFFICIENT_DATA")],
)
def test_missing_data_count_as_configured(aws: LocalAws, treatment: str, expected: str) -> None:
    settle(aws, alarm(aws, TreatMissingData=treatment), expected)


def test_it_returns_to_ok_by_itself_and_tells_the_bus_and_its_actions(aws: LocalAws) -> None:
    (url, arn), (done_url, done) = queue(aws), queue(aws)
    events, topic = aws.client("events"), aws.client("sns").create_topic(Name=unique("t"))
    sender = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}}
    policy = {"Statement": [{**sender, "Action": "sqs:SendMessage", "Resource": done}]}
    aws.client("sqs").set_queue_attributes(
        QueueUrl=done_url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", **policy})}
    )
    aws.client("sns").subscribe(TopicArn=topic["TopicArn"], Protocol="sqs", Endpoint=done)
    call = function(
        aws,
        f"""
import boto3, json
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl="{done_url}", MessageBody=json.dumps(event))
""",
    )
    action = aws.client("lambda").get_function(FunctionName=call)["Configuration"]["FunctionArn"]
    name = alarm(
        aws, Period=2, TreatMissingData="notBreaching", AlarmActions=[topic["TopicArn"], action]
    )
    settle(aws, name, "OK")
    pattern = {"source": ["aws.cloudwatch"], "detail": {"alarmName": [name]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    put(aws, name, 9)
    changes = [json.loads(each["Body"]) for each in receive(aws, url, 2)]
    assert [each["detail"]["state"]["value"] for each in changes] == ["ALARM", "OK"]
    assert changes[0]["detail-type"] == "CloudWatch Alarm State Change"
    assert changes[0]["detail"]["previousState"]["value"] == "OK"
    metric = changes[0]["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"]
    assert (metric["namespace"], metric["name"]) == (name, "m")
    assert name in "".join(each["Body"] for each in receive(aws, done_url, 2))


def test_a_composite_alarm_follows_its_parts(aws: LocalAws) -> None:
    part, name = alarm(aws, TreatMissingData="notBreaching"), unique("composite")
    settle(aws, part, "OK")
    aws.client("cloudwatch").put_composite_alarm(AlarmName=name, AlarmRule=f'ALARM("{part}")')
    put(aws, part, 9)
    settle(aws, name, "ALARM")


def test_queues_and_state_machines_report_themselves(aws: LocalAws) -> None:
    url, arn = queue(aws)
    depth = alarm(
        aws,
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": arn.rsplit(":", 1)[-1]}],
        Statistic="Maximum",
        Threshold=0,
    )
    settle(aws, depth, "OK")
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    settle(aws, depth, "ALARM")
    failing = machine(aws, jsonata("F", F={"Type": "Fail", "Error": "E"}))
    failed = alarm(
        aws,
        Namespace="AWS/States",
        MetricName="ExecutionsFailed",
        Threshold=0,
        Dimensions=[{"Name": "StateMachineArn", "Value": failing}],
        Statistic="Sum",
    )
    aws.client("stepfunctions").start_execution(stateMachineArn=failing)
    settle(aws, failed, "ALARM")
