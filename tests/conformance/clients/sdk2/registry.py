"""Register, approve, deploy, predict."""

import os

import sagemaker
from sagemaker import ModelPackage
from sagemaker.deserializers import JSONDeserializer
from sagemaker.model import Model
from sagemaker.model_metrics import MetricsSource, ModelMetrics
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
session = sagemaker.Session(default_bucket=BUCKET)

step("Model.register with ModelMetrics: the group is made, the version waits for approval")
model = Model(IMAGE, f"s3://{BUCKET}/models/one.tar.gz", ROLE, sagemaker_session=session)
package = model.register(
    content_types=["text/csv"],
    response_types=["application/json"],
    inference_instances=["ml.m5.large"],
    transform_instances=["ml.m5.large"],
    model_package_group_name="sdk2-registry",
    approval_status="PendingManualApproval",
    customer_metadata_properties={"trained": "today"},
    model_metrics=ModelMetrics(
        model_statistics=MetricsSource("application/json", f"s3://{BUCKET}/statistics.json")
    ),
)
arn = package.model_package_arn
assert arn.endswith("model-package/sdk2-registry/1"), arn
described = session.sagemaker_client.describe_model_package(ModelPackageName=arn)
assert described["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith("statistics.json")

step("ModelPackage.update_approval_status")
package.update_approval_status("Approved", "it is good")
described = session.sagemaker_client.describe_model_package(ModelPackageName=arn)
assert described["ModelApprovalStatus"] == "Approved"

step("ModelPackage.update_customer_metadata")
package.update_customer_metadata({"trained": "today", "seen": "yes"})

step("ModelPackage(model_package_arn).deploy; predict")
again = ModelPackage(ROLE, model_package_arn=arn, sagemaker_session=session)
again.predictor_cls = Predictor
predictor = again.deploy(
    1,
    "ml.m5.large",
    endpoint_name="sdk2-registry",
    serializer=CSVSerializer(),
    deserializer=JSONDeserializer(),
)
assert predictor.predict("x")["model"] == "one"
predictor.delete_endpoint()
