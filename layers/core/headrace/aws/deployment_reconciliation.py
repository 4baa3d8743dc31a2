"""What events could not tell of deployments: approvals nobody heard, locks of the dead, strangers.

SageMaker's events are best effort, and people change endpoints by hand. This looks at the registry,
the endpoints and Step Functions themselves, seldom; it mends what it may and reports the rest once.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from headrace.aws.alarms import describe_alarms, ringing_monitors
from headrace.aws.bus import Bus
from headrace.aws.deployments import (
    DeploymentRequest,
    queue_deployment,
    request_deployment,
    tell_refusal,
)
from headrace.aws.endpoints import describe_endpoint, find_deployment, find_endpoint
from headrace.aws.executions import FAILED_STATUSES, Executions
from headrace.aws.ledger import Ledger
from headrace.aws.registry import describe_package
from headrace.deployment.alarms import composite_name
from headrace.deployment.checks import goes_back
from headrace.errors import DeploymentError, HeadraceError
from headrace.events import EndpointDisagreed
from headrace.names import deployment_id, execution_name
from headrace.records import (
    DeploymentRecord,
    EndpointRecord,
    ModelRecord,
    model_partition,
    now,
)
from headrace.registry import Package
from headrace.settings import Settings

# What was asked so recently is on its way.
_YOUNG = timedelta(minutes=5)
# Going back may fail for want of instances; after so many times people are told.
_ATTEMPTS = 3
# Versions whose approvals are looked at, the newest: one call each.
_LOOKED_AT = 20


class Found(NamedTuple):
    """What a reconciliation did."""

    started: list[str]
    unlocked: list[str]
    closed: list[str]
    reported: list[str]


class DeploymentReconciler:
    """Finds, mends and reports."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        executions: Executions,
        recoveries: Executions,
        bus: Bus,
        sagemaker: Any,
        cloudwatch: Any,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._executions = executions
        self._recoveries = recoveries
        self._bus = bus
        self._sagemaker = sagemaker
        self._cloudwatch = cloudwatch
        self.found = Found([], [], [], [])

    def run(self) -> Found:
        """Reconcile every model's endpoint; one that cannot be does not keep the others waiting.

        Raises:
            DeploymentError: naming the models that could not be reconciled, and why.
        """
        faults = []
        for model in list(self._ledger.query(ModelRecord, "models")):
            try:
                self._reconcile(model)
            except (HeadraceError, BotoCoreError, ClientError) as error:
                faults.append(f"{model.model}: {error}")
        if faults:
            raise DeploymentError("; ".join(faults))
        return self.found

    def _reconcile(self, model: ModelRecord) -> None:
        for deployment in self._open(model):
            self._revive_or_close(deployment)
        live = find_endpoint(self._ledger, model.endpoint)
        if live and live.lock_owner:
            self._unlock_if_dead(live)
        stuck = self._start_forgotten(model, live)
        if live and live.compares:
            self._end_lost_comparison(live)
        if live:
            self._mend_disagreement(live, stuck)
            self._ask_again(live)

    def _open(self, model: ModelRecord) -> list[DeploymentRecord]:
        records = self._ledger.query(DeploymentRecord, model_partition(model.model), "deployment#")
        return [r for r in records if r.is_open and _is_old(r.started_at)]

    def _revive_or_close(self, record: DeploymentRecord) -> None:
        """Start what was queued and never started; close what ended without a verdict."""
        status = self._executions.status(record.deployment)
        if status is None and record.status == "queued":
            self._start(
                DeploymentRequest(
                    model=record.model,
                    deployment=record.deployment,
                    endpoint=record.endpoint,
                    package_arn=record.package_arn,
                    package_version=record.package_version,
                    cause=record.cause,
                )
            )
        elif status is None or status in FAILED_STATUSES or status == "SUCCEEDED":
            reason = f"execution {record.execution_arn} ended without a verdict: {status or 'gone'}"
            changes = {"status": "failed", "reasons": [reason], "ended_at": now()}
            if self._ledger.update(record.key(), changes, {"status": record.status}):
                self.found.closed.append(record.deployment)

    def _unlock_if_dead(self, live: EndpointRecord) -> None:
        name = str(live.lock_owner).rpartition(":")[2]
        if self._executions.status(name) == "RUNNING":
            return
        changes = {"lock_owner": None, "lock_deployment": None, "lock_until": None}
        if self._ledger.update(live.key(), changes, {"lock_owner": live.lock_owner}):
            self.found.unlocked.append(live.endpoint)

    def _start_forgotten(self, model: ModelRecord, live: EndpointRecord | None) -> str | None:
        """Start what approvals, or the rejection of what serves, call for and nobody heard.

        Returns why that cannot be done any more, if it cannot.
        """
        stuck = None
        served = live.package_arn if live else None
        approved = [each.arn for each in self._approved_lately(model, live)]
        wanted = [arn for arn in approved if arn != served]
        for arn in [*wanted, served] if served else wanted:
            request = request_deployment(arn, self._settings, self._ledger, self._sagemaker)
            if isinstance(request, DeploymentRecord):
                if tell_refusal(request, self._ledger, self._bus):
                    self.found.reported.append(request.deployment)
            elif request and live and live.package_arn == arn:
                stuck = self._go_back(request, live)
            elif request and self._tried(request) is None:
                self._start(request)
        return stuck

    def _go_back(self, request: DeploymentRequest, live: EndpointRecord) -> str | None:
        """Bring the last good version back; what failed for want of instances is tried again."""
        if request.package_arn == live.package_arn:
            return None  # what serves is approved
        for attempt in range(1, _ATTEMPTS + 1):
            again = request.model_copy(
                update={"deployment": f"{request.deployment}-{attempt}"} if attempt > 1 else {}
            )
            tried = self._tried(again)
            if tried is None:
                self._start(again)
            if tried is None or tried.status != "failed":
                return None
        return (
            f"version {live.package_version} was rejected and still serves: going back failed "
            f"{_ATTEMPTS} times"
        )

    def _end_lost_comparison(self, live: EndpointRecord) -> None:
        """Let what serves serve alone again if the comparison's deployment has ended otherwise."""
        compared = find_deployment(self._ledger, live.model, str(live.compares))
        if not (compared and compared.is_open):
            why = f"deployment {live.compares} ended while its version was compared here"
            self._restore(live, str(live.compares), why)

    def _restore(self, live: EndpointRecord, because_of: str, why: str) -> bool:
        """Bring the ledger's version back, once for each deployment that it is because of."""
        if not live.package_arn or not live.package_version:
            return False
        request = DeploymentRequest(
            model=live.model,
            deployment=deployment_id(live.model, live.package_version, because_of),
            endpoint=live.endpoint,
            package_arn=live.package_arn,
            package_version=live.package_version,
            cause=why,
        )
        if self._tried(request):
            return False
        self._start(request)
        return True

    def _approved_lately(self, model: ModelRecord, live: EndpointRecord | None) -> list[Package]:
        """Return what was approved since another version went live, and the newest if newer.

        In the order of their approvals, as their events would have come. The list knows only when
        a version was made, so each is looked at.
        """
        reply = self._sagemaker.list_model_packages(
            ModelPackageGroupName=model.package_group,
            ModelApprovalStatus="Approved",
            SortBy="CreationTime",
            SortOrder="Descending",
            MaxResults=_LOOKED_AT,
        )
        arns = [each["ModelPackageArn"] for each in reply["ModelPackageSummaryList"]]
        packages = [describe_package(self._sagemaker, arn) for arn in arns]
        newest = packages[:1]
        if live is None or live.live_since is None:
            return newest
        since = _time(live.live_since)
        found = [each for each in newest if not goes_back(each, live)]
        found += [each for each in packages if _time(each.changed_at) > since and each not in found]
        return sorted(found, key=lambda each: _time(each.changed_at))

    def _tried(self, request: DeploymentRequest) -> DeploymentRecord | None:
        return find_deployment(self._ledger, request.model, request.deployment)

    def _start(self, request: DeploymentRequest) -> None:
        queue_deployment(request, self._executions.arn(request.deployment), self._ledger)
        self._executions.start(request.deployment, request.model_dump())
        self.found.started.append(request.deployment)

    def _mend_disagreement(self, live: EndpointRecord, stuck: str | None) -> None:
        """End what a failed deployment left serving; tell, once, of what cannot be mended."""
        if live.lock_owner or live.compares or not live.endpoint_config:
            return
        state = describe_endpoint(self._sagemaker, live.endpoint)
        if state and (state.serves(live.endpoint_config) or state.is_moving):
            self._tell(live, stuck)
            return
        stray = self._failed_on(live, state.config) if state else None
        if stray:
            why = f"deployment {stray.deployment} failed and left its version serving"
            if self._restore(live, stray.deployment, why):
                return
        seen = f"it is {state.status} on {state.config}" if state else "it does not exist"
        self._tell(
            live,
            f"version {live.package_version} should serve on {live.endpoint_config}, but {seen}",
        )

    def _failed_on(self, live: EndpointRecord, config: str) -> DeploymentRecord | None:
        """Return the failed deployment whose configuration this is."""
        records = self._ledger.query(DeploymentRecord, model_partition(live.model), "deployment#")
        return next(
            (r for r in records if r.status == "failed" and r.endpoint_config == config), None
        )

    def _tell(self, live: EndpointRecord, told: str | None) -> None:
        """Announce what is wrong with an endpoint, unless it was said before."""
        if told == live.disagreement:
            return
        if told:
            self._bus.announce(
                EndpointDisagreed(model=live.model, endpoint=live.endpoint, reason=told)
            )
            self.found.reported.append(live.endpoint)
        self._ledger.update(live.key(), {"disagreement": told})

    def _ask_again(self, live: EndpointRecord) -> None:
        """Ask recovery again about what still rings: EventBridge hears of changes alone."""
        states = describe_alarms([composite_name(live.endpoint)], self._cloudwatch)
        rings = [alarm.name for alarm in states if alarm.state == "ALARM"]
        rings += ringing_monitors(live.endpoint, live.package_version, self._cloudwatch)
        if rings:
            at = now()
            detail = {"alarmName": rings[0], "state": {"value": "ALARM", "timestamp": at}}
            self._recoveries.start(execution_name(live.endpoint, at), {"detail": detail})


def _is_old(started_at: str) -> bool:
    return datetime.now(UTC) - _time(started_at) > _YOUNG


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
