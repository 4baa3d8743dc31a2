"""Small resources for the contract tests."""

import io
import json
import uuid
import zipfile
from typing import Any

from tests.local.conftest import LocalAws, wait_until

ACCOUNT = "000000000000"
ALLOW_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def unique(prefix: str = "t") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as contents:
        for name, text in files.items():
            contents.writestr(name.replace("__", "/") + ".py", text)
    return buffer.getvalue()


def role(aws: LocalAws, service: str, *statements: dict[str, Any]) -> str:
    iam, name = aws.client("iam"), unique("role")
    principal = {"Service": f"{service}.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    arn = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    return str(arn)


def function(aws: LocalAws, code: str, **options: Any) -> str:
    """The name of a new function whose module is `code`."""
    name = unique("fn")
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Code={"ZipFile": archive(app=code)},
        **{"Role": role(aws, "lambda", ALLOW_ALL), "Timeout": 10, **options},
    )
    return name


def invoke(aws: LocalAws, name: str, event: Any = None, **options: Any) -> tuple[Any, str]:
    """(payload, FunctionError)."""
    reply = aws.client("lambda").invoke(
        FunctionName=name, Payload=json.dumps(event).encode(), **options
    )
    return json.loads(reply["Payload"].read()), reply.get("FunctionError", "")


def queue(aws: LocalAws) -> tuple[str, str]:
    """(URL, ARN)."""
    name = unique("q")
    url = aws.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"


def receive(aws: LocalAws, url: str, count: int = 1, seconds: float = 15) -> list[dict[str, Any]]:
    sqs, found = aws.client("sqs"), []

    def enough() -> bool:
        for message in sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", []):
            found.append(message)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(found) >= count

    wait_until(enough, seconds, f"{count} messages in {url}")
    return found


def machine(aws: LocalAws, definition: dict[str, Any], role_arn: str | None = None) -> str:
    return str(
        aws.client("stepfunctions").create_state_machine(
            name=unique("sm"),
            definition=json.dumps(definition),
            roleArn=role_arn or role(aws, "states", ALLOW_ALL),
        )["stateMachineArn"]
    )


def finish(aws: LocalAws, execution_arn: str, seconds: float = 20) -> dict[str, Any]:
    """The description of the execution once it has ended."""
    states = aws.client("stepfunctions")

    def ended() -> dict[str, Any] | None:
        found = states.describe_execution(executionArn=execution_arn)
        return found if found["status"] != "RUNNING" else None

    found: dict[str, Any] = wait_until(ended, seconds, execution_arn)
    return found


def execute(
    aws: LocalAws, definition: dict[str, Any], value: Any = None, role_arn: str | None = None
) -> dict[str, Any]:
    started = aws.client("stepfunctions").start_execution(
        stateMachineArn=machine(aws, definition, role_arn), input=json.dumps(value or {})
    )
    return finish(aws, started["executionArn"])


def task(function_name: str, event: Any = None, **options: Any) -> dict[str, Any]:
    """A JSONata Task state that invokes the function and ends."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function_name, "Payload": event or {}},
        "Output": "{% $states.result.Payload %}",
        "End": True,
        **options,
    }


def jsonata(start: str, **states: Any) -> dict[str, Any]:
    return {"QueryLanguage": "JSONata", "StartAt": start, "States": states}
