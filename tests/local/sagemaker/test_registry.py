"""Groups, versions and approval. Facts: sagemaker.md §7, §12."""

from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError
from tests.local.sagemaker.conftest import ROLE, SCRIPT, MemoryCloud

SPECIFICATION = {
    "Containers": [{"Image": SCRIPT, "ModelDataUrl": "s3://bucket/model.tar.gz"}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}


@pytest.fixture
def registry(service: SageMaker) -> SageMaker:
    service.call("CreateModelPackageGroup", {"ModelPackageGroupName": "credit"})
    return service


def add(registry: SageMaker, **members: Any) -> str:
    request = {
        "ModelPackageGroupName": "credit",
        "InferenceSpecification": SPECIFICATION,
        **members,
    }
    return registry.call("CreateModelPackage", request)["ModelPackageArn"]


def describe(registry: SageMaker, arn: str) -> dict[str, Any]:
    return registry.call("DescribeModelPackage", {"ModelPackageName": arn})


def test_versions_count_up_and_are_not_used_twice(registry: SageMaker) -> None:
    first, second = add(registry), add(registry)
    assert first == "arn:aws:sagemaker:us-east-1:000000000000:model-package/credit/1"
    assert second.endswith("/credit/2")
    registry.call("DeleteModelPackage", {"ModelPackageName": second})
    assert add(registry).endswith("/credit/3")
    package = describe(registry, first)
    assert package["ModelPackageVersion"] == 1
    assert package["ModelPackageStatus"] == "Completed"
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["InferenceSpecification"] == SPECIFICATION


def test_a_client_token_makes_one_package(registry: SageMaker) -> None:
    first = add(registry, ClientToken="token-1", ModelApprovalStatus="PendingManualApproval")
    update = {"ModelPackageArn": first, "ModelApprovalStatus": "Approved"}
    registry.call("UpdateModelPackage", update)
    replay = add(registry, ClientToken="token-1", ModelApprovalStatus="PendingManualApproval")
    assert replay == first
    with pytest.raises(ServiceError, match="different request") as refused:
        add(registry, ClientToken="token-1", ModelPackageDescription="other")
    assert refused.value.code == "ConflictException"
    assert add(registry, ClientToken="token-2") != first


def test_approval_is_an_event(registry: SageMaker, cloud: MemoryCloud) -> None:
    arn = add(registry, CustomerMetadataProperties={"dataset": "sha256", "old": "1"})
    cloud.events.clear()
    registry.call(
        "UpdateModelPackage",
        {
            "ModelPackageArn": arn,
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": "better by 0.02",
            "CustomerMetadataProperties": {"approver": "ana"},
            "CustomerMetadataPropertiesToRemove": ["old"],
        },
    )
    package = describe(registry, arn)
    assert package["ApprovalDescription"] == "better by 0.02"
    assert package["CustomerMetadataProperties"] == {"dataset": "sha256", "approver": "ana"}
    [(detail_type, detail, resources)] = cloud.events
    assert detail_type == "SageMaker Model Package State Change"
    assert resources == [arn]
    assert detail["ModelApprovalStatus"] == "Approved"
    assert (detail["ModelPackageGroupName"], detail["ModelPackageVersion"]) == ("credit", 1)
    assert detail["InferenceSpecification"] == SPECIFICATION
    assert detail["CreationTime"].endswith("Z"), "ISO-8601 for packages"
    assert detail["Tags"] == {}


def test_listing(registry: SageMaker) -> None:
    arns = [add(registry) for _ in range(3)]
    update = {"ModelPackageArn": arns[1], "ModelApprovalStatus": "Approved"}
    registry.call("UpdateModelPackage", update)
    lone = {"ModelPackageName": "lone", "InferenceSpecification": SPECIFICATION}
    lone_arn = registry.call("CreateModelPackage", lone)["ModelPackageArn"]

    def listed(**request: Any) -> list[str]:
        found = registry.call("ListModelPackages", request)["ModelPackageSummaryList"]
        return [package["ModelPackageArn"] for package in found]

    assert listed(ModelPackageGroupName="credit") == arns, "oldest first"
    newest = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 1}
    assert listed(ModelPackageGroupName="credit", **newest) == arns[2:]
    assert listed(ModelPackageGroupName="credit", ModelApprovalStatus="Approved") == [arns[1]]
    assert listed() == [lone_arn], "unversioned is the default"
    assert len(listed(ModelPackageType="Both")) == 4
    with pytest.raises(ServiceError, match="does not exist"):
        listed(ModelPackageGroupName="nobody")


def test_a_model_needs_an_approved_package(registry: SageMaker) -> None:
    arn = add(registry)
    request = {
        "ModelName": "m",
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"ModelPackageName": arn},
    }
    with pytest.raises(ServiceError, match="must be approved"):
        registry.call("CreateModel", request)
    for status, works in (("Rejected", False), ("Approved", True)):
        update = {"ModelPackageArn": arn, "ModelApprovalStatus": status}
        registry.call("UpdateModelPackage", update)
        if works:
            assert registry.call("CreateModel", request)["ModelArn"].endswith(":model/m")
        else:
            with pytest.raises(ServiceError, match=f"it is {status}"):
                registry.call("CreateModel", request)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ModelPackageName": "both"}, "Both ModelPackageName and ModelPackageGroupName"),
        ({"Tags": [{"Key": "k", "Value": "v"}]}, "Tags cannot be given to a versioned"),
        ({"ModelPackageGroupName": "nobody"}, "ModelPackageGroup .* does not exist"),
        ({"ModelApprovalStatus": "Maybe"}, "enum value set"),
        (
            {"ValidationSpecification": {"ValidationRole": ROLE, "ValidationProfiles": []}},
            "ValidationSpecification is not implemented locally",
        ),
    ],
)
def test_refused(registry: SageMaker, members: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        add(registry, **members)


def test_a_group_with_versions_stays(registry: SageMaker) -> None:
    arn = add(registry)
    with pytest.raises(ServiceError) as refused:
        registry.call("DeleteModelPackageGroup", {"ModelPackageGroupName": "credit"})
    assert refused.value.code == "ConflictException"
    registry.call("DeleteModelPackage", {"ModelPackageName": arn})
    registry.call("DeleteModelPackageGroup", {"ModelPackageGroupName": "credit"})
