"""Deployments: requested by the registry, claimed in the ledger, and checked."""

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
from headrace.deployment.alarms import guards
from headrace.deployment.checks import goes_back, refusals, supersedes
from headrace.deployment.strategy import deployment_config, explain, plan_shift
from headrace.events import DeploymentRefused
from headrace.names import deployment_id, model_of
from headrace.records import (
    DeploymentRecord,
    EndpointRecord,
    Key,
    ModelRecord,
    RunRecord,
    model_partition,
    now,
)
from headrace.registry import ROLLBACK_FROM, Package
from headrace.requests import Request, build_endpoint_config, build_model
from headrace.settings import Settings
from headrace.training.folder import RunFolder


class StartDeploymentSettings(Settings):
    """For the functions that start deployments."""

    state_machine_arn: str = Field(
        alias="DEPLOYMENT_STATE_MACHINE_ARN", description="Started for every approval."
    )


class DeploymentRequest(BaseModel):
    """The input of the deployment state machine: a package, and why it shall serve."""

    model: str
    deployment: str
    endpoint: str
    package_arn: str
    package_version: int
    cause: str


class CheckRequest(DeploymentRequest):
    """What CheckPackage is asked, with the execution that asks and its lock's number."""

    execution: str
    fence: int


class CheckVerdict(BaseModel):
    """CheckPackage's answer: what to create, or why nothing is."""

    outcome: Literal["deployable", "already live", "refused", "duplicate"]
    model: Request | None = None
    endpoint_config: Request | None = None
    target: EndpointRequest | None = None
    refusal: DeploymentRefused | None = None


def request_deployment(
    package_arn: str, settings: Settings, ledger: Ledger, sagemaker: Any
) -> DeploymentRequest | DeploymentRefused | None:
    """Return the deployment that a package's state calls for; None: it calls for none.

    An approved package shall serve. If a rejected one serves, the last good version shall, and
    there may be none. The registry is asked again: the event may be old, doubled or wrong. Two
    events of one approval show the same LastModifiedTime, so they name the same deployment;
    approving again changes it. (So does editing the package's metadata: that deployment finds its
    package live already.)
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
        package = describe_package(sagemaker, deployment.package_arn)
        if package.approval == "Approved":
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


def check_package(request: CheckRequest, aws: Deployer) -> CheckVerdict:
    """Claim a deployment for this execution, and say what it needs or why it may not be."""
    package = describe_package(aws.sagemaker, request.package_arn)
    run = find_run(aws.ledger, request.model, package.metadata.get("run", ""))
    live = find_endpoint(aws.ledger, request.endpoint)
    record = _claim(request, package, aws.ledger)
    if record is None:
        return CheckVerdict(outcome="duplicate")
    others = aws.ledger.query(DeploymentRecord, model_partition(request.model), "deployment#")
    superseded = supersedes(package, others)
    reasons = [superseded] if superseded else []
    reasons += refusals(
        package,
        find_model(aws.ledger, request.model),
        run,
        live,
        may_go_back=_is_going_back_meant(package, live, aws),
    )
    if not reasons and run:
        reasons = _tampering(package, run, aws.storage)
    if reasons or run is None:
        return CheckVerdict(
            outcome="refused", refusal=refuse_deployment(record, reasons, aws.ledger)
        )
    verdict = _prepare(request, package, run, live, aws)
    target = verdict.target
    config = target.endpoint_config if target else ""
    state = describe_endpoint(aws.sagemaker, request.endpoint)
    changes: dict[str, Any] = {
        "endpoint_config": config,
        "run": run.run,
        "strategy": target.told if target else None,
        "replaces_version": live.package_version if live else None,
    }
    aws.ledger.update(record.key(), changes)
    if live and live.endpoint_config == config and state and state.serves(config):
        changes = {"status": "live", "reasons": ["it served already"], "ended_at": now()}
        aws.ledger.update(record.key(), changes)
        return CheckVerdict(outcome="already live")
    return verdict


def _request_rollback(
    model: ModelRecord, rejected: Package, ledger: Ledger, sagemaker: Any
) -> DeploymentRequest | DeploymentRefused:
    said = rejected.approval_description or f"rejected by {rejected.changed_by or 'somebody'}"
    good = last_good(model.model, sagemaker, ledger, before=rejected.arn)
    if good is None:
        return DeploymentRefused(
            model=model.model,
            deployment=deployment_id(model.model, rejected.version, rejected.changed_at),
            package_arn=rejected.arn,
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


def _claim(request: CheckRequest, package: Package, ledger: Ledger) -> DeploymentRecord | None:
    """Make a queued deployment this execution's; its own retries find it claimed."""
    queue_deployment(request, request.execution, ledger)
    key = Key(pk=model_partition(request.model), sk=f"deployment#{request.deployment}")
    changes: dict[str, Any] = {
        "status": "deploying",
        "fence": request.fence,
        "approved_by": package.changed_by,
        "approval_description": package.approval_description,
    }
    for status in ("queued", "deploying"):
        if ledger.update(key, changes, {"status": status, "execution_arn": request.execution}):
            return ledger.get(DeploymentRecord, key)
    return None


