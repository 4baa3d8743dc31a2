"""The resources of sagemaker-core: Model, EndpointConfig, Endpoint, ModelPackage."""

import json
import os

from botocore.exceptions import ParamValidationError
from sagemaker.core.resources import (
    Endpoint,
    EndpointConfig,
    Model,
    ModelPackage,
    ModelPackageGroup,
)
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant
from sagemaker.core.utils.exceptions import FailedStatusError
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"


def config(name, model):
    return EndpointConfig.create(
        endpoint_config_name=name,
        production_variants=[
            ProductionVariant(
                variant_name="all",
                model_name=model,
                initial_instance_count=1,
                instance_type="ml.m5.large",
            )
        ],
    )


def said(endpoint):
    answer = endpoint.invoke(body="x", content_type="text/csv")
    return json.loads(answer.body.read())["model"]


step("Model.create, EndpointConfig.create, Endpoint.create, wait_for_status")
for text in ("one", "two", "gone"):
    Model.create(
        model_name=f"sdk3-{text}",
        primary_container=ContainerDefinition(
            image=IMAGE, model_data_url=f"s3://{BUCKET}/models/{text}.tar.gz"
        ),
        execution_role_arn=ROLE,
    )
config("sdk3-config", "sdk3-one")
endpoint = Endpoint.create(endpoint_name="sdk3-endpoint", endpoint_config_name="sdk3-config")
endpoint.wait_for_status("InService", poll=1)

step("Endpoint.invoke")
assert said(endpoint) == "one"

step("Endpoint.update, refresh")
config("sdk3-config-two", "sdk3-two")
endpoint.endpoint_config_name = "sdk3-config-two"
endpoint.update()
endpoint.wait_for_status("InService", poll=1)
assert said(endpoint) == "two"

step("Endpoint.update_weights_and_capacities")
endpoint.update_weights_and_capacities(
    desired_weights_and_capacities=[{"variant_name": "all", "desired_instance_count": 2}]
)
endpoint.wait_for_status("InService", poll=1)
endpoint.refresh()
assert endpoint.production_variants[0].current_instance_count == 2, endpoint.production_variants

step("Endpoint.get_all, Model.get_all, EndpointConfig.get_all")
assert "sdk3-endpoint" in [each.endpoint_name for each in Endpoint.get_all(name_contains="sdk3")]
assert "sdk3-one" in [each.model_name for each in Model.get_all(name_contains="sdk3")]
names = [each.endpoint_config_name for each in EndpointConfig.get_all(name_contains="sdk3")]
assert "sdk3-config" in names, names

step("an endpoint that fails: wait_for_status raises FailedStatusError with the reason")
config("sdk3-config-gone", "sdk3-gone")
gone = Endpoint.create(endpoint_name="sdk3-gone", endpoint_config_name="sdk3-config-gone")
try:
    gone.wait_for_status("InService", poll=1)
except FailedStatusError as error:
    assert "gone.tar.gz" in str(error), error
else:
    raise AssertionError("it did not fail")

step("Endpoint.delete, wait_for_delete; EndpointConfig.delete; Model.delete")
endpoint.delete()
endpoint.wait_for_delete(poll=1)
gone.delete()
EndpointConfig.get("sdk3-config").delete()
Model.get("sdk3-one").delete()

step("ModelPackageGroup.create, get_all")
ModelPackageGroup.create(model_package_group_name="sdk3-group")
groups = ModelPackageGroup.get_all(name_contains="sdk3")
assert "sdk3-group" in [each.model_package_group_name for each in groups]

step(
    "ModelPackage.create of a version",
    bug="client's bug: the version is made, then the client raises KeyError 'ModelPackageName'",
)
try:
    ModelPackage.create(
        model_package_group_name="sdk3-group",
        model_approval_status="PendingManualApproval",
        source_uri="https://example.com/model",
    )
except KeyError as error:
    assert error.args == ("ModelPackageName",), error
else:
    raise AssertionError("the client's bug is gone")

step("ModelPackage.get_all, get, update of the approval")
found = list(ModelPackage.get_all(model_package_group_name="sdk3-group"))
package = ModelPackage.get(found[0].model_package_arn)
package.update(model_approval_status="Approved")
package.refresh()
assert package.model_approval_status == "Approved", package

step(
    "ModelPackage.delete of a version",
    bug="client's bug: it goes by the name, which a version has not; its ARN would do",
)
try:
    package.delete()
except ParamValidationError as error:
    assert "ModelPackageName" in str(error), error
else:
    raise AssertionError("the client's bug is gone")
