"""Requests checked by botocore's model, in AWS's words.

AWS: "Common errors" of the SageMaker API reference, and the constraints of each operation's page.
"""

import datetime as dt
import json
import re
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError, shapes
from local.sagemaker.families.base import Operations, operation
from local.sagemaker.store import Record

ROLE = "arn:aws:iam::000000000000:role/any-role"


def refusal(operation: str, request: dict[str, Any]) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        shapes.parse(operation, request)
    return refused.value


def test_every_violation_is_listed() -> None:
    error = refusal(
        "CreateTrainingJob",
        {
            "TrainingJobName": "under_score",
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingInputMode": "Carrier pigeon"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 0},
        },
    )
    assert error.code == "ValidationException"
    assert error.message.startswith("4 validation errors detected: ")
    for part in (
        "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null",
        "Value 'under_score' at 'trainingJobName' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        "Value 'Carrier pigeon' at 'algorithmSpecification.trainingInputMode' failed to satisfy "
        "constraint: Member must satisfy enum value set: [Pipe, File, FastFile]",
        "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member "
        "must have value greater than or equal to 1",
    ):
        assert part in error.message


def test_one_violation_is_singular_and_lists_are_indexed() -> None:
    request = {"ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m"}
    error = refusal("AddTags", {**request, "Tags": [{"Key": "k", "Value": "v"}, {"Key": "k"}]})
    assert error.message == (
        "1 validation error detected: Value null at 'tags.2.member.value' failed to satisfy "
        "constraint: Member must not be null"
    )


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("DescribeEndpoint", {"EndpointName": 7}),
        ("ListEndpoints", {"MaxResults": "ten"}),
        ("ListEndpoints", {"MaxResults": True}),
        ("ListEndpoints", {"CreationTimeAfter": "yesterday"}),
        ("AddTags", {"ResourceArn": "arn", "Tags": {"Key": "k"}}),
    ],
)
def test_wrong_types_are_serialization_errors(operation: str, request_: dict[str, Any]) -> None:
    assert refusal(operation, request_).code == "SerializationException"


def test_times_become_epoch_seconds_and_unknown_members_go() -> None:
    moment = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    for given in (moment, moment.isoformat(), moment.timestamp(), int(moment.timestamp())):
        parsed = shapes.parse("ListEndpoints", {"CreationTimeAfter": given, "Invented": 1})
        assert parsed == {"CreationTimeAfter": moment.timestamp()}


def test_members_of_output_shapes_alone_are_shown() -> None:
    record = {"EndpointName": "e", "_serving": {"secret": 1}, "Tags": [], "CreationTime": 1.5}
    assert shapes.render("DescribeEndpoint", record) == {"EndpointName": "e", "CreationTime": 1.5}


def test_patterns_of_the_model_are_understood() -> None:
    """Java's patterns, all but those that Python cannot read at all."""
    model = shapes.service_model()
    patterns = {model.shape_for(name).metadata.get("pattern") for name in model.shape_names}
    unread = [pattern for pattern in patterns if pattern and not shapes.compiled_pattern(pattern)]
    assert len(unread) <= 1, unread  # code points beyond Python's notation
    tag_key = shapes.compiled_pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)")
    assert tag_key
    assert tag_key.fullmatch("größe: 3 kg")
    assert not tag_key.fullmatch("a;b")


_ARN = "arn:aws:sagemaker:us-east-1:000000000000"
_TEXTS = (
    "a",
    ROLE,
    *(f"{_ARN}:{what}/a" for what in ("artifact", "workteam/private-crowd", "endpoint", "model")),
    "arn:aws:lambda:us-east-1:000000000000:function:a",
    "s3://bucket/key",
)


def minimal(shape: Any) -> Any:
    """The least that a shape of the model allows, as far as these texts fit its patterns."""
    rules = shape.metadata
    match shape.type_name:
        case "structure":
            return {name: minimal(shape.members[name]) for name in shape.required_members}
        case "list":
            return [minimal(shape.member)] * rules.get("min", 0)
        case "map":
            return {}
        case "boolean":
            return True
        case "string" if "enum" in rules:
            return rules["enum"][0]
        case "string":
            pattern = shapes.compiled_pattern(rules.get("pattern", ".*"))
            fitting = (text for text in _TEXTS if pattern and pattern.fullmatch(text))
            return next(fitting, "a").ljust(rules.get("min", 0), "a")
        case _:
            return rules.get("min", 1)


