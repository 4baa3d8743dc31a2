"""Application Auto Scaling: what is refused, how much is scaled, and variants that really scale.

"Target tracking scaling policies", "Step scaling policies", "Scheduled scaling",
API_PutScalingPolicy, "Automatic scaling of Amazon SageMaker AI models".
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from local.autoscaling import Alarm, AutoScaling, rules
from local.sagemaker import ServiceError
from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import Clients

VARIANT = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/main",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
INVOCATIONS = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}


class Endpoint:
    """A SageMaker with one endpoint, and a CloudWatch whose alarms ring as told."""

    region = "us-east-1"
    account_id = "000000000000"

    def __init__(self) -> None:
        self.count, self.is_asynchronous = 2, False
        self.alarms: dict[str, dict[str, Any]] = {}
        self.rings: dict[str, float | None] = {}
        self.zeros: list[Mapping[str, str]] = []

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if request["EndpointName"] != "e":
            raise ServiceError("ValidationException", "Could not find endpoint")
        if operation == "UpdateEndpointWeightsAndCapacities":
            [wanted] = request["DesiredWeightsAndCapacities"]
            self.count = wanted["DesiredInstanceCount"]
        summary = {
            "VariantName": "main",
            "CurrentInstanceCount": self.count,
            "DesiredInstanceCount": self.count,
        }
        described: dict[str, Any] = {"EndpointStatus": "InService", "ProductionVariants": [summary]}
        return described | ({"AsyncInferenceConfig": {}} if self.is_asynchronous else {})

    def put_alarm(self, alarm: dict[str, Any]) -> str:
        self.alarms[alarm["AlarmName"]] = alarm
        return f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{alarm['AlarmName']}"

    def delete_alarms(self, names: list[str]) -> None:
        for name in names:
            self.alarms.pop(name, None)

    def ringing(self, action: str) -> list[Alarm]:
        return [
            Alarm(name, alarm["Threshold"], self.rings[side], alarm["Period"])
            for name, alarm in self.alarms.items()
            for side in self.rings
            if side in name and action in alarm["AlarmActions"]
        ]

    def record(self, namespace: str, metric: str, value: float, names: Mapping[str, str]) -> None:
        assert (namespace, metric, value) == ("AWS/SageMaker", "InvocationsPerInstance", 0.0)
        self.zeros.append(names)

    def next_run(self, schedule: str, timezone: str, since: float) -> float | None:
        if not schedule.startswith("rate("):
            raise ValueError(f"{schedule} is not a schedule expression")
        return since + 60


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def scaling(tmp_path: Path, endpoint: Endpoint) -> AutoScaling:
    """Not started: `look` says when it looks."""
    return AutoScaling(tmp_path, endpoint.call, endpoint, 60)


def register(scaling: AutoScaling, least: int = 1, most: int = 6, **more: Any) -> None:
    limits = {"MinCapacity": least, "MaxCapacity": most, **more}
    scaling.call("RegisterScalableTarget", {**VARIANT, **limits})


def track(scaling: AutoScaling, target: float = 100.0, **more: Any) -> dict[str, Any]:
    config = {"TargetValue": target, "PredefinedMetricSpecification": INVOCATIONS, **more}
    policy = {
        **VARIANT,
        "PolicyName": "track",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": config,
    }
    return scaling.call("PutScalingPolicy", policy)


def look(scaling: AutoScaling, seconds: float = 0.0) -> None:
    """Look once, that many seconds from now."""
    [target] = scaling._store.all("ScalableTarget")
    scaling._scaler.look(target, time.time() + seconds)


def test_target_tracking(scaling: AutoScaling, endpoint: Endpoint) -> None:
    """Out in proportion, once a cooldown; in by one, within the limits."""
    register(scaling)
    alarms = track(scaling)["Alarms"]
    high, low = (endpoint.alarms[alarm["AlarmName"]] for alarm in alarms)
    assert high["AlarmName"].startswith("TargetTracking-endpoint/e/variant/main-AlarmHigh-")
    assert (high["Threshold"], high["EvaluationPeriods"], high["Period"]) == (100, 3, 60)
    assert low["AlarmName"].startswith("TargetTracking-endpoint/e/variant/main-AlarmLow-")
    assert (low["Threshold"], low["EvaluationPeriods"]) == (90, 15)
    assert (low["MetricName"], low["Statistic"]) == ("InvocationsPerInstance", "Sum")

    endpoint.rings = {"AlarmHigh": 190.0}
    look(scaling)
    assert endpoint.count == 4, "190 a minute of each of 2 is 95 of each of 4"
    look(scaling, 1)
    assert endpoint.count == 4, "what was added has not cooled down"
    endpoint.rings = {"AlarmHigh": 260.0}
    look(scaling, 2)
    assert endpoint.count == 6, "a larger need is met at once, up to the maximum"
    endpoint.rings = {"AlarmLow": 0.0}
    look(scaling, 3)
    look(scaling, 4)
    assert endpoint.count == 5, "in by one, once a cooldown"
    for minutes in range(6, 60, 6):
        look(scaling, minutes * 60)
    assert endpoint.count == 1, "never below the minimum"
    assert {names["VariantName"] for names in endpoint.zeros} == {"main"}

    found = scaling.call("DescribeScalingActivities", VARIANT)["ScalingActivities"]
    assert [each["Description"] for each in found[-2:]] == [
        "Setting desired instance count to 6.",
        "Setting desired instance count to 4.",
    ]
    assert found[-1]["StatusCode"] == "Successful"
    assert found[-1]["Cause"].endswith("in state ALARM triggered policy track")
    scaling.call("DeregisterScalableTarget", VARIANT)
    assert endpoint.alarms == {}, "the alarms go with the policy"


def test_scale_in_can_be_disabled(scaling: AutoScaling, endpoint: Endpoint) -> None:
    register(scaling)
    assert len(track(scaling, DisableScaleIn=True)["Alarms"]) == 1
    track(scaling, DisableScaleIn=False)
    register(scaling, SuspendedState={"DynamicScalingInSuspended": True})
    endpoint.rings = {"AlarmLow": 0.0}
    look(scaling)
    assert endpoint.count == 2


STEPS = {
    "AdjustmentType": "PercentChangeInCapacity",
    "MinAdjustmentMagnitude": 1,
    "StepAdjustments": [
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 10},
        {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 50},
    ],
}


@pytest.mark.parametrize(
    ("config", "capacity", "value", "after"),
    [
        (STEPS, 4, 55, 5),  # 10 % of 4 is less than one
        (STEPS, 4, 60, 6),
        (STEPS, 4, 49, 4),  # no step is for it
        ({"StepAdjustments": [{"MetricIntervalUpperBound": 0, "ScalingAdjustment": -2}]}, 4, 40, 2),
        (
            {
                "AdjustmentType": "ExactCapacity",
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            },
            0,
            50,
            1,
        ),
    ],
)
def test_steps(config: dict[str, Any], capacity: int, value: float, after: int) -> None:
    assert rules.step(config, capacity, 50, value) == after


@given(st.integers(1, 100), st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_tracking_reaches_its_target_and_no_more(
    capacity: int, value: float, target: float
) -> None:
    out = rules.track_out(capacity, value, target)
    assert capacity * value / out <= target * (1 + 1e-6)
    assert out == 1 or capacity * value / (out - 1) > target * (1 - 1e-6)
    assert rules.track_in(capacity, value, target) >= capacity - 1


def test_scheduled_action(scaling: AutoScaling, endpoint: Endpoint) -> None:
    register(scaling, 1, 6)
    limits = {"MinCapacity": 3, "MaxCapacity": 4}
    action = {**VARIANT, "ScheduledActionName": "morning", "Schedule": "rate(1 minute)"}
    scaling.call("PutScheduledAction", {**action, "ScalableTargetAction": limits})
    look(scaling, 30)
    assert endpoint.count == 2
    look(scaling, 61)
    assert endpoint.count == 3
    [target] = scaling.call("DescribeScalableTargets", {"ServiceNamespace": "sagemaker"})[
        "ScalableTargets"
    ]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (3, 4)
    with pytest.raises(ServiceError, match="is not a schedule expression"):
        scaling.call("PutScheduledAction", {**action, "Schedule": "sometimes"})
    [found] = scaling.call("DescribeScheduledActions", VARIANT)["ScheduledActions"]
    assert found["Schedule"] == "rate(1 minute)"


def test_refusals(scaling: AutoScaling, endpoint: Endpoint) -> None:
    with pytest.raises(ServiceError, match="No scalable target registered") as missing:
        track(scaling)
    assert missing.value.code == "ObjectNotFoundException"
    with pytest.raises(ServiceError, match="Could not find endpoint"):
        register(scaling, ResourceId="endpoint/nobody/variant/main")
    with pytest.raises(ServiceError, match="cannot be less than minimum"):
        register(scaling, 3, 2)
    with pytest.raises(ServiceError, match="asynchronous endpoints can scale to 0"):
        register(scaling, 0)
    endpoint.is_asynchronous = True
    register(scaling, 0)
    with pytest.raises(ServiceError, match="Exactly one of"):
        track(scaling, CustomizedMetricSpecification={"MetricName": "m"})
    for other in ("ecs", "dynamodb"):
        with pytest.raises(ServiceError, match="not implemented locally"):
            register(scaling, ServiceNamespace=other)
    with pytest.raises(ServiceError, match="Member must satisfy enum value set"):
        register(scaling, ServiceNamespace="nothing")
    scaling.call("DeregisterScalableTarget", VARIANT)


def test_a_variant_scales_under_load(
    sagemaker_aws: LocalAws, clients: Clients, unique: str
) -> None:
    """CloudWatch's own alarm on the endpoint's own metric starts a second container."""
    clients.config(unique, ("main", clients.model(unique), 1.0))
    clients.deploy(unique, unique)
    scaling = sagemaker_aws.client("application-autoscaling")
    what = {**VARIANT, "ResourceId": f"endpoint/{unique}/variant/main"}
    arn = scaling.register_scalable_target(**what, MinCapacity=1, MaxCapacity=2, Tags={"a": "b"})[
        "ScalableTargetARN"
    ]
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"a": "b"}
    policy = scaling.put_scaling_policy(
        **what,
        PolicyName="track",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 60.0,
            "PredefinedMetricSpecification": INVOCATIONS,
        },
    )
    names = [alarm["AlarmName"] for alarm in policy["Alarms"]]
    found = clients.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert {alarm["AlarmActions"][0] for alarm in found} == {policy["PolicyARN"]}

    def scaled() -> bool:
        for _ in range(10):
            clients.ask(unique)
        [variant] = clients.sagemaker.describe_endpoint(EndpointName=unique)["ProductionVariants"]
        return variant["CurrentInstanceCount"] == 2

    wait_until(scaled, what="a second instance")

    def fulfilled() -> bool:
        [activity] = scaling.describe_scaling_activities(**what)["ScalingActivities"]
        return activity["StatusCode"] == "Successful"

    wait_until(fulfilled, what="the activity to end")
    nobody = sagemaker_aws.client("iam").create_user(UserName=unique)["User"]["UserName"]
    key = sagemaker_aws.client("iam").create_access_key(UserName=nobody)["AccessKey"]
    stranger = sagemaker_aws.client(
        "application-autoscaling",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    with pytest.raises(ClientError, match="application-autoscaling:DescribeScalingPolicies"):
        stranger.describe_scaling_policies(ServiceNamespace="sagemaker")
    clients.config(f"{unique}-other", ("other", unique, 1.0))
    with pytest.raises(ClientError, match='"main" must be deregistered as scalable targets'):
        clients.sagemaker.update_endpoint(EndpointName=unique, EndpointConfigName=f"{unique}-other")
    clients.delete(unique)

    def forgotten() -> bool:
        found = scaling.describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[what["ResourceId"]]
        )
        return not found["ScalableTargets"]

    wait_until(forgotten, what="the target to go with its endpoint")
    assert not clients.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]


TEMPLATE = """
Resources:
  Target:
    Type: AWS::ApplicationAutoScaling::ScalableTarget
    Properties:
      ServiceNamespace: sagemaker
      ResourceId: endpoint/ENDPOINT/variant/main
      ScalableDimension: sagemaker:variant:DesiredInstanceCount
      MinCapacity: 1
      MaxCapacity: 2
  Policy:
    Type: AWS::ApplicationAutoScaling::ScalingPolicy
    Properties:
      PolicyName: steps
      PolicyType: StepScaling
      ScalingTargetId: !Ref Target
      StepScalingPolicyConfiguration:
        AdjustmentType: ChangeInCapacity
        StepAdjustments: [{MetricIntervalLowerBound: 0, ScalingAdjustment: 1}]
