"""Deployments: requested by an approval, claimed in the ledger, and checked."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from headrace.aws.endpoints import (
    Deployer,
    EndpointRequest,
    describe_endpoint,
    find_endpoint,
    refuse_deployment,
)
from headrace.aws.ledger import Ledger
from headrace.aws.projects import find_model
from headrace.aws.registry import describe_package, find_run
from headrace.aws.storage import Location, Storage
from headrace.definition import ModelDefinition
from headrace.deployment import refusals
from headrace.events import DeploymentRefused
from headrace.names import deployment_id, endpoint_name, model_of
from headrace.records import DeploymentRecord, RunRecord, now
from headrace.registry import Package
from headrace.requests import Request, build_endpoint_config, build_model
from headrace.settings import Settings
from headrace.training.folder import RunFolder


class StartDeploymentSettings(Settings):
    """For the function that starts deployments."""

    state_machine_arn: str = Field(
        alias="DEPLOYMENT_STATE_MACHINE_ARN", description="Started for every approval."
    )


class DeploymentRequest(BaseModel):
    """The input of the deployment state machine: an approval of one package."""

    model: str
    deployment: str
    package_arn: str


class CheckRequest(DeploymentRequest):
    """What CheckPackage is asked, with the execution that asks."""

    execution: str


class CheckVerdict(BaseModel):
    """CheckPackage's answer: what to create, or why nothing is."""

    outcome: Literal["deployable", "already live", "refused", "duplicate"]
    model: Request | None = None
    endpoint_config: Request | None = None
    target: EndpointRequest | None = None
    refusal: DeploymentRefused | None = None


def request_deployment(
    package_arn: str, settings: Settings, ledger: Ledger, sagemaker: Any
) -> DeploymentRequest | None:
    """Return the deployment an approval causes; None: the package is not approved, or not ours.

    The registry is asked again: the event may be old, doubled or wrong. Two events of one approval
    show the same LastModifiedTime, so they name the same deployment; approving again changes it.
    (So does editing the package's metadata: that deployment finds its package live already.)
    """
    package = describe_package(sagemaker, package_arn)
    model = model_of(settings.stack, package.group)
    record = find_model(ledger, model) if model else None
    if record is None or record.package_group != package.group or package.approval != "Approved":
        return None
    return DeploymentRequest(
        model=record.model,
        deployment=deployment_id(record.model, package.version, package.changed_at),
        package_arn=package.arn,
    )


def check_package(request: CheckRequest, aws: Deployer) -> CheckVerdict:
    """Claim a deployment for this execution, and say what it needs or why it may not be."""
    package = describe_package(aws.sagemaker, request.package_arn)
    run = find_run(aws.ledger, request.model, package.metadata.get("run", ""))
    endpoint = endpoint_name(aws.settings.stack, request.model)
    live = find_endpoint(aws.ledger, endpoint)
    record = _claim(request, package, endpoint, aws.ledger)
    if record is None:
        return CheckVerdict(outcome="duplicate")
    reasons = refusals(package, find_model(aws.ledger, request.model), run, live)
    if not reasons and run:
        reasons = _tampering(package, run, aws.storage)
    if reasons or run is None:
        return CheckVerdict(
            outcome="refused", refusal=refuse_deployment(record, reasons, aws.ledger)
        )
    verdict = _prepare(record, package, run, aws)
    config = verdict.target.endpoint_config if verdict.target else ""
    state = describe_endpoint(aws.sagemaker, endpoint)
    aws.ledger.update(record.key(), {"endpoint_config": config, "run": run.run})
    if live and live.endpoint_config == config and state and state.serves(config):
        changes = {"status": "live", "reasons": ["it served already"], "ended_at": now()}
        aws.ledger.update(record.key(), changes)
        return CheckVerdict(outcome="already live")
    return verdict


def _claim(
    request: CheckRequest, package: Package, endpoint: str, ledger: Ledger
) -> DeploymentRecord | None:
    record = DeploymentRecord(
        model=request.model,
        deployment=request.deployment,
        status="deploying",
        endpoint=endpoint,
        package_arn=package.arn,
        package_version=package.version,
        execution_arn=request.execution,
        approved_by=package.changed_by,
        approval_description=package.approval_description,
        started_at=now(),
    )
    existing = ledger.create(record)
    if existing is None:
        return record
    return existing if existing.execution_arn == request.execution else None


def _tampering(package: Package, run: RunRecord, storage: Storage) -> list[str]:
    actual = storage.sha256(Location.of(package.artifact_uri))
    if actual == run.artifact_sha256:
        return []
    return [
        f"{package.artifact_uri} was changed after it was registered: its sha256 is {actual}, "
        f"but {run.artifact_sha256} was judged"
    ]


def _prepare(
    record: DeploymentRecord, package: Package, run: RunRecord, aws: Deployer
) -> CheckVerdict:
    """Build what is to be created, as the project said when the run was planned."""
    folder = RunFolder(aws.settings.artifacts_bucket, record.model, run.run)
    definition = ModelDefinition.model_validate(
        aws.storage.get_json(Location.of(folder.definition))
    )
    tags = {"stack": aws.settings.stack, "model": record.model, "run": run.run}
    model = build_model(
        aws.settings,
        model=record.model,
        version=package.version,
        package_arn=package.arn,
        tags=tags,
    )
    config = build_endpoint_config(
        aws.settings,
        definition.deployment,
        model=record.model,
        version=package.version,
        model_name=model["ModelName"],
        tags=tags,
    )
    target = EndpointRequest(
        model=record.model,
        deployment=record.deployment,
        endpoint=record.endpoint,
        endpoint_config=config["EndpointConfigName"],
        package_arn=package.arn,
        package_version=package.version,
        run=run.run,
    )
    return CheckVerdict(outcome="deployable", model=model, endpoint_config=config, target=target)
