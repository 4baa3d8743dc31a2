"""Who may make a version serve: not a forger on our bus, and not whoever trains."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from headrace.records import RunRecord
from headrace_cli import registry
from headrace_cli.session import Session
from tests.journey.conftest import Journey

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def pending(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """A model whose first package waits for an approval that nobody gives."""
    journey = Journey(session, tmp_path_factory.mktemp("pending"), "pending")
    journey.publish()
    journey.run_on(journey.drop("may", journey.files()).dataset_version)
    return journey


def status(journey: Journey) -> str:
    return registry.packages(journey.session, journey.model)[0].status


def test_facts_made_up_on_our_own_bus_deploy_nothing(pending: Journey) -> None:
    """Invariants 27 and 28."""
    (run,) = pending.runs()
    model = pending.session.model(pending.model)
    deployed = {
        "deployment": "made-up",
        "endpoint": model.endpoint,
        "package_arn": run.package_arn,
        "package_version": 1,
    }
    pending.announce("headrace.deployment", "ModelDeployed", **deployed)
    pending.announce(
        "headrace.recovery",
        "RemedyChosen",
        recovery="made-up",
        endpoint=model.endpoint,
        alarms=[],
        remedy="roll back",
        reasons=["made up"],
    )
    approval = {
        "ModelPackageGroupName": model.package_group,
        "ModelPackageArn": run.package_arn,
        "ModelApprovalStatus": "Approved",
    }
    alarm = {"alarmName": f"{model.endpoint}/unhealthy", "state": {"value": "ALARM"}}
    for source, detail_type, detail in (
        ("headrace.registry", "SageMaker Model Package State Change", approval),
        ("headrace.recovery", "CloudWatch Alarm State Change", alarm),
    ):
        pending.announce(source, detail_type, **detail)
    with pytest.raises(AssertionError):
        pending.announce("aws.sagemaker", "SageMaker Model Package State Change", **approval)
    # A request to train passes the same bus after them, so they have been delivered.
    pending.retrain()
    assert pending.deployments() == []
    assert pending.executions("deployment") == []
    assert status(pending) == "PendingManualApproval"


@pytest.fixture(params=["job", "state machine"])
def trainer(request: pytest.FixtureRequest, pending: Journey) -> Iterator[Any]:
    """SageMaker as whoever trains may use it, even if somebody allows them everything else."""
    iam = pending.client("iam")
    role = role_of_job(pending) if request.param == "job" else role_of_machine(pending)
    described = iam.get_role(RoleName=role)["Role"]
    trust = described["AssumeRolePolicyDocument"]
    me = pending.client("sts").get_caller_identity()["Arn"]
    borrowed = {"Effect": "Allow", "Principal": {"AWS": me}, "Action": "sts:AssumeRole"}
    everything = {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=policy(borrowed))
    iam.put_role_policy(RoleName=role, PolicyName="everything", PolicyDocument=policy(everything))
    try:
        yield sagemaker_as(pending, described["Arn"])
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="everything")
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))


def test_whoever_trains_cannot_approve(trainer: Any, pending: Journey) -> None:
    package = registry.packages(pending.session, pending.model)[0]
    with pytest.raises(ClientError, match="explicit deny") as refused:
        trainer.update_model_package(ModelPackageArn=package.arn, ModelApprovalStatus="Approved")
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    described = trainer.describe_model_package(ModelPackageName=package.arn)
    with pytest.raises(ClientError, match="explicit deny"):
        trainer.create_model_package(
            ModelPackageGroupName=described["ModelPackageGroupName"],
            ModelApprovalStatus="Approved",
            InferenceSpecification=described["InferenceSpecification"],
        )
    # The denial is of approving, and of nothing else.
    trainer.update_model_package(
        ModelPackageArn=package.arn, CustomerMetadataProperties={"note": "by whoever trains"}
    )
    assert status(pending) == "PendingManualApproval"
    assert pending.deployments() == []


def role_of_job(journey: Journey) -> str:
    run: RunRecord = journey.runs()[0]
    job = journey.client("sagemaker").describe_training_job(TrainingJobName=run.training_job)
    return str(job["RoleArn"].rpartition("/")[2])


def role_of_machine(journey: Journey) -> str:
    return journey.function("TrainingStateMachineRole")


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def sagemaker_as(journey: Journey, role: str) -> Any:
    """Return SageMaker with a role's credentials."""
    given = journey.client("sts").assume_role(RoleArn=role, RoleSessionName="trainer")
    aws = journey.session.environment.local_aws()
    assert aws is not None
    return boto3.client(
        "sagemaker",
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=given["Credentials"]["AccessKeyId"],
        aws_secret_access_key=given["Credentials"]["SecretAccessKey"],
        aws_session_token=given["Credentials"]["SessionToken"],
    )
