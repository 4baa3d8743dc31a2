"""The next step of a deployment: claimed in the ledger, checked, and prepared."""

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from headrace.aws.comparing import Comparer, look
from headrace.aws.deployments import DeploymentRequest, queue_deployment
from headrace.aws.endpoints import (
    Deployer,
    EndpointRequest,
    describe_endpoint,
    find_endpoint,
    refuse_deployment,
)
from headrace.aws.ledger import Ledger
from headrace.aws.projects import find_model
from headrace.aws.registry import describe_package, find_package, find_run
from headrace.aws.storage import Location, Storage
from headrace.definition import Deployment, ModelDefinition
from headrace.deployment.alarms import guards
from headrace.deployment.checks import goes_back, refusals, superseding
from headrace.deployment.comparison import Kind, explain_comparisons, first_look, next_kind
from headrace.deployment.experiment import CHAMPION
from headrace.deployment.steps import EndpointState
from headrace.deployment.strategy import deployment_config, explain, plan_shift
from headrace.events import DeploymentRefused
from headrace.names import model_of
from headrace.records import DeploymentRecord, EndpointRecord, Key, RunRecord, model_partition, now
from headrace.registry import ROLLBACK_FROM, UNCOMPARED_WITH, Package, serving
from headrace.requests import (
    Request,
    build_comparison_config,
    build_endpoint_config,
    build_model,
)
from headrace.training.folder import RunFolder


class CheckRequest(DeploymentRequest):
    """What CheckPackage is asked, with the execution that asks and its lock's number."""

    execution: str
    fence: int


class CheckVerdict(BaseModel):
    """CheckPackage's answer: what to create and move to, or why nothing is.

    What is `deployable` without a model and a configuration has both already. `restorable` moves
    back to what served before; `comparing` looks again after `wait` seconds.
    """

    outcome: Literal[
        "deployable", "already live", "comparing", "restorable", "refused", "duplicate"
    ]
    model: Request | None = None
    endpoint_config: Request | None = None
    target: EndpointRequest | None = None
    refusal: DeploymentRefused | None = None
    wait: int | None = None


class _Case(NamedTuple):
    """What is known of the deployment that is checked."""

    request: CheckRequest
    record: DeploymentRecord
    package: Package
    run: RunRecord
    live: EndpointRecord | None
    state: EndpointState | None
    wanted: Deployment
    urgent: bool
    lived: bool

    @property
    def is_compared(self) -> bool:
        """Whether the endpoint carries out this deployment's comparison."""
        return bool(self.live and self.live.compares == self.request.deployment)

    @property
    def next_comparison(self) -> Kind | None:
        """The comparison that is due: another version must serve to compare it with.

        What is urgent waits for none, nor what somebody means to deploy without.
        """
        live, state = self.live, self.state
        served = live and state and live.endpoint_config == state.config
        if not live or not served or self.urgent or live.package_arn == self.package.arn:
            return None
        if self.package.metadata.get(UNCOMPARED_WITH) == serving(live):
            return None
        return next_kind(self.wanted, self.record.compared)


def check_package(request: CheckRequest, aws: Deployer, cloudwatch: Any) -> CheckVerdict:
    """Claim a deployment for this execution, and say what it needs or why it may not be."""
    package = describe_package(aws.sagemaker, request.package_arn)
    run = find_run(aws.ledger, request.model, package.metadata.get("run", ""))
    live = find_endpoint(aws.ledger, request.endpoint)
    record = _claim(request, package, aws.ledger)
    if record is None:
        return CheckVerdict(outcome="duplicate")
    if record.status == "refused":
        refusal = refuse_deployment(record, record.reasons, aws.ledger)
        return CheckVerdict(outcome="refused", refusal=refusal)
    urgent = _is_urgent(package, live, aws)
    # A comparison that goes on asks for itself whether it may.
    reasons = [] if urgent or record.comparison else _hindrances(package, live, aws)
    reasons += refusals(
        package, find_model(aws.ledger, request.model), run, live, may_go_back=urgent
    )
    if not reasons and run:
        reasons = _tampering(package, run, aws.storage)
    is_compared = bool(live and live.compares == request.deployment)
    if record.comparison and not is_compared:
        reasons.insert(0, "the endpoint was changed while two versions were compared on it")
    if run is None or (reasons and not is_compared):
        return CheckVerdict(
            outcome="refused", refusal=refuse_deployment(record, reasons, aws.ledger)
        )
    state = describe_endpoint(aws.sagemaker, request.endpoint)
    lived = _last_life(package, request.model, aws) if urgent else None
    served_on = _reusable(lived, aws) if lived else None
    definition = _definition(request, run, aws, is_needed=served_on is None)
    wanted = definition.deployment if definition else Deployment()
    case = _Case(request, record, package, run, live, state, wanted, urgent, lived is not None)
    if reasons:
        return _restore(case, reasons, "refused", rejects=False)
    if served_on:
        return _bring_back(case, served_on, aws, keeps_alarms=definition is None)
    return _judge_comparison(case, aws, cloudwatch) or _deploy(case, aws)


