"""Endpoints: moved to a configuration, waited for, and verified."""

import json
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from headrace.aws.clients import client
from headrace.aws.ledger import Ledger
from headrace.aws.storage import Location, Storage
from headrace.deployment import EndpointState, Step, compare_predictions, next_step
from headrace.errors import DeploymentError, EndpointBusyError
from headrace.events import DeploymentRefused, ModelDeployed
from headrace.records import DeploymentRecord, EndpointRecord, Key, model_partition, now
from headrace.requests import build_endpoint, build_endpoint_update
from headrace.settings import Settings
from headrace.training.folder import RunFolder

_TERMINAL = frozenset({"live", "refused", "failed"})
# What SageMaker says, as ValidationException, to whoever came second.
_TAKEN = ("in-progress endpoint", "already existing endpoint")


class EndpointRequest(BaseModel):
    """What an endpoint shall serve, from CheckPackage to VerifyEndpoint."""

    model: str
    deployment: str
    endpoint: str
    endpoint_config: str
    package_arn: str
    package_version: int
    run: str


class DeployRequest(BaseModel):
    """What DeployEndpoint is asked, with the token of the task that waits."""

    target: EndpointRequest
    task_token: str


class VerifyRequest(BaseModel):
    """What VerifyEndpoint is asked; `outcome` is what the callback brought."""

    target: EndpointRequest
    outcome: Literal["settled", "superseded"]


class VerifyVerdict(BaseModel):
    """VerifyEndpoint's answer: the fact to announce."""

    outcome: Literal["live", "refused"]
    deployed: ModelDeployed | None = None
    refusal: DeploymentRefused | None = None


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


def deploy_endpoint(
    request: DeployRequest, aws: Deployer
) -> Literal["settled", "superseded"] | None:
    """Move the endpoint, or find it moved; None means that somebody will resume the task.

    Safe to repeat: a retry finds what the attempt before did, and leaves its own token.

    Raises:
        EndpointBusyError: something else is going on at the endpoint; try again later.
    """
    target = request.target
    record = find_endpoint(aws.ledger, target.endpoint)
    if record and (record.package_version or 0) > target.package_version:
        return "superseded"
    since = None
    if record and record.waiting_deployment == target.deployment:
        since = record.waiting_since
    elif record and _is_waiting(record, aws.ledger):
        raise EndpointBusyError(f"Endpoint {target.endpoint} waits for {record.waiting_deployment}")
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
    return record.waiting_deployment


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
    """Prove that the endpoint serves what was asked, and write it down.

    Raises:
        DeploymentError: it does not serve the requested configuration (a silent rollback ends in
            service too), or it answers otherwise than the job's own model did.
    """
    target = request.target
    record = aws.ledger.get(
        DeploymentRecord,
        Key(pk=model_partition(target.model), sk=f"deployment#{target.deployment}"),
    )
    if record is None:
        raise DeploymentError(f"The ledger has no deployment {target.deployment}.")
    if request.outcome == "superseded":
        refusal = refuse_deployment(record, ["a newer version was deployed meanwhile"], aws.ledger)
        return VerifyVerdict(outcome="refused", refusal=refusal)
    state = describe_endpoint(aws.sagemaker, target.endpoint)
    if state is None or not state.serves(target.endpoint_config):
        raise DeploymentError(_explain(target, state))
    _smoke(target, aws, runtime)
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


def _is_waiting(record: EndpointRecord, ledger: Ledger) -> bool:
    """Tell whether the deployment an endpoint waits for is still under way."""
    if record.waiting_deployment is None:
        return False
    key = Key(pk=model_partition(record.model), sk=f"deployment#{record.waiting_deployment}")
    deployment = ledger.get(DeploymentRecord, key)
    return deployment is not None and deployment.status not in _TERMINAL


def _wait(
    record: EndpointRecord | None, request: DeployRequest, since: str, ledger: Ledger
) -> None:
    """Make this deployment the one the endpoint waits for; at most one ever is."""
    target = request.target
    waiting = {
        "waiting_deployment": target.deployment,
        "waiting_config": target.endpoint_config,
        "waiting_since": since,
        "task_token": request.task_token,
    }
    if record is None:
        new = EndpointRecord.model_validate(
            {"model": target.model, "endpoint": target.endpoint, **waiting}
        )
        won = ledger.create(new) is None
    else:
        expect = {"waiting_deployment": record.waiting_deployment}
        won = ledger.update(record.key(), waiting, expect)
    if not won:
        raise EndpointBusyError(f"Another deployment took endpoint {target.endpoint} just now")


def _move(step: Step, target: EndpointRequest, aws: Deployer) -> None:
    tags = {"stack": aws.settings.stack, "model": target.model}
    endpoint, config = target.endpoint, target.endpoint_config
    try:
        if step == "create":
            aws.sagemaker.create_endpoint(
                **build_endpoint(endpoint=endpoint, endpoint_config=config, tags=tags)
            )
        elif step == "update":
            # The place of canaries and alarms: `strategy`.
            aws.sagemaker.update_endpoint(
                **build_endpoint_update(endpoint=endpoint, endpoint_config=config)
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


def _smoke(target: EndpointRequest, aws: Deployer, runtime: Any) -> None:
    """Send the rows the job kept, and expect the predictions it made for them."""
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
        raise DeploymentError(
            f"Endpoint {target.endpoint} failed its smoke test: {error}"
        ) from error
    answered = json.loads(reply["Body"].read())
    differences = compare_predictions(
        smoke["predictions"], answered["predictions"], smoke["tolerance"]
    )
    if differences:
        raise DeploymentError(
            f"Endpoint {target.endpoint} answers otherwise than the model that was judged: "
            + "; ".join(differences[:3])
        )


def _record_live(record: DeploymentRecord, target: EndpointRequest, ledger: Ledger) -> None:
    """Write what serves; a retry after a lost reply finds it written."""
    key = Key(pk="endpoints", sk=target.endpoint)
    live = {
        "package_arn": target.package_arn,
        "package_version": target.package_version,
        "endpoint_config": target.endpoint_config,
        "live_since": now(),
        "waiting_deployment": None,
        "waiting_config": None,
        "waiting_since": None,
        "task_token": None,
    }
    if not ledger.update(key, live, {"waiting_deployment": target.deployment}):
        found = find_endpoint(ledger, target.endpoint)
        if found is None or found.endpoint_config != target.endpoint_config:
            raise DeploymentError(f"Another deployment took endpoint {target.endpoint} meanwhile.")
    ledger.update(record.key(), {"status": "live", "ended_at": now()}, {"status": "deploying"})
