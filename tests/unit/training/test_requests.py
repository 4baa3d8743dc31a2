"""Every request against botocore's service model: shapes, required members, enums, patterns."""

from typing import Any

import pytest

from headrace import requests
from headrace.definition import Deployment, Training
from headrace.registry import package_metadata
from headrace.settings import Settings
from tests.architecture.service_arguments import faults, operation
from tests.unit.world import IMAGE, MODEL, locked_down, run_record, settings

TAGS = {"stack": "headrace", "model": MODEL, "commit": "0" * 40}
LONG = "s" * 50
BOTH = pytest.mark.parametrize("here", [settings(), locked_down(), settings(STACK_NAME=LONG)])


def check(action: str, request: dict[str, Any]) -> None:
    found = operation(f"sagemaker:{action}")
    assert found is not None
    assert faults(found.input_shape, request) == []


def training_job(here: Settings, training: Training, name: str = "headrace-run") -> dict[str, Any]:
    return requests.build_training_job(
        here,
        training,
        name=name,
        image=IMAGE,
        channels={"code": "s3://d/projects/p/project.tar.gz", "champion": "s3://a/model.tar.gz"},
        manifest_channels={"training": "s3://a/runs/m/r/training.manifest"},
        output_uri="s3://a/runs/m/r/output",
        checkpoint_uri="s3://a/runs/m/r/checkpoints",
        tags=TAGS,
    )


@BOTH
@pytest.mark.parametrize("spot", [False, True])
def test_training_job(here: Settings, spot: bool) -> None:
    training = Training(spot=spot, hyperparameters={"max_depth": 6, "eta": 0.1, "on": True})
    request = training_job(here, training)
    check("createTrainingJob", request)
    assert request["HyperParameters"] == {"max_depth": "6", "eta": "0.1", "on": "true"}
    manifest, code, champion = request["InputDataConfig"]
    assert manifest["DataSource"]["S3DataSource"]["S3DataType"] == "ManifestFile"
    assert [code["ChannelName"], champion["ChannelName"]] == ["code", "champion"]
    assert ("CheckpointConfig" in request) is spot


def test_spot_waits_no_longer_than_sagemaker_allows() -> None:
    stopping = training_job(settings(), Training(spot=True, max_runtime_minutes=40320))[
        "StoppingCondition"
    ]
    assert stopping == {"MaxRuntimeInSeconds": 2419200, "MaxWaitTimeInSeconds": 2419200}


def test_isolation_keys_and_subnets_reach_the_job() -> None:
    request = training_job(locked_down(), Training())
    assert request["EnableNetworkIsolation"] is True
    assert request["VpcConfig"]["Subnets"] == ["subnet-0a", "subnet-0b"]
    key = request["ResourceConfig"]["VolumeKmsKeyId"]
    assert key == request["OutputDataConfig"]["KmsKeyId"] == locked_down().kms_key_arn


def kept(name: str) -> requests.Kept:
    return requests.Kept(f"s3://a/runs/m/r/{name}.json", "c" * 64)


def package(
    description: str = "roc_auc 0.97 is above the champion's 0.96 (+0.01)",
    **data_quality: requests.Kept,
) -> Any:
    run = run_record(metric="roc_auc", champion_package_arn="arn:aws:sagemaker:eu:1:m/g/1")
    return requests.build_model_package(
        group="headrace-credit-risk",
        token=run.training_job,
        description=description,
        image=IMAGE,
        artifact_uri="s3://a/runs/m/r/output/job/output/model.tar.gz",
        instance_type="ml.m5.large",
        evaluation=kept("evaluation"),
        data_quality=data_quality,
        metadata=package_metadata(run, artifact_sha256="d" * 64, value=0.97),
    )


def test_model_package() -> None:
    request = package()
    check("createModelPackage", request)
    assert request["ModelApprovalStatus"] == "PendingManualApproval"
    assert "Tags" not in request  # SageMaker refuses them on versioned packages
    assert "DriftCheckBaselines" not in request


def test_a_package_carries_what_model_monitor_would_check_it_against() -> None:
    request = package(Statistics=kept("statistics"), Constraints=kept("constraints"))
    check("createModelPackage", request)
    assert request["DriftCheckBaselines"]["ModelDataQuality"]["Constraints"]["S3Uri"] == (
        "s3://a/runs/m/r/constraints.json"
    )
    data_quality = request["DriftCheckBaselines"]["ModelDataQuality"]
    assert request["ModelMetrics"]["ModelDataQuality"] == data_quality


def test_a_replayed_registration_has_the_same_token() -> None:
    """Invariant 25: SageMaker answers the second with the first one's package."""
    assert package() == package()
    assert len(package()["ClientToken"]) <= 36


def test_descriptions_are_one_line_of_a_legal_length() -> None:
    check("createModelPackage", package("a\nb" * 2000))
    assert package("a\n\tb")["ModelPackageDescription"] == "a b"


def test_approval_and_group() -> None:
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/headrace-credit-risk/3"
    check("updateModelPackage", requests.build_approval(arn, "passed\nthe gate " * 300))
    group = requests.build_package_group(name="headrace-credit-risk", description="", tags=TAGS)
    check("createModelPackageGroup", group)


def model(here: Settings, version: int = 3) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:eu-west-1:123456789012:model-package/headrace-credit-risk/{version}"
    return requests.build_model(here, model=MODEL, version=version, package_arn=arn, tags=TAGS)


def config(here: Settings, deployment: Deployment | None = None) -> dict[str, Any]:
    return requests.build_endpoint_config(
        here,
        deployment or Deployment(),
        model=MODEL,
        version=3,
        model_name=model(here)["ModelName"],
        tags=TAGS,
    )


@BOTH
def test_model_endpoint_config_and_endpoint(here: Settings) -> None:
    check("createModel", model(here))
    check("createEndpointConfig", config(here))
    name = config(here)["EndpointConfigName"]
    endpoint = "headrace-credit-risk"
    check(
        "createEndpoint",
        requests.build_endpoint(endpoint=endpoint, endpoint_config=name, tags=TAGS),
    )
    check("updateEndpoint", requests.build_endpoint_update(endpoint=endpoint, endpoint_config=name))


def test_a_deployment_strategy_has_its_place() -> None:
    strategy = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 600,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
            }
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "headrace-credit-risk-5xx"}]},
    }
    check(
        "updateEndpoint",
        requests.build_endpoint_update(endpoint="e", endpoint_config="c", strategy=strategy),
    )


def test_names_change_with_the_contents_and_only_with_them() -> None:
    """A model or configuration that already has a name is the very one that was asked for."""
    here = settings()
    assert model(here) == model(here)
    assert model(here)["ModelName"] != model(locked_down())["ModelName"]
    assert model(here, 3)["ModelName"] != model(here, 4)["ModelName"]
    bigger = config(here, Deployment(instance_count=2))
    assert config(here)["EndpointConfigName"] != bigger["EndpointConfigName"]


def test_capture_can_be_turned_off() -> None:
    assert "DataCaptureConfig" not in config(settings(), Deployment(capture_percent=0))
    captured = config(settings(), Deployment(capture_percent=25))["DataCaptureConfig"]
    assert captured["InitialSamplingPercentage"] == 25
    assert captured["DestinationS3Uri"] == "s3://headrace-artifacts/captures"
