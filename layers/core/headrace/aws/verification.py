"""The last check of a deployment: what serves is what was asked, and answers as it was judged."""

import json
from typing import Any, Literal

from botocore.exceptions import HTTPClientError
from pydantic import BaseModel

from headrace.aws.endpoints import (
    Deployer,
    EndpointRequest,
    describe_endpoint,
    find_locked,
    load_deployment,
    refuse_deployment,
    update_locked,
)
from headrace.aws.ledger import Ledger
from headrace.aws.registry import describe_package
from headrace.aws.storage import Location
from headrace.deployment.alarms import guards, link
from headrace.deployment.experiment import CHALLENGER
from headrace.deployment.predictions import compare_predictions
from headrace.deployment.steps import EndpointState
from headrace.errors import DeploymentError
from headrace.events import DeploymentRefused, DeploymentRolledBack, ModelDeployed
from headrace.records import DeploymentRecord, EndpointRecord, now
from headrace.requests import Request, build_rejection
from headrace.training.folder import RunFolder


class VerifyRequest(BaseModel):
    """What VerifyEndpoint is asked."""

    target: EndpointRequest


class VerifyVerdict(BaseModel):
    """VerifyEndpoint's answer: the fact to announce, or what to restore first.

    `rejection` is the registry's request that takes the version back; `wait` is for how long, in
    seconds, a comparison that began is left alone.
    """

    outcome: Literal["live", "comparing", "rolled back", "refused", "broken"]
    deployed: ModelDeployed | None = None
    rolled_back: DeploymentRolledBack | None = None
    refusal: DeploymentRefused | None = None
    rejection: Request | None = None
    restore: EndpointRequest | None = None
    wait: int | None = None


def verify_endpoint(request: VerifyRequest, aws: Deployer, runtime: Any) -> VerifyVerdict:
    """Prove that the endpoint serves what was asked, and write down what it serves.

    SageMaker ends a failed update in service, on the old configuration, so being in service proves
    nothing. A version that answers otherwise than the job's own model is not left serving.

    Raises:
        DeploymentError: the endpoint serves neither what was asked nor what it served before, or
            there is nothing to go back to.
        LockLostError: the lock ran out and is somebody else's.
    """
    target = request.target
    record = load_deployment(aws.ledger, target)
    live = find_locked(target, aws.ledger)
    state = describe_endpoint(aws.sagemaker, target.endpoint)
    if state is None or not state.serves(target.endpoint_config):
        returned = state and live and live.endpoint_config and state.serves(live.endpoint_config)
        if not returned or target.urgent or target.restores:
            raise DeploymentError(_explain(target, state))
        reason = (state and state.failure_reason) or "SageMaker gave no reason"
        if target.is_compared:  # what served before is the comparison, which has to end too
            return VerifyVerdict(outcome="broken", restore=_restoration(target, live, reason))
        return _roll_back(record, target, live, [reason], aws)
    if target.restores:
        return _end_restoration(record, target, live, aws)
    wrong = _taken_back(target, aws.sagemaker) or _smoke(target, live, aws, runtime)
    if wrong:
        return VerifyVerdict(outcome="broken", restore=_restoration(target, live, wrong))
    if target.compares:
        return _begin_comparison(record, target, live, aws.ledger)
    _record_live(record, target, aws.ledger)
    deployed = ModelDeployed(
        model=target.model,
        deployment=target.deployment,
        endpoint=target.endpoint,
        package_arn=target.package_arn,
        package_version=target.package_version,
    )
    return VerifyVerdict(outcome="live", deployed=deployed)


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
    before = live and (live.alone_config or live.endpoint_config)
    if not before or target.urgent:
        raise DeploymentError(wrong)
    return target.restoring(before, [wrong])


