"""The model registry: groups, versions, approval, deployment of a version."""

import json
import os

import boto3
from botocore.exceptions import ClientError
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
sagemaker, runtime = boto3.client("sagemaker"), boto3.client("sagemaker-runtime")

step("create_model_package_group, describe, paginator list_model_package_groups")
sagemaker.create_model_package_group(
    ModelPackageGroupName="boto3-group", ModelPackageGroupDescription="of the conformance tests"
)
group = sagemaker.describe_model_package_group(ModelPackageGroupName="boto3-group")
assert group["ModelPackageGroupStatus"] == "Completed", group
paginator = sagemaker.get_paginator("list_model_package_groups")
found = [each for page in paginator.paginate() for each in page["ModelPackageGroupSummaryList"]]
assert "boto3-group" in [each["ModelPackageGroupName"] for each in found]

step("create_model_package: versions count up")
arns = [
    sagemaker.create_model_package(
        ModelPackageGroupName="boto3-group",
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/models/{text}.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        CustomerMetadataProperties={"text": text},
    )["ModelPackageArn"]
    for text in ("one", "two")
]
assert [arn.rsplit("/", 1)[-1] for arn in arns] == ["1", "2"], arns

step("describe_model_package, paginator list_model_packages with ModelApprovalStatus")
package = sagemaker.describe_model_package(ModelPackageName=arns[1])
assert package["ModelPackageVersion"] == 2
assert package["ModelPackageStatus"] == "Completed"
assert package["CustomerMetadataProperties"] == {"text": "two"}
paginator = sagemaker.get_paginator("list_model_packages")
pages = paginator.paginate(
    ModelPackageGroupName="boto3-group",
    ModelApprovalStatus="PendingManualApproval",
    PaginationConfig={"PageSize": 1},
)
assert len([each for page in pages for each in page["ModelPackageSummaryList"]]) == 2

step("batch_describe_model_package")
answer = sagemaker.batch_describe_model_package(ModelPackageArnList=arns)
assert set(answer["ModelPackageSummaries"]) == set(arns), answer

step("update_model_package: approval")
sagemaker.update_model_package(
    ModelPackageArn=arns[1], ModelApprovalStatus="Approved", ApprovalDescription="it is better"
)
package = sagemaker.describe_model_package(ModelPackageName=arns[1])
assert package["ModelApprovalStatus"] == "Approved"
assert package["ApprovalDescription"] == "it is better"

step("create_model from an approved version; create_endpoint; invoke_endpoint")
sagemaker.create_model(
    ModelName="boto3-packaged", ExecutionRoleArn=ROLE, Containers=[{"ModelPackageName": arns[1]}]
)
sagemaker.create_endpoint_config(
    EndpointConfigName="boto3-packaged",
    ProductionVariants=[
        {
            "VariantName": "AllTraffic",
            "ModelName": "boto3-packaged",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
    ],
)
sagemaker.create_endpoint(EndpointName="boto3-packaged", EndpointConfigName="boto3-packaged")
sagemaker.get_waiter("endpoint_in_service").wait(
    EndpointName="boto3-packaged", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
)
answer = runtime.invoke_endpoint(EndpointName="boto3-packaged", Body=b"x", ContentType="text/csv")
assert json.loads(answer["Body"].read())["model"] == "two"
sagemaker.delete_endpoint(EndpointName="boto3-packaged")

step("put, get and delete_model_package_group_policy")
shared = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "read",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
            "Action": "sagemaker:DescribeModelPackageGroup",
            "Resource": group["ModelPackageGroupArn"],
        }
    ],
}
sagemaker.put_model_package_group_policy(
    ModelPackageGroupName="boto3-group", ResourcePolicy=json.dumps(shared)
)
read = sagemaker.get_model_package_group_policy(ModelPackageGroupName="boto3-group")
assert json.loads(read["ResourcePolicy"]) == shared
sagemaker.delete_model_package_group_policy(ModelPackageGroupName="boto3-group")

step("mistake: a group that has versions is not deleted")
try:
    sagemaker.delete_model_package_group(ModelPackageGroupName="boto3-group")
except ClientError as error:
    assert error.response["Error"]["Code"] in ("ConflictException", "ValidationException"), error
else:
    raise AssertionError("the group was deleted")

step("delete_model_package, delete_model_package_group")
for arn in arns:
    sagemaker.delete_model_package(ModelPackageName=arn)
sagemaker.delete_model_package_group(ModelPackageGroupName="boto3-group")
