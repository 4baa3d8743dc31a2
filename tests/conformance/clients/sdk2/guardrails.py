"""A canary deployment through boto3 of an endpoint that the SDK made, and its rollback."""

import os
import time

import boto3
import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
session = sagemaker.Session(default_bucket=BUCKET)
client, cloudwatch = boto3.client("sagemaker"), boto3.client("cloudwatch")


def model(text):
    return Model(
        IMAGE,
        f"s3://{BUCKET}/models/{text}.tar.gz",
        ROLE,
        name=f"sdk2-guardrails-{text}",
        predictor_cls=Predictor,
        sagemaker_session=session,
    )


step("Model.deploy of two instances; an alarm")
predictor = model("one").deploy(
    2,
    "ml.m5.large",
    endpoint_name="sdk2-guardrails",
    serializer=CSVSerializer(),
    deserializer=JSONDeserializer(),
)
cloudwatch.put_metric_alarm(
    AlarmName="sdk2-guardrails",
    Namespace="AWS/SageMaker",
    MetricName="Invocation5XXErrors",
    Dimensions=[
        {"Name": "EndpointName", "Value": "sdk2-guardrails"},
        {"Name": "VariantName", "Value": "AllTraffic"},
    ],
    Statistic="Sum",
    Period=60,
    EvaluationPeriods=1,
    Threshold=1000,
    ComparisonOperator="GreaterThanThreshold",
    TreatMissingData="notBreaching",
)


def update(config):
    client.update_endpoint(
        EndpointName="sdk2-guardrails",
        EndpointConfigName=config,
        DeploymentConfig={
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {
                    "Type": "CANARY",
                    "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
                    "WaitIntervalInSeconds": 8,
                },
                "TerminationWaitInSeconds": 2,
                "MaximumExecutionTimeoutInSeconds": 600,
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "sdk2-guardrails"}]},
        },
    )


def states():
    """What the variants of the new config are doing; empty when there is none."""
    endpoint = client.describe_endpoint(EndpointName="sdk2-guardrails")
    pending = endpoint.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
    return {state["Status"] for each in pending for state in each.get("VariantStatus", [])}


step("update_endpoint with CANARY; VariantStatus while it bakes")
model("two").create(instance_type="ml.m5.large")
session.create_endpoint_config("sdk2-guardrails-two", "sdk2-guardrails-two", 2, "ml.m5.large")
update("sdk2-guardrails-two")
seen = set()
while client.describe_endpoint(EndpointName="sdk2-guardrails")["EndpointStatus"] == "Updating":
    seen |= states()
    assert predictor.predict("x")["model"] in ("one", "two")
    time.sleep(0.1)
assert {"ActivatingTraffic", "Baking"} & seen, seen
assert predictor.predict("x")["model"] == "two"

step("an alarm in a bake rolls back")
client.create_endpoint_config(
    EndpointConfigName="sdk2-guardrails-one",
    ProductionVariants=[
        {
            "VariantName": "AllTraffic",
            "ModelName": "sdk2-guardrails-one",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 2,
        }
    ],
)
update("sdk2-guardrails-one")
while "Baking" not in states():
    time.sleep(0.1)
cloudwatch.set_alarm_state(
    AlarmName="sdk2-guardrails", StateValue="ALARM", StateReason="to see the rollback"
)
client.get_waiter("endpoint_in_service").wait(
    EndpointName="sdk2-guardrails", WaiterConfig={"Delay": 1, "MaxAttempts": 120}
)
endpoint = client.describe_endpoint(EndpointName="sdk2-guardrails")
assert endpoint["EndpointConfigName"] == "sdk2-guardrails-two", endpoint
assert predictor.predict("x")["model"] == "two"
predictor.delete_endpoint()
