"""Groups, versions, approval, cards and policies.

API_CreateModelPackage, API_UpdateModelPackage, "Update the approval status of a model".
"""

import json
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


def test_a_replayed_update_changes_nothing(registry: SageMaker) -> None:
    arn = add(registry)
    first = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", "ClientToken": "t-1"}
    registry.call("UpdateModelPackage", first)
    rejected = {"ModelPackageArn": arn, "ModelApprovalStatus": "Rejected"}
    registry.call("UpdateModelPackage", rejected)
    registry.call("UpdateModelPackage", first)
    assert describe(registry, arn)["ModelApprovalStatus"] == "Rejected"
    with pytest.raises(ServiceError, match="different request"):
        registry.call("UpdateModelPackage", {**rejected, "ClientToken": "t-1"})


def test_every_field_of_an_update_is_kept(registry: SageMaker) -> None:
    additional = {"Name": "neo", "Containers": SPECIFICATION["Containers"]}
    arn = add(registry, AdditionalInferenceSpecifications=[additional])
    card = {"ModelCardStatus": "Draft", "ModelCardContent": '{"intended_uses": {}}'}
    other = {**SPECIFICATION, "SupportedContentTypes": ["application/json"]}
    changes = {
        "ModelPackageRegistrationType": "Logged",
        "InferenceSpecification": other,
        "SourceUri": "s3://bucket/code",
        "ModelCard": card,
        "ModelLifeCycle": {"Stage": "QA", "StageStatus": "OnHold"},
    }
    second = {**additional, "Name": "trt"}
    registry.call(
        "UpdateModelPackage",
        {"ModelPackageArn": arn, "AdditionalInferenceSpecificationsToAdd": [second], **changes},
    )
    package = describe(registry, arn)
    assert {key: package[key] for key in changes} == changes
    assert package["AdditionalInferenceSpecifications"] == [additional, second]
    again = {"ModelPackageArn": arn, "AdditionalInferenceSpecificationsToAdd": [second]}
    with pytest.raises(ServiceError, match="unique names"):
        registry.call("UpdateModelPackage", again)
    hidden = {"ModelPackageName": arn, "IncludedData": "MetadataOnly"}
    shown = registry.call("DescribeModelPackage", hidden)["ModelCard"]
    assert shown == {"ModelCardStatus": "Draft"}
    wrong = {**card, "ModelCardContent": '{"model_overview": {"model_owner": "ana"}}'}
    with pytest.raises(ServiceError, match="'model_owner' was unexpected"):
        registry.call("UpdateModelPackage", {"ModelPackageArn": arn, "ModelCard": wrong})


def test_metrics_and_baselines_are_kept(registry: SageMaker) -> None:
    source = {"ContentType": "application/json", "S3Uri": "s3://bucket/statistics.json"}
    quality = {"ModelQuality": {"Statistics": source, "Constraints": source}}
    arn = add(registry, ModelMetrics=quality, DriftCheckBaselines=quality)
    package = describe(registry, arn)
    assert (package["ModelMetrics"], package["DriftCheckBaselines"]) == (quality, quality)


def test_a_package_is_cloned_or_made_of_a_model(registry: SageMaker) -> None:
    original = add(registry, ModelApprovalStatus="Approved")
    clone = {"ModelPackageGroupName": "credit", "SourceUri": original}
    cloned = registry.call("CreateModelPackage", clone)["ModelPackageArn"]
    assert describe(registry, cloned)["InferenceSpecification"] == SPECIFICATION
    container = {"Image": SCRIPT, "ModelDataUrl": "s3://bucket/other.tar.gz"}
    model = registry.call(
        "CreateModel",
        {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": container},
    )["ModelArn"]
    registered = {"ModelPackageGroupName": "credit", "SourceUri": model}
    arn = registry.call("CreateModelPackage", registered)["ModelPackageArn"]
    assert describe(registry, arn)["InferenceSpecification"]["Containers"] == [container]


def test_a_model_of_an_additional_specification(registry: SageMaker) -> None:
    other = {"Image": SCRIPT, "ModelDataUrl": "s3://bucket/compiled.tar.gz"}
    arn = add(
        registry,
        ModelApprovalStatus="Approved",
        AdditionalInferenceSpecifications=[{"Name": "compiled", "Containers": [other]}],
    )
    request = {
        "ModelName": "m",
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"ModelPackageName": arn, "InferenceSpecificationName": "compiled"},
    }
    assert registry.call("CreateModel", request)
    request["PrimaryContainer"] = {"ModelPackageName": arn, "InferenceSpecificationName": "none"}
    with pytest.raises(ServiceError, match="no additional inference specification none"):
        registry.call("CreateModel", {**request, "ModelName": "n"})


def test_an_unversioned_package_has_no_approval(registry: SageMaker) -> None:
    lone = {
        "ModelPackageName": "lone",
        "InferenceSpecification": SPECIFICATION,
        "ModelApprovalStatus": "PendingManualApproval",
        "CertifyForMarketplace": False,
    }
    arn = registry.call("CreateModelPackage", lone)["ModelPackageArn"]
    assert "ModelApprovalStatus" not in describe(registry, arn)
    update = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
    with pytest.raises(ServiceError, match="is not versioned"):
        registry.call("UpdateModelPackage", update)


def test_packages_are_described_in_batches(registry: SageMaker) -> None:
    arn = add(registry)
    missing = arn.replace("/1", "/9")
    found = registry.call("BatchDescribeModelPackage", {"ModelPackageArnList": [arn, missing]})
    assert found["ModelPackageSummaries"][arn]["ModelPackageVersion"] == 1
    error = found["BatchDescribeModelPackageErrorMap"][missing]
    assert error["ErrorCode"] == "ValidationException"


def test_policies_of_groups(registry: SageMaker) -> None:
    group = {"ModelPackageGroupName": "credit"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]})
    put = {**group, "ResourcePolicy": policy}
    assert registry.call("PutModelPackageGroupPolicy", put)["ModelPackageGroupArn"]
    assert registry.call("GetModelPackageGroupPolicy", group) == {"ResourcePolicy": policy}
    with pytest.raises(ServiceError, match="not JSON"):
        registry.call("PutModelPackageGroupPolicy", {**group, "ResourcePolicy": "{"})
    registry.call("DeleteModelPackageGroupPolicy", group)
    for operation in ("GetModelPackageGroupPolicy", "DeleteModelPackageGroupPolicy"):
        with pytest.raises(ServiceError, match="Cannot find resource policy"):
            registry.call(operation, group)


def test_groups_of_other_accounts_are_refused(registry: SageMaker) -> None:
    request = {"CrossAccountFilterOption": "CrossAccount"}
    with pytest.raises(ServiceError, match="another account"):
        registry.call("ListModelPackageGroups", request)
