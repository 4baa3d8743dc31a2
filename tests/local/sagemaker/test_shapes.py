"""Requests checked by botocore's model, in AWS's words. Facts: sagemaker.md §1."""

import datetime as dt
import json
import re
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError, shapes

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


def test_every_operation_runs_or_is_refused(service: SageMaker) -> None:
    """Never a silent success: what is not done here says so."""
    for operation in sorted(shapes.operation_names() - service.operations):
        with pytest.raises(ServiceError) as refused:
            service.call(operation, {})
        assert refused.value.message == f"SageMaker's {operation} is not implemented locally"
    with pytest.raises(ServiceError, match="Unknown operation DescribeHeadrace"):
        service.call("DescribeHeadrace", {})


def test_what_runs_here(service: SageMaker) -> None:
    """The list that docs/local-mode.md gives."""
    assert service.operations == {
        "AddTags",
        "CreateEndpoint",
        "CreateEndpointConfig",
        "CreateModel",
        "CreateModelPackage",
        "CreateModelPackageGroup",
        "CreateProcessingJob",
        "CreateTrainingJob",
        "DeleteEndpoint",
        "DeleteEndpointConfig",
        "DeleteModel",
        "DeleteModelPackage",
        "DeleteModelPackageGroup",
        "DeleteProcessingJob",
        "DeleteTags",
        "DeleteTrainingJob",
        "DescribeEndpoint",
        "DescribeEndpointConfig",
        "DescribeModel",
        "DescribeModelPackage",
        "DescribeModelPackageGroup",
        "DescribeProcessingJob",
        "DescribeTrainingJob",
        "ListEndpointConfigs",
        "ListEndpoints",
        "ListModelPackageGroups",
        "ListModelPackages",
        "ListModels",
        "ListProcessingJobs",
        "ListTags",
        "ListTrainingJobs",
        "StopProcessingJob",
        "StopTrainingJob",
        "UpdateEndpoint",
        "UpdateModelPackage",
    }


def test_http_errors_have_a_body_and_a_header(service: SageMaker) -> None:
    """Error body `{__type, message}` and x-amzn-ErrorType, for both protocols."""
    import asyncio

    async def ask(path: str, headers: dict[str, str], body: bytes = b"{}") -> tuple[int, str, str]:
        status, answer, content = await service.handle("POST", path, headers, body, {})
        found = json.loads(content)
        assert found["__type"] == answer["x-amzn-ErrorType"]
        assert re.fullmatch(r"[0-9a-f-]{36}", answer["x-amzn-RequestId"])
        return status, found["__type"], found["message"]

    async def all_of_it() -> None:
        target = {"x-amz-target": "SageMaker.DescribeModel"}
        assert (await ask("/", target))[:2] == (400, "ValidationException")
        assert (await ask("/", target, b"{"))[:2] == (400, "SerializationException")
        assert (await ask("/", target, b"[]"))[:2] == (400, "SerializationException")
        missing = await ask("/endpoints/nobody/invocations", {})
        message = "Endpoint nobody of account 000000000000 not found."
        assert missing == (400, "ValidationError", message)
        assert (await ask("/endpoints/nobody/async-invocations", {}))[0] == 501
        assert (await ask("/FeatureGroup/f", {}))[0] == 501

    asyncio.run(all_of_it())
