"""Every SageMaker request Headrace makes, built in one place by pure functions.

State machines pass them on as they are, and the tests hold each against botocore's service model.
What every request of a kind shares (keys, subnets, isolation, roles, tags) comes from the settings.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from headrace import names
from headrace.definition import Deployment, Training
from headrace.deployment.comparison import Kind
from headrace.deployment.experiment import CHALLENGER, CHAMPION
from headrace.settings import Settings

Request = dict[str, Any]

VARIANT = CHAMPION
# Autoscaling's work survives an update; weights and capture are the configuration's.
_KEEP_INSTANCES = {
    "RetainAllVariantProperties": True,
    "ExcludeRetainedVariantProperties": [
        {"VariantPropertyType": "DesiredWeight"},
        {"VariantPropertyType": "DataCaptureConfig"},
    ],
}
_MAX_SECONDS = 28 * 86400  # of any job (StoppingCondition, API reference)
CONTENT_TYPES = ["application/json", "application/jsonlines", "text/csv", "application/x-parquet"]
RESPONSE_TYPES = ["application/json", "text/csv"]


class Kept(NamedTuple):
    """A JSON document in S3, as the registry names it."""

    uri: str
    sha256: str

    def as_source(self) -> Request:
        """Build a MetricsSource."""
        digest = f"sha256:{self.sha256}"
        return {"ContentType": "application/json", "ContentDigest": digest, "S3Uri": self.uri}


def build_training_job(
    settings: Settings,
    training: Training,
    *,
    name: str,
    image: str,
    channels: Mapping[str, str],
    manifest_channels: Mapping[str, str],
    output_uri: str,
    checkpoint_uri: str,
    tags: Mapping[str, str],
) -> Request:
    """Build CreateTrainingJob: one instance, every channel copied to its disk before it starts.

    `channels` map a channel's name to an S3 prefix, `manifest_channels` to a manifest object.
    SageMaker retries faults of its own (`RetryStrategy`) within the same time limit.
    """
    runtime = training.max_runtime_minutes * 60
    stopping = {"MaxRuntimeInSeconds": runtime}
    spot: Request = {}
    if training.spot:
        # Waiting for capacity counts too: MaxWaitTime must be at least MaxRuntime.
        stopping["MaxWaitTimeInSeconds"] = min(2 * runtime, _MAX_SECONDS)
        spot = {"EnableManagedSpotTraining": True, "CheckpointConfig": {"S3Uri": checkpoint_uri}}
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": settings.job_role_arn,
        "HyperParameters": {k: _as_text(v) for k, v in training.hyperparameters.items()},
        "InputDataConfig": [
            *(_channel(name, "ManifestFile", uri) for name, uri in manifest_channels.items()),
            *(_channel(name, "S3Prefix", uri) for name, uri in channels.items()),
        ],
        "OutputDataConfig": {"S3OutputPath": output_uri, **_key(settings, "KmsKeyId")},
        "ResourceConfig": {
            "InstanceType": training.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": training.volume_gb,
            **_key(settings, "VolumeKmsKeyId"),
        },
        "StoppingCondition": stopping,
        "RetryStrategy": {"MaximumRetryAttempts": 2},
        "EnableNetworkIsolation": settings.network_isolation,
        **_vpc(settings),
        **spot,
        "Tags": build_tags(tags),
    }


def build_model_package(
    *,
    group: str,
    token: str,
    description: str,
    image: str,
    artifact_uri: str,
    instance_type: str,
    evaluation: Kept,
    data_quality: Mapping[str, Kept],
    metadata: Mapping[str, str],
) -> Request:
    """Build CreateModelPackage: a version that waits for an approval, whoever may give it.

    `data_quality` are the Statistics and Constraints of the training data, if they are known: what
    this version was made of, and what its traffic is checked against.
    Versioned packages take no tags (API reference, CreateModelPackage): the group carries those,
    and what is particular to this version goes into its customer metadata.
    """
    known = {name: kept.as_source() for name, kept in data_quality.items()}
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": _line(description),
        "ModelApprovalStatus": "PendingManualApproval",
        "ClientToken": names.digest(token, length=32),
        "InferenceSpecification": {
            "Containers": [{"Image": image, "ModelDataUrl": artifact_uri}],
            "SupportedContentTypes": CONTENT_TYPES,
            "SupportedResponseMIMETypes": RESPONSE_TYPES,
            "SupportedRealtimeInferenceInstanceTypes": [instance_type],
            "SupportedTransformInstanceTypes": [instance_type],
        },
        "ModelMetrics": {
            "ModelQuality": {"Statistics": evaluation.as_source()},
            **({"ModelDataQuality": known} if known else {}),
        },
        **({"DriftCheckBaselines": {"ModelDataQuality": known}} if known else {}),
        "CustomerMetadataProperties": dict(metadata),
    }


def build_package_group(*, name: str, description: str, tags: Mapping[str, str]) -> Request:
    """Build CreateModelPackageGroup; its tags hold for every version in it."""
    return {
        "ModelPackageGroupName": name,
        "ModelPackageGroupDescription": _line(description) or name,
        "Tags": build_tags(tags),
    }


def build_approval(package_arn: str, reason: str) -> Request:
    """Build UpdateModelPackage for an approval by policy."""
    return {
        "ModelPackageArn": package_arn,
        "ModelApprovalStatus": "Approved",
        "ApprovalDescription": _line(reason),
    }


def build_rejection(package_arn: str, reason: str) -> Request:
    """Build UpdateModelPackage for a version that was taken back."""
    return {
        "ModelPackageArn": package_arn,
        "ModelApprovalStatus": "Rejected",
        "ApprovalDescription": _line(reason),
    }


def build_model(
    settings: Settings, *, model: str, version: int, package_arn: str, tags: Mapping[str, str]
) -> Request:
    """Build CreateModel from a package, which SageMaker itself refuses unless it is approved.

    The name is a digest of all the rest, so a model that already has it is this very model.
    """
    request: Request = {
        "PrimaryContainer": {"ModelPackageName": package_arn},
        "ExecutionRoleArn": settings.serving_role_arn,
        "EnableNetworkIsolation": settings.network_isolation,
        **_vpc(settings),
        "Tags": build_tags(tags),
    }
    return {"ModelName": _content_name(settings, model, version, request), **request}


def build_endpoint_config(
    settings: Settings,
    deployment: Deployment,
    *,
    model: str,
    version: int,
    model_name: str,
    tags: Mapping[str, str],
) -> Request:
    """Build CreateEndpointConfig: one variant, its traffic captured as the project asks.

    The name is a digest of all the rest, so a configuration that already has it is this very one.
    """
    request: Request = {
        "ProductionVariants": [
            {
                "VariantName": VARIANT,
                "ModelName": model_name,
                "InitialInstanceCount": deployment.instance_count,
                "InstanceType": deployment.instance_type,
                "InitialVariantWeight": 1.0,
            }
        ],
        **_key(settings, "KmsKeyId"),
        **_capture(settings, deployment),
        "Tags": build_tags(tags),
    }
    return {"EndpointConfigName": _content_name(settings, model, version, request), **request}


def build_comparison_config(
    settings: Settings,
    deployment: Deployment,
    kind: Kind,
    *,
    model: str,
    version: int,
    champion: Mapping[str, Any],
    model_name: str,
    tags: Mapping[str, str],
) -> Request:
    """Build CreateEndpointConfig: the champion's variant as it serves, and the candidate's beside.

    A shadow gets copies of requests by its weight over the production variant's; of two production
    variants each answers its weight's share.
    """
    shadow, ab = deployment.shadow, deployment.ab
    percent = shadow.percent if kind == "shadow" and shadow else ab.percent if ab else 0
    share = percent / 100
    challenger = {
        "VariantName": CHALLENGER,
        "ModelName": model_name,
        "InitialInstanceCount": math.ceil(deployment.instance_count * share),
        "InstanceType": deployment.instance_type,
        "InitialVariantWeight": share,
    }
    production = {**champion, "InitialVariantWeight": 1.0 if kind == "shadow" else 1 - share}
    variants: Request = (
        {"ProductionVariants": [production], "ShadowProductionVariants": [challenger]}
        if kind == "shadow"
        else {"ProductionVariants": [production, challenger]}
    )
    request = {
        **variants,
        **_key(settings, "KmsKeyId"),
        **_capture(settings, deployment),
        "Tags": build_tags(tags),
    }
    return {"EndpointConfigName": _content_name(settings, model, version, request), **request}


def build_endpoint(*, endpoint: str, endpoint_config: str, tags: Mapping[str, str]) -> Request:
    """Build CreateEndpoint."""
    return {
        "EndpointName": endpoint,
        "EndpointConfigName": endpoint_config,
        "Tags": build_tags(tags),
    }


def build_endpoint_update(
    *,
    endpoint: str,
    endpoint_config: str,
    strategy: Mapping[str, Any] | None = None,
    keep_instances: bool = False,
) -> Request:
    """Build UpdateEndpoint; the configuration's instance counts hold, or those there are now.

    `strategy` is SageMaker's DeploymentConfig: canary or linear shifts and the alarms that undo
    them. Without it all traffic moves at once, once the new instances answer.
    """
    return {
        "EndpointName": endpoint,
        "EndpointConfigName": endpoint_config,
        **({"DeploymentConfig": dict(strategy)} if strategy else {}),
        **(_KEEP_INSTANCES if keep_instances else {}),
    }


def build_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as every request takes them; their keys start with `headrace:`."""
    return [{"Key": f"headrace:{key}", "Value": value} for key, value in sorted(tags.items())]


