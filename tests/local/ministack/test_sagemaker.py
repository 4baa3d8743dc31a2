"""SageMaker within the local AWS: IAM, Step Functions, events, CloudFormation."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.local.conftest import LocalAws, wait_until
from tests.local.ministack.helpers import (
    ACCOUNT,
    ALLOW_ALL,
    execute,
    finish,
    function,
    invoke,
    jsonata,
    machine,
    queue,
    receive,
    role,
    unique,
)

ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"
SYNC = "arn:aws:states:::sagemaker:createTrainingJob.sync"


@pytest.fixture(scope="module")
def bucket(aws: LocalAws) -> str:
    name = unique("jobs")
    aws.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def job_role(aws: LocalAws) -> str:
    return role(aws, "sagemaker", ALLOW_ALL)


def training(name: str, bucket: str, job_role: str, mode: str = "") -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "RoleArn": job_role,
        "AlgorithmSpecification": {
            "TrainingImage": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/shell:1",
            "TrainingInputMode": "File",
        },
        "HyperParameters": {"mode": mode},
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def run(request: dict[str, Any], resource: str = SYNC, **options: Any) -> dict[str, Any]:
    state = {"Type": "Task", "Resource": resource, "Arguments": request, "End": True, **options}
    return jsonata("T", T=state)


def test_sync_returns_the_description_with_times_in_milliseconds(
    aws: LocalAws, bucket: str, job_role: str
) -> None:
    name = unique("job")
    ended = execute(aws, run(training(name, bucket, job_role)))
    assert ended["status"] == "SUCCEEDED", ended
    job = json.loads(ended["output"])
    assert job["TrainingJobStatus"] == "Completed"
    assert job["ResourceConfig"]["VolumeSizeInGB"] == 1
    assert isinstance(job["CreationTime"], int)
    assert job["CreationTime"] > 1e12
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{bucket}/")
    assert aws.client("s3").head_object(Bucket=bucket, Key=artifact)["ContentLength"] > 0


def test_sync_fails_with_the_description(aws: LocalAws, bucket: str, job_role: str) -> None:
    ended = execute(aws, run(training(unique("job"), bucket, job_role, "fail")))
    assert ended["error"] == "States.TaskFailed"
    cause = json.loads(ended["cause"])
    assert cause["TrainingJobStatus"] == "Failed"
    assert cause["FailureReason"]


def test_stopping_the_execution_stops_the_job(aws: LocalAws, bucket: str, job_role: str) -> None:
    name, states, sagemaker = unique("job"), aws.client("stepfunctions"), aws.client("sagemaker")
    definition = run(training(name, bucket, job_role, "wait"))
    arn = states.start_execution(stateMachineArn=machine(aws, definition))["executionArn"]

    def status() -> str:
        try:
            found = sagemaker.describe_training_job(TrainingJobName=name)
        except ClientError:
            return ""
        return str(found["TrainingJobStatus"])

    wait_until(lambda: status() == "InProgress")
    states.stop_execution(executionArn=arn)
    assert finish(aws, arn)["status"] == "ABORTED"
    wait_until(lambda: status() in ("Stopping", "Stopped"))


def test_a_job_of_that_name_has_its_documented_error(
    aws: LocalAws, bucket: str, job_role: str
) -> None:
    request = training(unique("job"), bucket, job_role)
    aws.client("sagemaker").create_training_job(**request)
    assert execute(aws, run(request))["error"] == "SageMaker.ResourceInUseException"


def test_the_machine_needs_the_permissions_and_to_pass_the_role(
    aws: LocalAws, bucket: str, job_role: str
) -> None:
    create = {"Effect": "Allow", "Action": "sagemaker:*", "Resource": f"{ARN}:training-job/ok-*"}
    passing = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": job_role,
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    }
    definition = run(training(unique("ok"), bucket, job_role))
    other = run(training(unique("other"), bucket, job_role))
    for wrong, statements in ((definition, [create]), (other, [create, passing])):
        ended = execute(aws, wrong, role_arn=role(aws, "states", *statements))
        assert ended["error"] == "SageMaker.AmazonSageMakerException", ended
        assert "is not authorized to perform" in ended["cause"]
    right = role(aws, "states", create, passing)
    assert execute(aws, definition, role_arn=right)["status"] == "SUCCEEDED"


def test_sdk_calls_have_text_times_and_their_own_errors(
    aws: LocalAws, bucket: str, job_role: str
) -> None:
    name = unique("job")
    aws.client("sagemaker").create_training_job(**training(name, bucket, job_role))
    describe = "arn:aws:states:::aws-sdk:sagemaker:describeTrainingJob"
    ended = execute(aws, run({"TrainingJobName": name}, describe))
    assert json.loads(ended["output"])["CreationTime"].endswith("Z")
    ended = execute(aws, run({"TrainingJobName": "missing"}, describe))
    assert ended["error"] == "SageMaker.SageMakerException"


def test_a_function_may_do_what_its_role_says(aws: LocalAws, bucket: str, job_role: str) -> None:
    code = """
