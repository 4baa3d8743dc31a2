"""Endpoints: moved to a configuration, waited for, verified, and given back when that fails."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from headrace.aws.clients import client
from headrace.aws.ledger import Ledger
from headrace.aws.storage import Location, Storage
from headrace.deployment.alarms import Alarms, guards, link
from headrace.deployment.predictions import compare_predictions
from headrace.deployment.steps import EndpointState, Step, next_step
from headrace.errors import DeploymentError, EndpointBusyError, LockLostError
from headrace.events import DeploymentRefused, DeploymentRolledBack, ModelDeployed
from headrace.records import DeploymentRecord, EndpointRecord, Key, model_partition, now
from headrace.requests import Request, build_endpoint, build_endpoint_update, build_rejection
from headrace.settings import Settings
from headrace.training.folder import RunFolder

# What SageMaker says, as ValidationException, to whoever came second.
_TAKEN = ("in-progress endpoint", "already existing endpoint")
# DeployEndpoint is tried again every five minutes at the latest, and renews the lock each time.
_LEASE = timedelta(minutes=15)


class EndpointRequest(BaseModel):
    """What an endpoint shall serve, from CheckPackage to VerifyEndpoint.

    `execution` and `fence` are the lock; `strategy` is SageMaker's DeploymentConfig and `told`
    what it means. A request that restores what served before says in `restores` why.
    """

    model: str
    deployment: str
    execution: str
    fence: int
    endpoint: str
    endpoint_config: str
    package_arn: str
    package_version: int
    run: str
    strategy: dict[str, Any] | None = None
    told: str = ""
    goes_back: bool = False
    alarms: Alarms = Alarms()
    restores: list[str] = []


class DeployRequest(BaseModel):
    """What DeployEndpoint is asked, with the token of the task that waits."""

    target: EndpointRequest
    task_token: str


class VerifyRequest(BaseModel):
    """What VerifyEndpoint is asked."""

    target: EndpointRequest


class VerifyVerdict(BaseModel):
    """VerifyEndpoint's answer: the fact to announce, or what to restore first.

    `rejection` is the registry's request that takes the version back.
    """

    outcome: Literal["live", "rolled back", "broken"]
    deployed: ModelDeployed | None = None
    rolled_back: DeploymentRolledBack | None = None
    rejection: Request | None = None
    restore: EndpointRequest | None = None


class Deployer(NamedTuple):
    """What a deployment needs of AWS."""

    settings: Settings
    ledger: Ledger
    storage: Storage
    sagemaker: Any

    @classmethod
    def of(cls, settings: Settings) -> "Deployer":
        """Return what the process's own clients reach."""
        return cls(
            settings,
            Ledger.of(settings.ledger_table),
            Storage.of(settings.kms_key_arn),
            client("sagemaker"),
        )


def deploy_endpoint(request: DeployRequest, aws: Deployer) -> Literal["settled"] | None:
    """Move the endpoint, or find it moved; None means that somebody will resume the task.

    Safe to repeat: a retry finds what the attempt before did, and leaves its own token.

    Raises:
        EndpointBusyError: something else is going on at the endpoint; try again later.
        LockLostError: the lock ran out and is somebody else's.
    """
    target = request.target
    record = find_endpoint(aws.ledger, target.endpoint)
    if record is None or (record.lock_owner, record.fence) != (target.execution, target.fence):
        raise _lost(target)
    since = record.waiting_since if record.waiting_config == target.endpoint_config else None
    state = describe_endpoint(aws.sagemaker, target.endpoint)
    step = next_step(state, target.endpoint_config, since)
    if step == "busy":
        raise EndpointBusyError(f"Endpoint {target.endpoint} is {state and state.status}")
    if since is None:
        since = state.changed_at if state else ""
    # The token first: the event may come before the call below returns.
    _wait(record, request, since, aws.ledger)
    if step == "finished":
        return "settled"
    _move(step, target, aws)
    return None


def resume_deployment(
    endpoint: str, ledger: Ledger, sagemaker: Any, stepfunctions: Any
) -> str | None:
    """Wake the deployment that waits for an endpoint, if it has settled; return which one.

    The endpoint is asked, not the event: events come late, doubled, or for an earlier change.
    """
    record = find_endpoint(ledger, endpoint)
    if record is None or record.task_token is None or record.waiting_config is None:
        return None
    state = describe_endpoint(sagemaker, endpoint)
    if state is None or next_step(state, record.waiting_config, record.waiting_since) != "finished":
        return None
    succeed(stepfunctions, record.task_token, "settled")
    ledger.update(record.key(), {"task_token": None}, {"task_token": record.task_token})
    return record.lock_deployment