def _is_going_back_meant(package: Package, live: EndpointRecord | None, aws: Deployer) -> bool:
    """Tell whether an older version is wanted: what serves was rejected, or a person said so."""
    if live is None or live.package_arn is None or not goes_back(package, live):
        return False
    if package.metadata.get(ROLLBACK_FROM) == str(live.package_version):
        return True
    return describe_package(aws.sagemaker, live.package_arn).approval == "Rejected"


def _tampering(package: Package, run: RunRecord, storage: Storage) -> list[str]:
    actual = storage.sha256(Location.of(package.artifact_uri))
    if actual == run.artifact_sha256:
        return []
    return [
        f"{package.artifact_uri} was changed after it was registered: its sha256 is {actual}, "
        f"but {run.artifact_sha256} was judged"
    ]


def _prepare(
    request: CheckRequest,
    package: Package,
    run: RunRecord,
    live: EndpointRecord | None,
    aws: Deployer,
) -> CheckVerdict:
    """Build what is to be created, as the project said when the run was planned."""
    folder = RunFolder(aws.settings.artifacts_bucket, request.model, run.run)
    definition = ModelDefinition.model_validate(
        aws.storage.get_json(Location.of(folder.definition))
    )
    wanted = definition.deployment
    tags = {"stack": aws.settings.stack, "model": request.model, "run": run.run}
    model = build_model(
        aws.settings,
        model=request.model,
        version=package.version,
        package_arn=package.arn,
        tags=tags,
    )
    config = build_endpoint_config(
        aws.settings,
        wanted,
        model=request.model,
        version=package.version,
        model_name=model["ModelName"],
        tags=tags,
    )
    back = goes_back(package, live)
    # Going back is urgent, and the alarms that called for it still ring: at once, unguarded.
    shift = plan_shift(wanted.strategy, wanted.instance_count, wanted.kept)
    strategy = deployment_config(
        shift.scaled(aws.settings.minute_seconds), guards(wanted.alarms, request.endpoint)
    )
    target = EndpointRequest(
        model=request.model,
        deployment=request.deployment,
        execution=request.execution,
        fence=request.fence,
        endpoint=request.endpoint,
        endpoint_config=config["EndpointConfigName"],
        package_arn=package.arn,
        package_version=package.version,
        run=run.run,
        strategy=None if back else strategy,
        told="all traffic moves back at once"
        if back
        else explain(wanted.strategy, wanted.instance_count, wanted.kept),
        goes_back=back,
        alarms=wanted.alarms,
    )
    return CheckVerdict(outcome="deployable", model=model, endpoint_config=config, target=target)
