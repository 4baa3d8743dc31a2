"""What CreateTrainingJob refuses: what AWS refuses, in its words, and what is not done here."""

from __future__ import annotations

import re

from local.sagemaker import toolkit
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.jobs import check_quota
from local.sagemaker.jobs.training import DAY, INTERRUPT_TAG, interruptions
from local.sagemaker.store import Record

_REFUSED = ("ServerlessJobConfig", "ModelPackageConfig", "SessionChainingConfig", "MlflowConfig")
_REFUSED_RESOURCES = ("InstanceGroups", "TrainingPlanArn", "InstancePreferences")
_LONGEST = 28 * DAY  # API_StoppingCondition


def check(request: Record, limit: int) -> None:
    """Refuse a request that cannot be a job here; `limit` is the most instances of one."""
    for member in ("AlgorithmSpecification", "ResourceConfig"):
        if member not in request:
            raise invalid(
                f"1 validation error detected: Value null at '{member[0].lower()}{member[1:]}' "
                "failed to satisfy constraint: Member must not be null"
            )
    for member in _REFUSED:
        if member in request:
            raise not_implemented(f"CreateTrainingJob with {member}")
    algorithm = request["AlgorithmSpecification"]
    if "AlgorithmName" in algorithm:
        raise not_implemented("A training job by AlgorithmName (give TrainingImage)")
    if "TrainingImage" not in algorithm:
        raise invalid("Either TrainingImage or AlgorithmName must be specified.")
    _check_resources(request, limit)
    _check_limits(request)
    _check_checkpoints(request)
    _check_metrics(algorithm)
    channels = request.get("InputDataConfig", [])
    if len({channel["ChannelName"] for channel in channels}) != len(channels):
        raise invalid("Channel names must be unique.")
    for channel in channels:
        _check_channel(channel, request)


def _check_metrics(algorithm: Record) -> None:
    for definition in algorithm.get("MetricDefinitions", []):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise invalid(f"Metric {definition['Name']}: invalid regex: {error}") from error


def _check_resources(request: Record, limit: int) -> None:
    resources = request["ResourceConfig"]
    for member in _REFUSED_RESOURCES:
        if resources.get(member):
            raise not_implemented(f"ResourceConfig with {member}")
    count = resources.get("InstanceCount") or 1
    check_quota("training", resources.get("InstanceType", "ml"), count, limit)
    if count > 1 and request.get("EnableNetworkIsolation"):
        raise not_implemented("Network isolation of a job on more than one instance")
    if resources.get("KeepAlivePeriodInSeconds") and request.get("EnableManagedSpotTraining"):
        raise invalid("KeepAlivePeriodInSeconds is not supported with managed spot training.")


def _check_limits(request: Record) -> None:
    limits = request.get("StoppingCondition", {})
    if limits.get("MaxRuntimeInSeconds", DAY) > _LONGEST:
        raise invalid(f"MaxRuntimeInSeconds must be at most {_LONGEST} seconds (28 days).")
    wait = limits.get("MaxWaitTimeInSeconds")
    if not request.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise invalid(
                "MaxWaitTimeInSeconds is only supported when EnableManagedSpotTraining is true."
            )
        return
    if (wait or 0) < limits.get("MaxRuntimeInSeconds", DAY):
        raise invalid(
            "MaxWaitTimeInSeconds must be present, and equal to or greater than "
            "MaxRuntimeInSeconds, when EnableManagedSpotTraining is true."
        )
    try:
        interruptions(request)
    except ValueError as error:
        raise invalid(
            f"The tag {INTERRUPT_TAG} of the local AWS holds seconds, apart by blanks: {error}"
        ) from error


def _check_checkpoints(request: Record) -> None:
    local = request.get("CheckpointConfig", {}).get("LocalPath", toolkit.CHECKPOINTS)
    if not local.startswith("/opt/ml/") or ".." in local.split("/"):
        raise not_implemented(f"CheckpointConfig: the LocalPath {local} outside /opt/ml")


def _check_channel(channel: Record, request: Record) -> None:
    """Refuse inputs that AWS refuses, or that are not brought in here."""
    name, mode = channel["ChannelName"], toolkit.input_mode(channel, request)
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        given = ", ".join(channel["DataSource"]) or "none"
        raise not_implemented(f"Channel {name}: a data source other than S3DataSource ({given})")
    for member in ("HubAccessConfig", "ModelAccessConfig", "InstanceGroupNames"):
        if source.get(member):
            raise not_implemented(f"Channel {name}: {member}")
    _check_kind(name, source, mode)
    if mode == "Pipe":
        return
    for member in ("CompressionType", "RecordWrapperType"):
        if channel.get(member, "None") != "None":
            raise invalid(
                f"Channel {name}: {member} {channel[member]} is used only in Pipe input mode."
            )


def _check_kind(name: str, source: Record, mode: str) -> None:
    if source["S3DataType"] == "Converse":
        raise not_implemented(f"Channel {name}: S3DataType Converse")
    if source["S3DataType"] != "AugmentedManifestFile":
        return
    if mode != "Pipe":
        raise invalid(
            f"Channel {name}: AugmentedManifestFile can only be used if the Channel's input mode "
            "is Pipe."
        )
    if not source.get("AttributeNames"):
        raise invalid(f"Channel {name}: AttributeNames are required for AugmentedManifestFile.")