def _claim(request: CheckRequest, package: Package, ledger: Ledger) -> DeploymentRecord | None:
    """Make a deployment this execution's; its own retries, and later looks, find it claimed."""
    queue_deployment(request, request.execution, ledger)
    key = Key(pk=model_partition(request.model), sk=f"deployment#{request.deployment}")
    changes: dict[str, Any] = {
        "status": "deploying",
        "fence": request.fence,
        "approved_by": package.changed_by,
        "approval_description": package.approval_description,
    }
    # One that was refused is refused again: the first answer may have been lost.
    refused = ledger.get(DeploymentRecord, key)
    if refused and refused.status == "refused" and refused.execution_arn == request.execution:
        return refused
    for status in ("queued", "deploying", "comparing"):
        if ledger.update(key, changes, {"status": status, "execution_arn": request.execution}):
            return ledger.get(DeploymentRecord, key)
    return None


def _is_urgent(package: Package, live: EndpointRecord | None, aws: Deployer) -> bool:
    """Tell whether a package replaces what must not serve.

    What serves was rejected or deleted; a person meant to go back; or the ledger's own version is
    brought back to an endpoint that serves something else.
    """
    if live is None or live.package_arn is None or live.package_arn == package.arn:
        return live is not None and live.package_arn is not None
    if package.metadata.get(ROLLBACK_FROM) == serving(live):
        return goes_back(package, live)
    serves = find_package(aws.sagemaker, live.package_arn)
    return serves is None or serves.approval != "Approved"


def _hindrances(package: Package, live: EndpointRecord | None, aws: Deployer) -> list[str]:
    """Return why a deployment that can wait is not made now."""
    if live and live.paused:
        return [f"automation is paused {live.paused}; resume it, then deploy again"]
    model = model_of(aws.settings.stack, package.group) or ""
    others = aws.ledger.query(DeploymentRecord, model_partition(model), "deployment#")
    newer = superseding(package, others)
    found = find_package(aws.sagemaker, newer.package_arn) if newer else None
    if found is None or found.approval != "Approved":
        return []
    return [f"version {found.version} was approved meanwhile and is deployed instead"]


def _tampering(package: Package, run: RunRecord, storage: Storage) -> list[str]:
    actual = storage.sha256(Location.of(package.artifact_uri))
    if actual == run.artifact_sha256:
        return []
    return [
        f"{package.artifact_uri} was changed after it was registered: its sha256 is {actual}, "
        f"but {run.artifact_sha256} was judged"
    ]


def _definition(
    request: CheckRequest, run: RunRecord, aws: Deployer, *, is_needed: bool
) -> ModelDefinition | None:
    """Return the project as it was when the run was planned.

    An older Headrace may have written it, in words that are no longer understood: None, unless it
    is needed to build what served then.
    """
    folder = RunFolder(aws.settings.artifacts_bucket, request.model, run.run)
    content = aws.storage.get_json(Location.of(folder.definition))
    try:
        return ModelDefinition.model_validate(content)
    except ValidationError:
        if is_needed:
            raise
        return None


def _last_life(package: Package, model: str, aws: Deployer) -> DeploymentRecord | None:
    """Return the last deployment that made a version serve, if it ever did."""
    records = aws.ledger.query(DeploymentRecord, model_partition(model), "deployment#")
    lived = [d for d in records if d.package_arn == package.arn and d.status == "live"]
    return max(lived, key=lambda d: d.ended_at or "", default=None)


def _reusable(last: DeploymentRecord, aws: Deployer) -> str | None:
    """Return the configuration on which a version served last, if it can serve on it again."""
    if last.endpoint_config is None:
        return None
    try:
        described = aws.sagemaker.describe_endpoint_config(EndpointConfigName=last.endpoint_config)
        for variant in described["ProductionVariants"]:
            aws.sagemaker.describe_model(ModelName=variant["ModelName"])
    except aws.sagemaker.exceptions.ClientError as error:
        # "Not found" is a ValidationException, told apart by its text alone.
        if "Could not find" in error.response["Error"]["Message"]:
            return None
        raise
    return last.endpoint_config


def _bring_back(case: _Case, config: str, aws: Deployer, *, keeps_alarms: bool) -> CheckVerdict:
    """Move back to what served before, as it served: nothing that changed since can break it."""
    target = _target(case, config, None, _told(case, None))
    return _move_to(case, target.model_copy(update={"keeps_alarms": keeps_alarms}), aws)


def _judge_comparison(case: _Case, aws: Deployer, cloudwatch: Any) -> CheckVerdict | None:
    """Look at the comparison that goes on; None if there is none, or it was come through."""
    record, live = case.record, case.live
    if record.comparison is None or live is None:
        return None
    comparer = Comparer(aws.settings, aws.storage, cloudwatch)
    seen = look(record, live, case.wanted, comparer)
    key = record.key()
    if seen.outcome == "continue":
        changes = {"status": "comparing", "findings": seen.reasons, **seen.changes}
        aws.ledger.update(key, changes, {"status": "deploying"})
        return CheckVerdict(outcome="comparing", wait=seen.wait)
    if seen.outcome == "promoted":
        compared = [*record.compared, record.comparison]
        changes = {"compared": compared, "comparison": None, "findings": seen.reasons}
        aws.ledger.update(key, changes)
        record.compared = compared
        return None
    aws.ledger.update(key, {"findings": seen.reasons})
    told = f"{_WORDS[record.comparison]} ended as {seen.outcome}: {seen.reasons[0]}"
    # A shadow answered nobody, so there is nothing to roll back.
    served = record.comparison == "ab" and seen.outcome == "worse"
    return _restore(
        case,
        [told, *seen.reasons[1:]],
        "rolled back" if served else "refused",
        rejects=seen.outcome == "worse",
    )