"""


def test_cloudformation(sagemaker_aws: LocalAws, clients: Clients, unique: str) -> None:
    clients.config(unique, ("main", clients.model(unique), 1.0))
    clients.deploy(unique, unique)
    stacks = sagemaker_aws.client("cloudformation")
    scaling = sagemaker_aws.client("application-autoscaling")
    stacks.create_stack(StackName=unique, TemplateBody=TEMPLATE.replace("ENDPOINT", unique))

    def status() -> str:
        return stacks.describe_stacks(StackName=unique)["Stacks"][0]["StackStatus"]

    wait_until(lambda: "IN_PROGRESS" not in status(), what="the stack")
    assert status() == "CREATE_COMPLETE", stacks.describe_stack_events(StackName=unique)
    [policy] = scaling.describe_scaling_policies(
        ServiceNamespace="sagemaker", ResourceId=f"endpoint/{unique}/variant/main"
    )["ScalingPolicies"]
    assert policy["PolicyName"] == "steps"
    assert json.dumps(policy["StepScalingPolicyConfiguration"]["StepAdjustments"])
    stacks.delete_stack(StackName=unique)

    def gone() -> bool:
        listed = scaling.describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[f"endpoint/{unique}/variant/main"]
        )
        return not listed["ScalableTargets"]

    wait_until(gone, what="the target to go")
    clients.delete(unique)
