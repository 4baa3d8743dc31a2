"""Deployments on a whole local AWS: CloudWatch's alarms end them, a SIGKILL undoes them.

"Auto-Rollback Configuration and Monitoring".
"""

import json
import signal
from contextlib import suppress
from typing import Any

from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import ROLE, SCRIPT, Clients, containers
from tests.local.sagemaker.serving import HALF, blue_green, rolling
from tests.local.sagemaker.test_restart import saved_roles


def test_alarm_rolls_back(sagemaker_aws: LocalAws, clients: Clients, unique: str) -> None:
    """The canary's errors put an alarm into ALARM: all traffic is back on the old fleet."""
    iam = sagemaker_aws.client("iam")
    role = f"{ROLE}-alarms"
    trust = iam.get_role(RoleName=ROLE.rsplit("/")[-1])["Role"]["AssumeRolePolicyDocument"]
    iam.create_role(RoleName=role.rsplit("/")[-1], AssumeRolePolicyDocument=json.dumps(trust))
    watch = {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [watch]}
    iam.put_role_policy(
        RoleName=role.rsplit("/")[-1], PolicyName="alarms", PolicyDocument=json.dumps(policy)
    )
    for text, arn in (("works", role), ("fails", role), ("blind", ROLE)):
        container = {"Image": SCRIPT, "Environment": {"TEXT": text}}
        name = f"{unique}-{text}"
        clients.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=arn, PrimaryContainer=container
        )
        clients.config(name, ("main", name, 1.0))
    steady = f"{unique}-steadily"  # the other is OK again a minute after the last error
    for alarm, without_data in ((unique, "notBreaching"), (steady, "breaching")):
        clients.cloudwatch.put_metric_alarm(
            AlarmName=alarm,
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Dimensions=[
                {"Name": "EndpointName", "Value": unique},
                {"Name": "VariantName", "Value": "main"},
                {"Name": "EndpointConfigName", "Value": f"{unique}-fails"},
            ],
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData=without_data,
        )
    clients.deploy(unique, f"{unique}-works")

    def update(to: str, alarm: str = unique) -> dict[str, Any]:
        strategy = blue_green("CANARY", 60, 0, CanarySize=HALF)
        alarms = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]}}
        clients.sagemaker.update_endpoint(
            EndpointName=unique,
            EndpointConfigName=f"{unique}-{to}",
            DeploymentConfig={**strategy, **alarms},
        )

        def settled() -> dict[str, Any] | None:
            with suppress(clients.runtime.exceptions.ModelError):  # the canary's
                clients.ask(unique)
            endpoint = clients.sagemaker.describe_endpoint(EndpointName=unique)
            return endpoint if endpoint["EndpointStatus"] != "Updating" else None

        return wait_until(settled, what="the rollback")

    for endpoint, reason in (
        (update("blind"), "cloudwatch:DescribeAlarms"),
        (update("fails", "nobody"), "nobody could not be found"),
        (update("fails"), f"{unique} went into the ALARM state"),
    ):
        assert endpoint["EndpointStatus"] == "InService"
        assert endpoint["EndpointConfigName"] == f"{unique}-works"
        assert reason in endpoint["FailureReason"]
    assert {clients.ask(unique)["text"] for _ in range(20)} == {"works"}
    ringing = update("works", steady)  # in ALARM before the update began
    assert f"{steady} went into the ALARM state" in ringing["FailureReason"]
    clients.delete(unique)


def test_sigkill_in_the_middle(sagemaker_aws: LocalAws, clients: Clients, unique: str) -> None:
    """Half of the old fleet is gone; a restart brings it back whole, and nothing else."""
    aws = sagemaker_aws
    text = unique  # others' containers may be ending meanwhile
    one, two = f"{unique}-one", clients.model(f"{unique}-two", "two")
    container = {"Image": SCRIPT, "Environment": {"TEXT": text}}
    clients.sagemaker.create_model(ModelName=one, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    clients.config(f"{unique}-1", ("main", one, 1.0), instances=2)
    clients.config(f"{unique}-2", ("main", two, 1.0), instances=2)
    clients.deploy(unique, f"{unique}-1")
    before = len(containers(aws, TEXT=text))
    clients.sagemaker.update_endpoint(
        EndpointName=unique, EndpointConfigName=f"{unique}-2", DeploymentConfig=rolling(1)
    )

    def half_gone() -> bool:
        endpoint = clients.sagemaker.describe_endpoint(EndpointName=unique)
        return endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 1

    wait_until(half_gone, what="a batch of the old fleet to go")
    wait_until(lambda: b"sagemaker-tests" in saved_roles(aws), what="the roles on disk")
    aws.stop(signal.SIGKILL)
    wait_until(lambda: not containers(aws), what="every container to go")
    aws.start(aws.facts["port"])
    endpoint = clients.settled(unique)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == f"{unique}-1"
    assert "restarted while the endpoint was updated" in endpoint["FailureReason"]
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert {clients.ask(unique)["text"] for _ in range(10)} == {text}
    assert len(containers(aws, TEXT=text)) == before > 1
    clients.delete(unique)