_WORDS: dict[Kind, str] = {
    "shadow": "the comparison in the shadow of what serves",
    "ab": "the A/B test",
}


def _restore(
    case: _Case, reasons: list[str], ends_as: Literal["rolled back", "refused"], *, rejects: bool
) -> CheckVerdict:
    """Take the version away from beside what serves."""
    alone = case.live.alone_config if case.live else None
    target = _target(case, alone or "", None, "")
    return CheckVerdict(
        outcome="restorable",
        target=target.restoring(alone or "", reasons, ends_as, rejects=rejects),
    )


def _deploy(case: _Case, aws: Deployer) -> CheckVerdict:
    """Build what is to be created, beside what serves or in its place."""
    request, wanted, live = case.request, case.wanted, case.live
    named: dict[str, Any] = {
        "model": request.model,
        "version": case.package.version,
        "tags": {"stack": aws.settings.stack, "model": request.model, "run": case.run.run},
    }
    model = build_model(aws.settings, package_arn=case.package.arn, **named)
    named["model_name"] = model["ModelName"]
    kind = case.next_comparison
    if kind and live:
        champion = _champion(live, aws.sagemaker)
        config = build_comparison_config(aws.settings, wanted, kind, champion=champion, **named)
        shift = None
    else:
        config = build_endpoint_config(aws.settings, wanted, **named)
        shift = _shift(case, config["EndpointConfigName"], aws)
    name = config["EndpointConfigName"]
    target = _target(case, name, shift, _told(case, kind))
    if kind:
        wait = first_look(wanted, kind, aws.settings.minute_seconds)
        target = target.model_copy(update={"compares": kind, "wait": wait})
    return _move_to(case, target, aws, model, config)


def _move_to(
    case: _Case,
    target: EndpointRequest,
    aws: Deployer,
    model: Request | None = None,
    config: Request | None = None,
) -> CheckVerdict:
    """Write down what is to serve, and ask for it unless it serves."""
    live, name = case.live, target.endpoint_config
    changes: dict[str, Any] = {
        "endpoint_config": name,
        "run": case.run.run,
        "strategy": target.told,
        "replaces_version": live.package_version if live else None,
    }
    aws.ledger.update(case.record.key(), changes)
    serves = live and live.endpoint_config == name and case.state and case.state.serves(name)
    if serves and not target.compares:
        changes = {"status": "live", "reasons": ["it served already"], "ended_at": now()}
        aws.ledger.update(case.record.key(), changes)
        return CheckVerdict(outcome="already live")
    return CheckVerdict(outcome="deployable", model=model, endpoint_config=config, target=target)


def _champion(live: EndpointRecord, sagemaker: Any) -> dict[str, Any]:
    """Return the variant that serves, as it serves."""
    config = live.alone_config or live.endpoint_config
    described = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    variants: list[dict[str, Any]] = described["ProductionVariants"]
    return next(each for each in variants if each["VariantName"] == CHAMPION)


def _shift(case: _Case, config: str, aws: Deployer) -> dict[str, Any] | None:
    """Return how SageMaker shall move the traffic.

    Going back is urgent, and the alarms that called for it still ring: at once, unguarded. After an
    A/B test too: "your new endpoint configuration must have the same variant name as the old"
    (developer guide, "Exclusions" of deployment guardrails), and a test has one more.
    """
    if case.urgent or "ab" in case.record.compared:
        return None
    wanted = case.wanted
    shift = plan_shift(wanted.strategy, wanted.instance_count, wanted.kept)
    scaled = shift.scaled(aws.settings.minute_seconds)
    return deployment_config(scaled, guards(wanted.alarms, case.request.endpoint, config))


def _told(case: _Case, kind: Kind | None) -> str:
    if case.urgent:
        return "all traffic moves back at once"
    wanted = case.wanted
    before = explain_comparisons(wanted) if kind or case.record.compared else ""
    return before + explain(wanted.strategy, wanted.instance_count, wanted.kept)


def _target(
    case: _Case, config: str, strategy: dict[str, Any] | None, told: str
) -> EndpointRequest:
    request = case.request
    return EndpointRequest(
        model=request.model,
        deployment=request.deployment,
        execution=request.execution,
        fence=request.fence,
        endpoint=request.endpoint,
        endpoint_config=config,
        package_arn=case.package.arn,
        package_version=case.package.version,
        run=case.run.run,
        strategy=strategy,
        told=told,
        urgent=case.urgent,
        served_before=case.lived,
        alarms=case.wanted.alarms,
        is_compared=case.is_compared,
    )
