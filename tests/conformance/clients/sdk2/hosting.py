"""Model and Predictor: deploy with data capture, predict, several variants, update, delete."""

import os
import time

import boto3
import sagemaker
from botocore.exceptions import ClientError
from sagemaker.deserializers import JSONDeserializer
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.model import Model
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from sagemaker.session import production_variant
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
session = sagemaker.Session(default_bucket=BUCKET)
plain = {"serializer": CSVSerializer(), "deserializer": JSONDeserializer()}


def model(text):
    return Model(
        IMAGE,
        f"s3://{BUCKET}/models/{text}.tar.gz",
        ROLE,
        predictor_cls=Predictor,
        name=f"sdk2-hosting-{text}",
        sagemaker_session=session,
    )


step("Model.deploy with DataCaptureConfig")
predictor = model("one").deploy(
    1,
    "ml.m5.large",
    endpoint_name="sdk2-hosting",
    data_capture_config=DataCaptureConfig(
        enable_capture=True,
        sampling_percentage=100,
        destination_s3_uri=f"s3://{BUCKET}/sdk2-capture",
        sagemaker_session=session,
    ),
    **plain,
)

step("Predictor.predict")
assert predictor.predict([[1, 2], [3, 4]]) == {"model": "one", "body": "1,2\n3,4"}

step("captured data: S3Downloader.list, read_file")
captured, deadline = [], time.time() + 30
while not captured and time.time() < deadline:
    captured = session.list_s3_files(BUCKET, "sdk2-capture/sdk2-hosting/AllTraffic/")
    time.sleep(0.2)
lines = session.read_s3_file(BUCKET, captured[0])
assert '"endpointInput"' in lines, lines

step("a container's failure raises ModelError")
try:
    predictor.predict("fail")
except ClientError as error:
    assert error.response["Error"]["Code"] == "ModelError"
    assert "asked to fail" in str(error), error
else:
    raise AssertionError("the failure was not reported")

step("Predictor.update_endpoint with another model")
model("two").create(instance_type="ml.m5.large")
predictor.update_endpoint(
    initial_instance_count=2, instance_type="ml.m5.large", model_name="sdk2-hosting-two"
)
assert predictor.predict("x")["model"] == "two"
endpoint = session.describe_endpoint("sdk2-hosting")
assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 2, endpoint

step("Predictor.disable_data_capture")
predictor.disable_data_capture()
assert not session.describe_endpoint("sdk2-hosting")["DataCaptureConfig"]["EnableCapture"]

step("Session.endpoint_from_production_variants; predict with target_variant")
session.endpoint_from_production_variants(
    "sdk2-variants",
    [
        production_variant(f"sdk2-hosting-{text}", "ml.m5.large", variant_name=text)
        for text in ("one", "two")
    ],
)
both = Predictor("sdk2-variants", session, **plain)
assert both.predict("x", target_variant="one")["model"] == "one"
assert both.predict("x", target_variant="two")["model"] == "two"

step("Predictor.list_monitors of an endpoint without any")
assert both.list_monitors() == []

step("a deployment that fails raises UnexpectedStatusException with the reason")
gone = model("gone")
try:
    gone.deploy(1, "ml.m5.large", endpoint_name="sdk2-gone")
except UnexpectedStatusException as error:
    assert error.actual_status == "Failed"
    assert "Reason" in str(error), error
else:
    raise AssertionError("deploy did not raise")

step("Predictor.delete_endpoint")
predictor.delete_endpoint()
both.delete_endpoint()
boto3.client("sagemaker").get_waiter("endpoint_deleted").wait(
    EndpointName="sdk2-hosting", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
)
