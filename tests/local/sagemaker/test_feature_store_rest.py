"""REST requests are found and read by botocore's models, for the service and for IAM alike."""

from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError, rest, shapes

ARN = "arn:aws:sagemaker:us-east-1:000000000000:feature-group/people"


@pytest.mark.parametrize(
    ("method", "path", "operation", "named"),
    [
        ("GET", "/FeatureGroup/people", "GetRecord", {"FeatureGroupName": "people"}),
        ("PUT", f"/FeatureGroup/{ARN}", "PutRecord", {"FeatureGroupName": ARN}),
        ("POST", f"/FeatureGroup/{ARN}/Record", "UpdateRecord", {"FeatureGroupName": ARN}),
        ("POST", f"/FeatureGroup/{ARN}/ListRecords", "ListRecords", {"FeatureGroupName": ARN}),
        ("POST", "/BatchGetRecord", "BatchGetRecord", {}),
        ("PUT", "/BatchPutMetrics", "BatchPutMetrics", {}),
        ("POST", "/endpoints/e/invocations", "InvokeEndpoint", {"EndpointName": "e"}),
    ],
)
def test_routes(method: str, path: str, operation: str, named: dict[str, str]) -> None:
    found = rest.find(method, path)
    assert found is not None
    assert (found[0].operation, found[1]) == (operation, named)
    assert rest.find("PATCH", path) is None


def test_every_operation_of_the_models_has_its_route() -> None:
    known = {
        name for service in shapes.REST for name in shapes.service_model(service).operation_names
    }
    assert {route.operation for route in rest.routes()} == known


def test_members_are_gathered_from_where_they_travel() -> None:
    found = rest.find("GET", "/FeatureGroup/people")
    assert found is not None
    query = {"RecordIdentifierValueAsString": ["7"], "FeatureName": ["a", "b"], "Other": ["x"]}
    assert rest.gather(*found, {}, query, b"") == {
        "FeatureGroupName": "people",
        "RecordIdentifierValueAsString": "7",
        "FeatureNames": ["a", "b"],
    }
    invoked = rest.find("POST", "/endpoints/e/invocations")
    assert invoked is not None
    headers = {"x-amzn-sagemaker-target-variant": "blue"}
    assert rest.gather(*invoked, headers, {}, b"1,2") == {
        "EndpointName": "e",
        "TargetVariant": "blue",
    }, "the body is the container's"
    put = rest.find("PUT", "/FeatureGroup/people")
    assert put is not None
    for body in (b"{", b"[]"):
        with pytest.raises(ServiceError) as refused:
            rest.gather(*put, {}, {}, body)
        assert refused.value.code == "SerializationException"


@pytest.mark.parametrize(
    ("operation", "request_", "expected"),
    [
        ("PutRecord", {"FeatureGroupName": "a"}, "feature-group/a"),
        ("UpdateFeatureMetadata", {"FeatureGroupName": "a"}, "feature-group/a"),
        ("BatchGetRecord", {"Identifiers": [{"FeatureGroupName": "a"}] * 2}, "feature-group/a"),
        (
            "BatchWriteRecord",
            {"Entries": [{"FeatureGroupName": "a"}, {"FeatureGroupName": "b"}]},
            "*",
        ),
        (
            "PutModelPackageGroupPolicy",
            {"ModelPackageGroupName": "g"},
            "model-package-group/g",
        ),
        ("InvokeEndpointAsync", {"EndpointName": "e"}, "endpoint/e"),
        ("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, "endpoint/e"),
        ("QueryLineage", {}, "*"),
    ],
)
def test_what_iam_checks(
    service: SageMaker, operation: str, request_: dict[str, Any], expected: str
) -> None:
    found = service.resource_arn(operation, request_)
    assert found.rpartition(":")[2] == expected
