"""Deployments: requested by the registry, claimed in the ledger, and checked."""

from typing import Any

from pydantic import BaseModel, Field

from headrace.aws.bus import Bus
from headrace.aws.endpoints import find_endpoint
from headrace.aws.ledger import Ledger
from headrace.aws.projects import find_model
from headrace.aws.registry import describe_package, find_package
from headrace.events import DeploymentRefused
from headrace.names import deployment_id, model_of
from headrace.records import (
    DeploymentRecord,
    ModelRecord,
    model_partition,
    now,
)
from headrace.registry import Package
from headrace.settings import Settings


class StartDeploymentSettings(Settings):
    """For the functions that start deployments."""

    state_machine_arn: str = Field(
        alias="DEPLOYMENT_STATE_MACHINE_ARN", description="Started for every approval."
    )


class ReconcileDeploymentsSettings(StartDeploymentSettings):
    """For the reconciler of deployments, which asks recovery again as well."""

    recovery_machine_arn: str = Field(
        alias="RECOVERY_STATE_MACHINE_ARN", description="Started for what still rings."
    )


class DeploymentRequest(BaseModel):
    """The input of the deployment state machine: a package, and why it shall serve."""

    model: str
    deployment: str
    endpoint: str
    package_arn: str
    package_version: int
    cause: str


def request_deployment(
    package_arn: str, settings: Settings, ledger: Ledger, sagemaker: Any
) -> DeploymentRequest | DeploymentRecord | None:
    """Return the deployment that a package's state calls for; None: it calls for none.

    An approved package shall serve. If a rejected one serves, the last good version shall; when
    there is none, the record of a refused deployment says so (`tell_refusal` announces it).

    The registry is asked again: the event may be old, doubled or wrong. Two events of one approval
    show the same LastModifiedTime, so they name the same deployment; approving again changes it.
    (So does editing the package's metadata: that deployment finds its package live already.)
    """
    package = describe_package(sagemaker, package_arn)
    name = model_of(settings.stack, package.group)
    model = find_model(ledger, name) if name else None
    if model is None or model.package_group != package.group:
        return None
    live = find_endpoint(ledger, model.endpoint)
    if package.approval == "Rejected" and live and live.package_arn == package.arn:
        return _request_rollback(model, package, ledger, sagemaker)
    # While automation is paused an approval waits; the reconciler finds it afterwards.
    if package.approval != "Approved" or (live and live.paused):
        return None
    said = package.approval_description or f"approved by {package.changed_by or 'somebody'}"
    return _request(model, package, package.changed_at, said)


def last_good(
    model: str, sagemaker: Any, ledger: Ledger, *, before: str | None = None
) -> Package | None:
    """Return the version that served last, is still approved, and is not the package `before`."""
    lived = [
        d
        for d in ledger.query(DeploymentRecord, model_partition(model), "deployment#")
        if d.status == "live" and d.package_arn != before
    ]
    for deployment in sorted(lived, key=lambda d: d.ended_at or "", reverse=True):
        package = find_package(sagemaker, deployment.package_arn)
        if package and package.approval == "Approved":
            return package
    return None


def queue_deployment(request: DeploymentRequest, execution: str, ledger: Ledger) -> None:
    """Write down that a deployment is wanted, before anything is started; again is harmless."""
    ledger.create(
        DeploymentRecord(
            model=request.model,
            deployment=request.deployment,
            status="queued",
            endpoint=request.endpoint,
            package_arn=request.package_arn,
            package_version=request.package_version,
            execution_arn=execution,
            cause=request.cause,
            started_at=now(),
        )
    )


def tell_refusal(record: DeploymentRecord, ledger: Ledger, bus: Bus) -> bool:
    """Tell of a deployment that cannot begin, and write it down; return whether it was news.

    In this order: a fault between the two tells people twice, instead of never.
    """
    if ledger.get(DeploymentRecord, record.key()):
        return False
    bus.announce(
        DeploymentRefused(
            model=record.model,
            deployment=record.deployment,
            package_arn=record.package_arn,
            reasons=record.reasons,
        )
    )
    ledger.create(record)
    return True


def _request_rollback(
    model: ModelRecord, rejected: Package, ledger: Ledger, sagemaker: Any
) -> DeploymentRequest | DeploymentRecord:
    said = rejected.approval_description or f"rejected by {rejected.changed_by or 'somebody'}"
    good = last_good(model.model, sagemaker, ledger, before=rejected.arn)
    if good is None:
        return DeploymentRecord(
            model=model.model,
            deployment=deployment_id(model.model, rejected.version, rejected.changed_at),
            status="refused",
            endpoint=model.endpoint,
            package_arn=rejected.arn,
            package_version=rejected.version,
            execution_arn="",
            cause=f"version {rejected.version} was rejected: {said}",
            started_at=now(),
            ended_at=now(),
            reasons=[
                f"version {rejected.version} serves and was rejected ({said}), but no other "
                "version served before and is approved: approve one, or delete the endpoint "
                f"{model.endpoint}"
            ],
        )
    return _request(
        model, good, rejected.changed_at, f"version {rejected.version} was rejected: {said}"
    )


def _request(model: ModelRecord, package: Package, since: str, cause: str) -> DeploymentRequest:
    return DeploymentRequest(
        model=model.model,
        deployment=deployment_id(model.model, package.version, since),
        endpoint=model.endpoint,
        package_arn=package.arn,
        package_version=package.version,
        cause=cause,
    )