def _channel(name: str, data_type: str, uri: str) -> Request:
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": data_type,
                "S3Uri": uri,
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }


def _capture(settings: Settings, deployment: Deployment) -> Request:
    if not deployment.capture_percent:
        return {}
    return {
        "DataCaptureConfig": {
            "EnableCapture": True,
            "InitialSamplingPercentage": deployment.capture_percent,
            "DestinationS3Uri": f"s3://{settings.artifacts_bucket}/captures",
            **_key(settings, "KmsKeyId"),
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            # Any other content type is captured as base64.
            "CaptureContentTypeHeader": {
                "CsvContentTypes": ["text/csv"],
                "JsonContentTypes": ["application/json"],
            },
        }
    }


def _content_name(settings: Settings, model: str, version: int, request: Request) -> str:
    content = names.digest(json.dumps(request, sort_keys=True))
    return names.sagemaker_name(settings.stack, model, f"v{version}", content)


def _key(settings: Settings, field: str) -> Request:
    return {field: settings.kms_key_arn} if settings.kms_key_arn else {}


def _vpc(settings: Settings) -> Request:
    if not settings.subnet_ids:
        return {}
    return {
        "VpcConfig": {
            "Subnets": settings.subnet_ids.split(","),
            "SecurityGroupIds": settings.security_group_ids.split(","),
        }
    }


def _line(text: str) -> str:
    """Descriptions are one line of at most 1024 characters."""
    return " ".join(text.split())[:1024]


def _as_text(value: str | float | bool) -> str:
    """SageMaker's hyperparameters are text; the container reads anything but text as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