def succeed(stepfunctions: Any, token: str, outcome: str) -> None:
    """Resume a waiting task; one that no longer waits was resumed before, or has timed out."""
    gone = (
        stepfunctions.exceptions.TaskTimedOut,
        stepfunctions.exceptions.TaskDoesNotExist,
        stepfunctions.exceptions.InvalidToken,
    )
    try:
        stepfunctions.send_task_success(taskToken=token, output=json.dumps({"outcome": outcome}))
    except gone:
        return


def verify_endpoint(request: VerifyRequest, aws: Deployer, runtime: Any) -> VerifyVerdict:
    """Prove that the endpoint serves what was asked, and write down what it serves.

    SageMaker ends a failed update in service, on the old configuration, so being in service proves
    nothing. A version that answers otherwise than the job's own model is not left serving.

    Raises:
        DeploymentError: the endpoint serves neither what was asked nor what it served before, or
            there is nothing to go back to.
    """
    target = request.target
    record = aws.ledger.get(
        DeploymentRecord,
        Key(pk=model_partition(target.model), sk=f"deployment#{target.deployment}"),
    )
    if record is None:
        raise DeploymentError(f"The ledger has no deployment {target.deployment}.")
    state = describe_endpoint(aws.sagemaker, target.endpoint)
    live = find_endpoint(aws.ledger, target.endpoint)
    if state is None or not state.serves(target.endpoint_config):
        returned = state and live and live.endpoint_config and state.serves(live.endpoint_config)
        if not returned or target.goes_back or target.restores:
            raise DeploymentError(_explain(target, state))
        reason = state and state.failure_reason
        return _roll_back(record, target, live, [reason or "SageMaker gave no reason"], aws)
    if target.restores:
        return _roll_back(record, target, live, target.restores, aws)
    wrong = _smoke(target, aws, runtime)
    if wrong:
        return VerifyVerdict(outcome="broken", restore=_restoration(target, live, wrong))
    _record_live(record, target, aws.ledger)
    deployed = ModelDeployed(
        model=target.model,
        deployment=target.deployment,
        endpoint=target.endpoint,
        package_arn=target.package_arn,
        package_version=target.package_version,
    )
    return VerifyVerdict(outcome="live", deployed=deployed)


def describe_endpoint(sagemaker: Any, endpoint: str) -> EndpointState | None:
    """Return an endpoint's state, or None when there is no such endpoint."""
    try:
        return EndpointState.of(sagemaker.describe_endpoint(EndpointName=endpoint))
    except sagemaker.exceptions.ClientError as error:
        # "Not found" is a ValidationException, told apart by its text alone.
        if "Could not find" in error.response["Error"]["Message"]:
            return None
        raise


def find_endpoint(ledger: Ledger, endpoint: str) -> EndpointRecord | None:
    """Return what the ledger knows of an endpoint."""
    return ledger.get(EndpointRecord, Key(pk="endpoints", sk=endpoint))


def refuse_deployment(
    record: DeploymentRecord, reasons: list[str], ledger: Ledger
) -> DeploymentRefused:
    """Write down why a deployment is refused; return the fact to announce."""
    changes = {"status": "refused", "reasons": reasons, "ended_at": now()}
    ledger.update(record.key(), changes, {"execution_arn": record.execution_arn})
    return DeploymentRefused(
        model=record.model,
        deployment=record.deployment,
        package_arn=record.package_arn,
        reasons=reasons,
    )


def _wait(record: EndpointRecord, request: DeployRequest, since: str, ledger: Ledger) -> None:
    """Leave the token for the endpoint's next event, and renew the lock for as long as it takes."""
    target = request.target
    waiting = {
        "waiting_config": target.endpoint_config,
        "waiting_since": since,
        "task_token": request.task_token,
        "lock_until": (datetime.now(UTC) + _LEASE).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    }
    expect = {"lock_owner": target.execution, "fence": target.fence}
    if not ledger.update(record.key(), waiting, expect):
        raise _lost(target)


def _lost(target: EndpointRequest) -> LockLostError:
    return LockLostError(
        f"Deployment {target.deployment} has lost the lock on endpoint {target.endpoint}: its "
        "lease ran out, and another deployment may be under way."
    )


