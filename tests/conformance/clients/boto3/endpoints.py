"""Real-time endpoints: create, invoke, update, capture, errors, delete."""

import json
import os
import time

import boto3
from botocore.exceptions import ClientError, WaiterError
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
runtime = boto3.client("sagemaker-runtime")
soon = {"Delay": 1, "MaxAttempts": 60}


def refused(call, code, words, **request):
    """The call must be refused with this code, in these words."""
    try:
        call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert words in error.response["Error"]["Message"], error
        return error
    raise AssertionError(f"{request} was accepted")


def variant(model, weight=1.0):
    return {
        "VariantName": model.rsplit("-", 1)[-1],
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": weight,
    }


def ask(endpoint="boto3-endpoint", body="hello", **options):
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="text/csv", Body=body, **options
    )
    return json.loads(answer["Body"].read()), answer


step("create_model, create_endpoint_config, create_endpoint; waiter endpoint_in_service")
for text in ("one", "two"):
    sagemaker.create_model(
        ModelName=f"boto3-model-{text}",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/models/{text}.tar.gz"},
    )
sagemaker.create_endpoint_config(
    EndpointConfigName="boto3-config",
    ProductionVariants=[variant("boto3-model-one", 1.0), variant("boto3-model-two", 0.0)],
    DataCaptureConfig={
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/boto3-capture",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {
            "CsvContentTypes": ["text/csv"],
            "JsonContentTypes": ["application/json"],
        },
    },
)
sagemaker.create_endpoint(EndpointName="boto3-endpoint", EndpointConfigName="boto3-config")
in_service = sagemaker.get_waiter("endpoint_in_service")
in_service.wait(EndpointName="boto3-endpoint", WaiterConfig=soon)

step("invoke_endpoint")
said, answer = ask(InferenceId="boto3-42")
assert said == {"model": "one", "body": "hello"}, said
assert answer["InvokedProductionVariant"] == "one"

step("invoke_endpoint with TargetVariant")
said, answer = ask(TargetVariant="two")
assert said["model"] == "two", said
assert answer["InvokedProductionVariant"] == "two"

step("describe_endpoint: variants' weights and counts")
endpoint = sagemaker.describe_endpoint(EndpointName="boto3-endpoint")
weights = {each["VariantName"]: each["CurrentWeight"] for each in endpoint["ProductionVariants"]}
assert weights == {"one": 1.0, "two": 0.0}, weights
assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 1

step("data capture: JSON lines in S3")
deadline = time.time() + 30
contents = []
while not contents and time.time() < deadline:
    prefix = "boto3-capture/boto3-endpoint/one/"
    contents = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    time.sleep(0.2)
captured = s3.get_object(Bucket=BUCKET, Key=contents[0]["Key"])["Body"].read().splitlines()
record = json.loads(captured[0])
assert record["captureData"]["endpointInput"]["data"] == "hello", record
assert record["eventMetadata"]["inferenceId"] == "boto3-42", record

step("mistake: a container that fails raises ModelError with OriginalStatusCode")
try:
    ask(body="fail")
except runtime.exceptions.ModelError as error:
    assert error.response["OriginalStatusCode"] == 500, error.response
    assert error.response["OriginalMessage"] == "asked to fail", error.response
    assert error.response["LogStreamArn"].startswith("arn:aws:logs:"), error.response
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 424
else:
    raise AssertionError("the container's failure was not reported")

step("mistake: an unknown endpoint or variant raises ValidationError")
invoke = runtime.invoke_endpoint
refused(invoke, "ValidationError", "not found", EndpointName="boto3-missing", Body=b"x")
refused(
    invoke,
    "ValidationError",
    "three",
    EndpointName="boto3-endpoint",
    TargetVariant="three",
    Body=b"",
)

step("mistake: names that are taken raise ValidationException")
existing = "Cannot create already existing"
refused(
    sagemaker.create_endpoint,
    "ValidationException",
    existing,
    EndpointName="boto3-endpoint",
    EndpointConfigName="boto3-config",
)
refused(
    sagemaker.create_endpoint_config,
    "ValidationException",
    existing,
    EndpointConfigName="boto3-config",
    ProductionVariants=[variant("boto3-model-one")],
)
refused(
    sagemaker.create_model,
    "ValidationException",
    existing,
    ModelName="boto3-model-one",
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": IMAGE},
)

step("mistake: unknown models, configs and endpoints raise ValidationException")
unknown = "Could not find"
missing = "boto3-model-missing"
refused(
    sagemaker.create_endpoint_config,
    "ValidationException",
    unknown,
    EndpointConfigName="boto3-none",
    ProductionVariants=[variant(missing)],
)
refused(sagemaker.describe_model, "ValidationException", unknown, ModelName=missing)
refused(sagemaker.delete_model, "ValidationException", unknown, ModelName=missing)
refused(sagemaker.delete_endpoint, "ValidationException", unknown, EndpointName="boto3-missing")

step("update_endpoint; waiter endpoint_in_service")
sagemaker.create_endpoint_config(
    EndpointConfigName="boto3-config-two", ProductionVariants=[variant("boto3-model-two")]
)
sagemaker.update_endpoint(EndpointName="boto3-endpoint", EndpointConfigName="boto3-config-two")
status = sagemaker.describe_endpoint(EndpointName="boto3-endpoint")["EndpointStatus"]
assert status == "Updating", status
in_service.wait(EndpointName="boto3-endpoint", WaiterConfig=soon)
assert ask()[0]["model"] == "two"
endpoint = sagemaker.describe_endpoint(EndpointName="boto3-endpoint")
assert endpoint["EndpointConfigName"] == "boto3-config-two"

step("a model that cannot be had: the waiter raises WaiterError, FailureReason says why")
sagemaker.create_model(
    ModelName="boto3-model-gone",
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/models/gone.tar.gz"},
)
sagemaker.create_endpoint_config(
    EndpointConfigName="boto3-config-gone", ProductionVariants=[variant("boto3-model-gone")]
)
sagemaker.create_endpoint(EndpointName="boto3-gone", EndpointConfigName="boto3-config-gone")
try:
    in_service.wait(EndpointName="boto3-gone", WaiterConfig=soon)
except WaiterError as error:
    assert error.last_response["EndpointStatus"] == "Failed"
    assert error.last_response["FailureReason"]
else:
    raise AssertionError("the waiter did not raise")

step("paginators list_endpoints, list_endpoint_configs, list_models")
for operation, key, name in (
    ("list_endpoints", "Endpoints", "boto3-endpoint"),
    ("list_endpoint_configs", "EndpointConfigs", "boto3-config"),
    ("list_models", "Models", "boto3-model-one"),
):
    pages = sagemaker.get_paginator(operation).paginate(
        NameContains="boto3-", PaginationConfig={"PageSize": 1}
    )
    found = [item for page in pages for item in page[key]]
    assert name in [item[f"{key[:-1]}Name"] for item in found], found
    assert len(found) > 1

step("delete_endpoint; waiter endpoint_deleted")
for name in ("boto3-endpoint", "boto3-gone"):
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=soon)

step("delete_endpoint_config, delete_model")
sagemaker.delete_endpoint_config(EndpointConfigName="boto3-config")
sagemaker.delete_model(ModelName="boto3-model-one")
