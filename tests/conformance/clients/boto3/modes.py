"""Serverless, asynchronous and streamed answers."""

import json
import os
import time

import boto3
from botocore.exceptions import ClientError
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
runtime = boto3.client("sagemaker-runtime")
soon = {"Delay": 1, "MaxAttempts": 60}
sagemaker.create_model(
    ModelName="boto3-modes",
    ExecutionRoleArn=ROLE,
    PrimaryContainer={
        "Image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
        "ModelDataUrl": f"s3://{BUCKET}/models/one.tar.gz",
    },
)
variant = {"VariantName": "all", "ModelName": "boto3-modes"}
instances = {**variant, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


def serve(name, **config):
    sagemaker.create_endpoint_config(EndpointConfigName=name, **config)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig=soon)


step("ServerlessConfig: create_endpoint, invoke_endpoint")
serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 1}
serve("boto3-serverless", ProductionVariants=[{**variant, "ServerlessConfig": serverless}])
answer = runtime.invoke_endpoint(EndpointName="boto3-serverless", ContentType="text/csv", Body="x")
assert json.loads(answer["Body"].read())["model"] == "one"

step("mistake: a serverless variant with data capture is refused")
try:
    sagemaker.create_endpoint_config(
        EndpointConfigName="boto3-serverless-capture",
        ProductionVariants=[{**variant, "ServerlessConfig": serverless}],
        DataCaptureConfig={
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/x",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        },
    )
except ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationException", error
else:
    raise AssertionError("the config was accepted")

step("AsyncInferenceConfig: invoke_endpoint_async, the output in S3")
serve(
    "boto3-async",
    ProductionVariants=[instances],
    AsyncInferenceConfig={
        "OutputConfig": {
            "S3OutputPath": f"s3://{BUCKET}/boto3-async/out",
            "S3FailurePath": f"s3://{BUCKET}/boto3-async/failed",
        }
    },
)
s3.put_object(Bucket=BUCKET, Key="boto3-async/in.csv", Body=b"1,2")
answer = runtime.invoke_endpoint_async(
    EndpointName="boto3-async",
    InputLocation=f"s3://{BUCKET}/boto3-async/in.csv",
    ContentType="text/csv",
)
assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
key = answer["OutputLocation"].split("/", 3)[3]
s3.get_waiter("object_exists").wait(Bucket=BUCKET, Key=key, WaiterConfig=soon)
said = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
assert said == {"model": "one", "body": "1,2"}, said

step("a failing asynchronous request: FailureLocation in S3")
s3.put_object(Bucket=BUCKET, Key="boto3-async/bad.csv", Body=b"fail")
answer = runtime.invoke_endpoint_async(
    EndpointName="boto3-async",
    InputLocation=f"s3://{BUCKET}/boto3-async/bad.csv",
    ContentType="text/csv",
)
key = answer["FailureLocation"].split("/", 3)[3]
s3.get_waiter("object_exists").wait(Bucket=BUCKET, Key=key, WaiterConfig=soon)

step("mistake: invoke_endpoint of an asynchronous endpoint raises ValidationError")
try:
    runtime.invoke_endpoint(EndpointName="boto3-async", Body=b"x")
except ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationError", error
else:
    raise AssertionError("the request was answered")

step("invoke_endpoint_with_response_stream")
serve("boto3-stream", ProductionVariants=[instances])
answer = runtime.invoke_endpoint_with_response_stream(
    EndpointName="boto3-stream", ContentType="text/csv", Body="x"
)
parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
assert json.loads(b"".join(parts))["model"] == "one", parts

step("application-autoscaling: register_scalable_target raises the count, put_scaling_policy")
scaling = boto3.client("application-autoscaling")
target = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/boto3-stream/variant/all",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
scaling.register_scalable_target(**target, MinCapacity=2, MaxCapacity=3)
scaling.put_scaling_policy(
    **target,
    PolicyName="boto3-scaling",
    PolicyType="TargetTrackingScaling",
    TargetTrackingScalingPolicyConfiguration={
        "TargetValue": 10.0,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
        },
    },
)
count, deadline = 1, time.time() + 60
while count < 2 and time.time() < deadline:
    endpoint = sagemaker.describe_endpoint(EndpointName="boto3-stream")
    count = endpoint["ProductionVariants"][0]["CurrentInstanceCount"]
    time.sleep(0.5)
assert count == 2, endpoint
policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
assert "boto3-scaling" in [policy["PolicyName"] for policy in policies], policies
for name in ("boto3-serverless", "boto3-async", "boto3-stream"):
    sagemaker.delete_endpoint(EndpointName=name)
