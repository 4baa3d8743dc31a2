"""Endpoints: moved to a configuration, and waited for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from headrace.aws.clients import client
from headrace.aws.ledger import Ledger
from headrace.aws.storage import Storage
from headrace.deployment.alarms import Alarms
from headrace.deployment.comparison import Kind
from headrace.deployment.steps import EndpointState, Step, next_step
from headrace.errors import DeploymentError, EndpointBusyError, LockLostError
from headrace.events import DeploymentRefused
from headrace.records import DeploymentRecord, EndpointRecord, Key, model_partition, now
from headrace.requests import build_endpoint, build_endpoint_update
from headrace.settings import Settings

# What SageMaker says, as ValidationException, to whoever came second.
_TAKEN = ("in-progress endpoint", "already existing endpoint")
# DeployEndpoint is tried again every five minutes at the latest, and renews the lock each time.
_LEASE = timedelta(minutes=15)


class EndpointRequest(BaseModel):
    """What an endpoint shall serve, from CheckPackage to VerifyEndpoint.

    `execution` and `fence` are the lock; `strategy` is SageMaker's DeploymentConfig and `told`
    what it means. An `urgent` one replaces what must not serve: it goes at once and unguarded; if
    it `served_before`, not even a missing alarm keeps it, and it `keeps_alarms` of the endpoint as
    they are if its own are not known any more.
    With `compares` the version is put beside what serves, to be looked at after
    `wait` seconds; `is_compared` says that the endpoint still compares it. A request that restores
    what served before says in `restores` why, and in `restores_as` how the deployment ends.
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
    urgent: bool = False
    served_before: bool = False
    alarms: Alarms = Alarms()
    keeps_alarms: bool = False
    compares: Kind | None = None
    wait: int = 0
    is_compared: bool = False
    restores: list[str] = []
    restores_as: Literal["rolled back", "refused"] = "rolled back"
    rejects: bool = True

    def restoring(
        self,
        config: str,
        reasons: list[str],
        ends_as: Literal["rolled back", "refused"] = "rolled back",
        *,
        rejects: bool = True,
    ) -> "EndpointRequest":
        """Return the request that brings back what served before, and why."""
        return self.model_copy(
            update={
                "endpoint_config": config,
                "strategy": None,
                "told": "all traffic moves back at once",
                "compares": None,
                "restores": reasons,
                "restores_as": ends_as,
                "rejects": rejects,
            }
        )


class DeployRequest(BaseModel):
    """What DeployEndpoint is asked, with the token of the task that waits."""

    target: EndpointRequest
    task_token: str


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
    record = find_locked(target, aws.ledger)
    since = record.waiting_since if record.waiting_config == target.endpoint_config else None
    state = describe_endpoint(aws.sagemaker, target.endpoint)
    asked = since is not None and record.waiting_asked
    step = next_step(state, target.endpoint_config, since, asked=asked)
    if step == "busy":
        update_locked(target, {"lock_until": _lease()}, aws.ledger)
        raise EndpointBusyError(f"Endpoint {target.endpoint} is {state and state.status}")
    if since is None or not (asked or step == "wait"):
        since = state.changed_at if state else ""
    # The token first: the event may come before the call below returns.
    waiting = {
        "waiting_config": target.endpoint_config,
        "waiting_since": since,
        "waiting_asked": asked or step == "wait",
        "task_token": request.task_token,
        "lock_until": _lease(),
    }
    update_locked(target, waiting, aws.ledger)
    if step == "finished":
        return "settled"
    if step != "wait":
        if not target.compares and not target.restores:
            # From here on either version may answer under the champion's name.
            moving = {"moving_since": now()}
            aws.ledger.update(
                _deployment_key(target.model, target.deployment), moving, {"moving_since": None}
            )
        _move(step, target, aws)
        update_locked(target, {"waiting_asked": True}, aws.ledger)
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
    step = next_step(state, record.waiting_config, record.waiting_since, asked=record.waiting_asked)
    if state is None or step != "finished":
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


def find_deployment(ledger: Ledger, model: str, deployment: str) -> DeploymentRecord | None:
    """Return what the ledger knows of a deployment."""
    return ledger.get(DeploymentRecord, _deployment_key(model, deployment))


def _deployment_key(model: str, deployment: str) -> Key:
    return Key(pk=model_partition(model), sk=f"deployment#{deployment}")


def load_deployment(ledger: Ledger, target: EndpointRequest) -> DeploymentRecord:
    """Return the deployment that a request belongs to. Raises DeploymentError: there is none."""
    record = find_deployment(ledger, target.model, target.deployment)
    if record is None:
        raise DeploymentError(f"The ledger has no deployment {target.deployment}.")
    return record


def find_locked(target: EndpointRequest, ledger: Ledger) -> EndpointRecord:
    """Return the endpoint that a deployment has locked. Raises LockLostError."""
    record = find_endpoint(ledger, target.endpoint)
    if record is None or (record.lock_owner, record.fence) != (target.execution, target.fence):
        raise _lost(target)
    return record


def update_locked(target: EndpointRequest, changes: dict[str, Any], ledger: Ledger) -> None:
    """Change the endpoint that a deployment has locked. Raises LockLostError."""
    key = Key(pk="endpoints", sk=target.endpoint)
    if not ledger.update(key, changes, {"lock_owner": target.execution, "fence": target.fence}):
        raise _lost(target)


def refuse_deployment(
    record: DeploymentRecord, reasons: list[str], ledger: Ledger
) -> DeploymentRefused:
    """Write down why a deployment is refused; return the fact to announce."""
    changes = {"status": "refused", "reasons": reasons, "ended_at": now()}
    expect = {"execution_arn": record.execution_arn, "status": record.status}
    ledger.update(record.key(), changes, expect)
    return DeploymentRefused(
        model=record.model,
        deployment=record.deployment,
        package_arn=record.package_arn,
        reasons=reasons,
    )


def _lease() -> str:
    """Return until when a lock holds that is renewed now."""
    return (datetime.now(UTC) + _LEASE).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _lost(target: EndpointRequest) -> LockLostError:
    """Return the fault of a deployment whose lock ran out."""
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
                    endpoint=endpoint,
                    endpoint_config=config,
                    strategy=target.strategy,
                    keep_instances=_is_scaled(endpoint, aws.sagemaker),
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


def _is_scaled(endpoint: str, sagemaker: Any) -> bool:
    """Tell whether autoscaling, or a person, gave the endpoint other instances than its config."""
    described = sagemaker.describe_endpoint(EndpointName=endpoint)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    wanted = {
        each["VariantName"]: each.get("InitialInstanceCount")
        for each in config["ProductionVariants"]
    }
    return any(
        each.get("DesiredInstanceCount") != wanted.get(each["VariantName"])
        for each in described.get("ProductionVariants", [])
    )