def outcome(service: SageMaker, operation: str) -> str:
    """The code of the error that a minimal request is answered with, or "answered"."""
    inputs = shapes.operation_model(operation).input_shape
    try:
        service.call(operation, minimal(inputs) if inputs else {})
    except ServiceError as error:
        return error.code
    return "answered"


def test_every_operation_runs_or_is_refused(service: SageMaker) -> None:
    """Never a silent success: what is not done here says so, what is not there is not found."""
    own = shapes.operation_names()
    outcomes = {operation: outcome(service, operation) for operation in own - service.operations}
    assert set(outcomes.values()) == {"NotImplementedLocally"}
    asks_what_is_there = re.compile("Create|List|Search|Query|Batch(Get|Write|Describe)")
    outcomes = {
        operation: outcome(service, operation)
        for operation in service.operations
        if not asks_what_is_there.match(operation)
    }
    assert outcomes.keys() > {"DescribeModel", "DeleteEndpoint", "StopTrainingJob", "PutRecord"}
    refusals = {"ValidationException", "ValidationError", "ResourceNotFound"}
    assert set(outcomes.values()) <= refusals, outcomes


def test_what_runs_takes_a_minimal_request(service: SageMaker) -> None:
    """A Create, a List or a query is answered, or refused in AWS's words."""
    outcomes = {operation: outcome(service, operation) for operation in sorted(service.operations)}
    refused = [name for name, code in outcomes.items() if code == "NotImplementedLocally"]
    assert refused == ["CreateLabelingJob"]  # the least it takes has no UiTemplateS3Uri
    assert outcomes["CreateModelPackageGroup"] == outcomes["ListEndpoints"] == "answered"


def test_every_operation_has_one_place(service: SageMaker) -> None:
    """An operation is answered by one class, and what is stored only is answered there too."""
    given = [name for each in service.answering for name in each.operations()]
    assert sorted(given) == sorted(service.operations)
    for each in service.answering:
        assert each.stored_only <= each.operations().keys(), type(each)


def test_a_method_named_after_no_operation_is_found() -> None:
    class Odd(Operations):
        @operation
        def descibe_model(self, request: Record) -> Record:
            return request

    with pytest.raises(KeyError, match="descibemodel"):
        Odd().operations()


def test_an_unknown_operation_is_refused(service: SageMaker) -> None:
    with pytest.raises(ServiceError, match="Unknown operation DescribeHeadrace"):
        service.call("DescribeHeadrace", {})


def test_http_errors_have_a_body_and_a_header(service: SageMaker) -> None:
    """Error body `{__type, message}` and x-amzn-ErrorType, for both protocols."""
    import asyncio

    async def ask(path: str, headers: dict[str, str], body: bytes = b"{}") -> tuple[int, str, str]:
        status, answer, content = await service.handle("POST", path, headers, body, {})
        found = json.loads(content)
        assert found["__type"] == answer["x-amzn-ErrorType"]
        [request] = [answer[name] for name in answer if name.lower() == "x-amzn-requestid"]
        assert re.fullmatch(r"[0-9a-f-]{36}", request)
        return status, found["__type"], found["message"]

    async def all_of_it() -> None:
        target = {"x-amz-target": "SageMaker.DescribeModel"}
        assert (await ask("/", target))[:2] == (400, "ValidationException")
        assert (await ask("/", target, b"{"))[:2] == (400, "SerializationException")
        assert (await ask("/", target, b"[]"))[:2] == (400, "SerializationException")
        missing = await ask("/endpoints/nobody/invocations", {})
        message = "Endpoint nobody of account 000000000000 not found."
        assert missing == (400, "ValidationError", message)
        assert (await ask("/endpoints/nobody/async-invocations", {})) == missing
        pipeline = {"x-amz-target": "SageMaker.CreatePipeline"}
        assert (await ask("/", pipeline))[:2] == (501, "NotImplementedLocally")
        assert (await ask("/FeatureGroup/f", {}))[:2] == (501, "NotImplementedLocally")

    asyncio.run(all_of_it())
