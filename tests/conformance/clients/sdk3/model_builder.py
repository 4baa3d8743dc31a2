"""ModelBuilder: build, deploy, invoke, register."""

import json
import os

from sagemaker.core.helper.session_helper import Session
from sagemaker.serve.model_builder import ModelBuilder
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
session = Session(default_bucket=BUCKET)

step("ModelBuilder.build of an image and a model in S3")
builder = ModelBuilder(
    image_uri=IMAGE,
    s3_model_data_url=f"s3://{BUCKET}/models/one.tar.gz",
    role_arn=ROLE,
    sagemaker_session=session,
    instance_type="ml.m5.large",
)
model = builder.build(model_name="sdk3-builder")
assert model.model_name.startswith("sdk3-builder"), model.model_name

step("ModelBuilder.deploy; Endpoint.invoke")
endpoint = builder.deploy(
    endpoint_name="sdk3-builder", instance_type="ml.m5.large", initial_instance_count=1
)
answer = endpoint.invoke(body="x", content_type="text/csv")
assert json.loads(answer.body.read())["model"] == "one"

step("ModelBuilder.register")
package = builder.register(
    model_package_group_name="sdk3-builder",
    content_types=["text/csv"],
    response_types=["application/json"],
    inference_instances=["ml.m5.large"],
    transform_instances=["ml.m5.large"],
    approval_status="Approved",
)
assert "sdk3-builder/1" in str(package), package
endpoint.delete()
