"""The model registry of the tests: moto's, whose packages a test registers and decides."""

from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.records import DeploymentRecord, EndpointRecord
from tests.unit import world
from tests.unit.world import IMAGE, MODEL, World

GROUP = ENDPOINT = "headrace-credit-risk"


def register(here: World, *, approved: bool = True) -> str:
    """Register the next version; return its ARN."""
    groups = here.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    if not groups:
        here.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    container = {"Image": IMAGE, "ModelDataUrl": "s3://headrace-artifacts/model.tar.gz"}
    arn: str = here.sagemaker.create_model_package(
        ModelPackageGroupName=GROUP,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        CustomerMetadataProperties={"run": "run"},
    )["ModelPackageArn"]
    if approved:
        decide(here, arn, "Approved")
    return arn


def decide(here: World, arn: str, decision: str, why: str = "said Ann", **more: Any) -> None:
    here.sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus=decision, ApprovalDescription=why, **more
    )


def lived(here: World, arn: str, version: int, *, serves: bool = True) -> None:
    """Leave what a deployment that went well just now leaves; a later version's, a bit later."""
    ended = told(datetime.now(UTC) + timedelta(milliseconds=version))
    here.ledger.put(
        DeploymentRecord(
            model=MODEL,
            deployment=f"v{version}",
            status="live",
            endpoint=ENDPOINT,
            package_arn=arn,
            package_version=version,
            execution_arn=f"arn:aws:states:::execution:headrace-deployment:v{version}",
            cause="approved",
            started_at=ended,
            ended_at=ended,
        )
    )
    if serves:
        here.ledger.put(
            EndpointRecord(
                model=MODEL,
                endpoint=ENDPOINT,
                package_arn=arn,
                package_version=version,
                endpoint_config=f"config-v{version}",
                run="run",
                live_since=ended,
            )
        )


def publish(here: World) -> None:
    """Make the model known."""
    here.ledger.put(world.model_record())


def told(when: datetime) -> str:
    """Write a time as the ledger does."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