import boto3
def handler(event, context):
    return boto3.client("sagemaker").describe_training_job(TrainingJobName=event)["TrainingJobName"]
"""
    allowed = {
        "Effect": "Allow",
        "Action": "sagemaker:DescribeTrainingJob",
        "Resource": f"{ARN}:training-job/mine-*",
    }
    name = function(aws, code, Role=role(aws, "lambda", allowed))
    mine, other = unique("mine"), unique("other")
    for job in (mine, other):
        aws.client("sagemaker").create_training_job(**training(job, bucket, job_role))
    assert invoke(aws, name, mine)[0] == mine
    assert "AccessDenied" in invoke(aws, name, other)[0]["errorMessage"]


def test_approval_can_be_denied_by_its_condition_key(aws: LocalAws) -> None:
    sagemaker, group = aws.client("sagemaker"), unique("group")
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    deny = {
        "Effect": "Deny",
        "Action": ["sagemaker:CreateModelPackage"],
        "Resource": "*",
        "Condition": {"StringEquals": {"sagemaker:ModelApprovalStatus": "Approved"}},
    }
    machine_role = role(aws, "states", ALLOW_ALL, deny)
    code = """
import boto3
def handler(event, context):
    boto3.client("sagemaker").create_model_package(**event)
"""
    name = function(aws, code, Role=role(aws, "lambda", ALLOW_ALL, deny))
    create = "arn:aws:states:::aws-sdk:sagemaker:createModelPackage"
    for status, refused in (("Approved", True), ("PendingManualApproval", False)):
        request = {"ModelPackageGroupName": group, "ModelApprovalStatus": status}
        ended = execute(aws, run(request, create), role_arn=machine_role)
        assert ("not authorized" in ended.get("cause", "")) is refused, ended
        payload, _ = invoke(aws, name, request)
        assert ("AccessDenied" in json.dumps(payload)) is refused, payload


@pytest.mark.parametrize(
    "request_", [{"VpcConfig": "x"}, {"ProductionVariants": ["x"]}, {"ProductionVariants": 7}]
)
def test_what_has_another_type_is_refused_in_words(aws: LocalAws, request_: dict[str, Any]) -> None:
    """A client without a model of its own: IAM reads its request before SageMaker does."""
    iam, name = aws.client("iam"), unique("user")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": [ALLOW_ALL]}
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    operation = "CreateEndpointConfig" if "ProductionVariants" in request_ else "CreateModel"
    signed = AWSRequest(
        "POST",
        aws.facts["endpoint_url"],
        data=json.dumps(request_),
        headers={"X-Amz-Target": f"SageMaker.{operation}"},
    )
    credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    SigV4Auth(credentials, "sagemaker", "us-east-1").add_auth(signed)
    sent = urllib.request.Request(
        signed.url, signed.data.encode(), dict(signed.headers), method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(sent)
    assert json.loads(refused.value.read())["__type"] == "SerializationException"


def test_events_reach_the_default_bus_and_never_from_outside(
    aws: LocalAws, bucket: str, job_role: str
) -> None:
    url, arn = queue(aws)
    events, name = aws.client("events"), unique("job")
    pattern = {"source": ["aws.sagemaker"], "detail": {"TrainingJobName": [name]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    aws.client("sagemaker").create_training_job(**training(name, bucket, job_role))
    seen: set[str] = set()

    def completed() -> bool:
        seen.update(
            json.loads(each["Body"])["detail"]["TrainingJobStatus"] for each in receive(aws, url)
        )
        return "Completed" in seen

    wait_until(completed)
    forged = {"Source": "aws.sagemaker", "DetailType": "x", "Detail": "{}"}
    assert events.put_events(Entries=[forged])["FailedEntryCount"] == 1


def test_cloudformation_makes_model_package_groups(aws: LocalAws) -> None:
    group = unique("group")
    cloudformation, sagemaker = aws.client("cloudformation"), aws.client("sagemaker")
    template = {
        "Resources": {
            "G": {
                "Type": "AWS::SageMaker::ModelPackageGroup",
                "Properties": {"ModelPackageGroupName": group},
            }
        },
        "Outputs": {"Arn": {"Value": {"Ref": "G"}}},
    }
    cloudformation.create_stack(StackName=group, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=group, WaiterConfig={"Delay": 1}
    )
    outputs = cloudformation.describe_stacks(StackName=group)["Stacks"][0]["Outputs"]
    assert outputs[0]["OutputValue"] == f"{ARN}:model-package-group/{group}"
    cloudformation.delete_stack(StackName=group)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=group, WaiterConfig={"Delay": 1}
    )
    with pytest.raises(ClientError):
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)