def _end_restoration(
    record: DeploymentRecord, target: EndpointRequest, live: EndpointRecord | None, aws: Deployer
) -> VerifyVerdict:
    """Write down that what served before serves again, and how the deployment ended."""
    _record(target, {"endpoint_config": target.endpoint_config}, aws.ledger)
    if target.restores_as == "rolled back":
        return _roll_back(record, target, live, target.restores, aws)
    told = f"Refused by deployment {target.deployment}: {target.restores[0]}"
    return VerifyVerdict(
        outcome="refused",
        refusal=refuse_deployment(record, target.restores, aws.ledger),
        rejection=build_rejection(target.package_arn, told) if target.rejects else None,
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
    watched = guards(target.alarms, target.endpoint, target.endpoint_config)
    graphs = [link(aws.settings.region, name) for name in watched]
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


def _taken_back(target: EndpointRequest, sagemaker: Any) -> str | None:
    """Say that somebody rejected the version while it was deployed."""
    package = describe_package(sagemaker, target.package_arn)
    if package.approval == "Approved":
        return None
    said = f": {package.approval_description}" if package.approval_description else ""
    return f"version {target.package_version} is {package.approval} meanwhile{said}"


def _smoke(
    target: EndpointRequest, live: EndpointRecord | None, aws: Deployer, runtime: Any
) -> str | None:
    """Send the rows the job kept, and say how the answers differ from those it made for them.

    A shadow answers nobody, so there the champion must answer as it was judged.
    """
    run = live.run if target.compares == "shadow" and live and live.run else target.run
    variant = {"TargetVariant": CHALLENGER} if target.compares == "ab" else {}
    folder = RunFolder(aws.settings.artifacts_bucket, target.model, run)
    smoke = aws.storage.get_json(Location.of(folder.smoke))
    try:
        reply = runtime.invoke_endpoint(
            EndpointName=target.endpoint,
            ContentType="application/json",
            Accept="application/json",
            # So that whoever reads captured traffic can tell these requests apart.
            InferenceId=f"headrace-smoke-{target.deployment}"[:64],
            Body=json.dumps({"instances": smoke["instances"]}).encode(),
            **variant,
        )
        answered = json.loads(reply["Body"].read())["predictions"]
    except runtime.exceptions.ModelError as error:
        return f"Endpoint {target.endpoint} failed its smoke test: {error}"
    except HTTPClientError as error:  # no answer in time, or none at all
        return f"Endpoint {target.endpoint} gave no answer to its smoke test: {error}"
    except (ValueError, KeyError, TypeError) as error:
        return f"Endpoint {target.endpoint} gave no predictions that can be read: {error!r}"
    differences = compare_predictions(smoke["predictions"], answered, smoke["tolerance"])
    if not differences:
        return None
    return (
        f"Endpoint {target.endpoint} answers otherwise than the model that was judged: "
        + "; ".join(differences[:3])
    )


def _begin_comparison(
    record: DeploymentRecord, target: EndpointRequest, live: EndpointRecord | None, ledger: Ledger
) -> VerifyVerdict:
    """Write down that two versions are compared, and since when."""
    alone = live and (live.alone_config or live.endpoint_config)
    _record(
        target,
        {
            "endpoint_config": target.endpoint_config,
            "compares": target.deployment,
            "alone_config": alone,
        },
        ledger,
    )
    since = record.comparing_since if record.comparison == target.compares else None
    begun = {
        "status": "comparing",
        "comparison": target.compares,
        "comparing_since": since or now(),
        "comparing_until": None,
    }
    ledger.update(record.key(), begun, {"status": "deploying"})
    return VerifyVerdict(outcome="comparing", wait=target.wait)


def _record_live(record: DeploymentRecord, target: EndpointRequest, ledger: Ledger) -> None:
    """Write what serves; a retry after a lost reply finds it written."""
    live = {
        "package_arn": target.package_arn,
        "package_version": target.package_version,
        "endpoint_config": target.endpoint_config,
        "run": target.run,
        "live_since": now(),
    }
    _record(target, live, ledger)
    ledger.update(record.key(), {"status": "live", "ended_at": now()}, {"status": "deploying"})


def _record(target: EndpointRequest, serving: dict[str, Any], ledger: Ledger) -> None:
    """Write what the endpoint serves, unless the lock is lost; nobody waits for it any more."""
    changes: dict[str, Any] = {
        "compares": None,
        "alone_config": None,
        "waiting_config": None,
        "waiting_since": None,
        "task_token": None,
        **serving,
    }
    update_locked(target, changes, ledger)