def _move(step: Step, target: EndpointRequest, aws: Deployer) -> None:
    tags = {"stack": aws.settings.stack, "model": target.model}
    endpoint, config = target.endpoint, target.endpoint_config
    try:
        if step == "create":
            aws.sagemaker.create_endpoint(
                **build_endpoint(endpoint=endpoint, endpoint_config=config, tags=tags)
            )
        elif step == "update":
            aws.sagemaker.update_endpoint(
                **build_endpoint_update(
                    endpoint=endpoint, endpoint_config=config, strategy=target.strategy
                )
            )
        elif step == "delete":
            aws.sagemaker.delete_endpoint(EndpointName=target.endpoint)
    except aws.sagemaker.exceptions.ClientError as error:
        if any(text in error.response["Error"]["Message"] for text in _TAKEN):
            raise EndpointBusyError(f"Endpoint {target.endpoint}: {error}") from error
        raise
    if step == "delete":
        raise EndpointBusyError(f"Endpoint {target.endpoint} had failed and is being deleted")


def _explain(target: EndpointRequest, state: EndpointState | None) -> str:
    if state is None:
        return f"Endpoint {target.endpoint} does not exist any more."
    reason = f": {state.failure_reason}" if state.failure_reason else ""
    return (
        f"Endpoint {target.endpoint} is {state.status} on {state.config}, not in service on "
        f"{target.endpoint_config}{reason}"
    )


def _restoration(
    target: EndpointRequest, live: EndpointRecord | None, wrong: str
) -> EndpointRequest:
    """Return the request that brings back what served. Raises DeploymentError: nothing did."""
    if live is None or live.endpoint_config is None or target.goes_back:
        raise DeploymentError(wrong)
    return target.model_copy(
        update={
            "endpoint_config": live.endpoint_config,
            "strategy": None,
            "told": "all traffic moves back at once",
            "restores": [wrong],
        }
    )


def _roll_back(
    record: DeploymentRecord,
    target: EndpointRequest,
    live: EndpointRecord | None,
    reasons: list[str],
    aws: Deployer,
) -> VerifyVerdict:
    """Write down that a version was taken back, and ask for its rejection."""
    restored = live.package_version if live else None
    graphs = [link(aws.settings.region, name) for name in guards(target.alarms, target.endpoint)]
    changes = {"status": "rolled back", "reasons": reasons, "ended_at": now()}
    aws.ledger.update(record.key(), changes, {"status": "deploying"})
    rolled_back = DeploymentRolledBack(
        model=target.model,
        deployment=target.deployment,
        endpoint=target.endpoint,
        package_arn=target.package_arn,
        package_version=target.package_version,
        restored_version=restored,
        reasons=reasons,
        graphs=graphs,
    )
    told = f"Rolled back to version {restored} by deployment {target.deployment}: {reasons[0]}"
    return VerifyVerdict(
        outcome="rolled back",
        rolled_back=rolled_back,
        rejection=build_rejection(target.package_arn, told),
    )


def _smoke(target: EndpointRequest, aws: Deployer, runtime: Any) -> str | None:
    """Send the rows the job kept, and say how the answers differ from those it made for them."""
    folder = RunFolder(aws.settings.artifacts_bucket, target.model, target.run)
    smoke = aws.storage.get_json(Location.of(folder.smoke))
    try:
        reply = runtime.invoke_endpoint(
            EndpointName=target.endpoint,
            ContentType="application/json",
            Accept="application/json",
            # So that whoever reads captured traffic can tell these requests apart.
            InferenceId=f"headrace-smoke-{target.deployment}"[:64],
            Body=json.dumps({"instances": smoke["instances"]}).encode(),
        )
    except runtime.exceptions.ModelError as error:
        return f"Endpoint {target.endpoint} failed its smoke test: {error}"
    answered = json.loads(reply["Body"].read())
    differences = compare_predictions(
        smoke["predictions"], answered["predictions"], smoke["tolerance"]
    )
    if not differences:
        return None
    return (
        f"Endpoint {target.endpoint} answers otherwise than the model that was judged: "
        + "; ".join(differences[:3])
    )


def _record_live(record: DeploymentRecord, target: EndpointRequest, ledger: Ledger) -> None:
    """Write what serves, unless the lock is lost; a retry after a lost reply finds it written."""
    key = Key(pk="endpoints", sk=target.endpoint)
    live = {
        "package_arn": target.package_arn,
        "package_version": target.package_version,
        "endpoint_config": target.endpoint_config,
        "run": target.run,
        "live_since": now(),
        "waiting_config": None,
        "waiting_since": None,
        "task_token": None,
    }
    if not ledger.update(key, live, {"lock_owner": target.execution, "fence": target.fence}):
        raise _lost(target)
    ledger.update(record.key(), {"status": "live", "ended_at": now()}, {"status": "deploying"})
