"""What events could not tell of deployments: approvals nobody heard, locks of the dead, strangers.

SageMaker's events are best effort, and people change endpoints by hand. This looks at the registry,
the endpoints and Step Functions themselves, seldom; it mends what it may and reports the rest once.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from headrace.aws.bus import Bus
from headrace.aws.deployments import DeploymentRequest, queue_deployment, request_deployment
from headrace.aws.endpoints import describe_endpoint, find_endpoint
from headrace.aws.executions import FAILED_STATUSES, Executions
from headrace.aws.ledger import Ledger
from headrace.events import DeploymentRefused, EndpointDisagreed
from headrace.names import deployment_id
from headrace.records import (
    DeploymentRecord,
    EndpointRecord,
    Key,
    ModelRecord,
    model_partition,
    now,
)
from headrace.settings import Settings

# What was asked so recently is on its way.
_YOUNG = timedelta(minutes=5)


class Found(NamedTuple):
    """What a reconciliation did."""

    started: list[str]
    unlocked: list[str]
    closed: list[str]
    reported: list[str]


class DeploymentReconciler:
    """Finds, mends and reports."""

    def __init__(
        self, settings: Settings, ledger: Ledger, executions: Executions, bus: Bus, sagemaker: Any
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._executions = executions
        self._bus = bus
        self._sagemaker = sagemaker
        self.found = Found([], [], [], [])

    def run(self) -> Found:
        """Reconcile every model's endpoint."""
        for model in list(self._ledger.query(ModelRecord, "models")):
            for deployment in self._open(model):
                self._revive_or_close(deployment)
            live = find_endpoint(self._ledger, model.endpoint)
            if live and live.lock_owner:
                self._unlock_if_dead(live)
            self._start_forgotten(model, live)
            if live and live.compares:
                self._end_lost_comparison(live)
            if live:
                self._report_disagreement(live)
        return self.found

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
        elif status is None or status in FAILED_STATUSES:
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

    def _start_forgotten(self, model: ModelRecord, live: EndpointRecord | None) -> None:
        """Start what the newest approval, or the rejection of what serves, calls for."""
        newest = self._newest_approved(model)
        wanted = [newest] if newest and newest != (live and live.package_arn) else []
        if live and live.package_arn:
            wanted.append(live.package_arn)
        for arn in wanted:
            request = request_deployment(arn, self._settings, self._ledger, self._sagemaker)
            if not isinstance(request, DeploymentRequest):
                self._report_refusal(request)
                continue
            older = live and (live.package_version or 0) > request.package_version
            meant = arn == (live and live.package_arn)  # what serves was rejected
            serves = live and live.package_arn == request.package_arn
            if not serves and (meant or not older) and not self._was_tried(request):
                self._start(request)

    def _end_lost_comparison(self, live: EndpointRecord) -> None:
        """Let what serves serve alone again if the comparison's deployment has ended otherwise."""
        key = Key(pk=model_partition(live.model), sk=f"deployment#{live.compares}")
        compared = self._ledger.get(DeploymentRecord, key)
        if (compared and compared.is_open) or not live.package_arn or not live.package_version:
            return
        request = DeploymentRequest(
            model=live.model,
            deployment=deployment_id(live.model, live.package_version, str(live.compares)),
            endpoint=live.endpoint,
            package_arn=live.package_arn,
            package_version=live.package_version,
            cause=f"deployment {live.compares} ended while its version was compared here",
        )
        if not self._was_tried(request):
            self._start(request)

    def _newest_approved(self, model: ModelRecord) -> str | None:
        reply = self._sagemaker.list_model_packages(
            ModelPackageGroupName=model.package_group,
            ModelApprovalStatus="Approved",
            SortBy="CreationTime",
            SortOrder="Descending",
            MaxResults=1,
        )
        found = reply["ModelPackageSummaryList"]
        return str(found[0]["ModelPackageArn"]) if found else None

    def _was_tried(self, request: DeploymentRequest) -> bool:
        key = Key(pk=model_partition(request.model), sk=f"deployment#{request.deployment}")
        return self._ledger.get(DeploymentRecord, key) is not None

    def _start(self, request: DeploymentRequest) -> None:
        queue_deployment(request, self._executions.arn(request.deployment), self._ledger)
        self._executions.start(request.deployment, request.model_dump())
        self.found.started.append(request.deployment)

    def _report_refusal(self, refusal: DeploymentRefused | None) -> None:
        if refusal is not None:
            self._bus.announce(refusal)
            self.found.reported.append(refusal.deployment)

    def _report_disagreement(self, live: EndpointRecord) -> None:
        """Tell, once, that an endpoint serves what nobody of us deployed, or is gone."""
        if live.lock_owner or not live.endpoint_config:
            return
        state = describe_endpoint(self._sagemaker, live.endpoint)
        if state and (state.serves(live.endpoint_config) or state.is_moving):
            told = None
        else:
            seen = f"it is {state.status} on {state.config}" if state else "it does not exist"
            told = (
                f"version {live.package_version} should serve on {live.endpoint_config}, but {seen}"
            )
        if told == live.disagreement:
            return
        if told:
            self._bus.announce(
                EndpointDisagreed(model=live.model, endpoint=live.endpoint, reason=told)
            )
            self.found.reported.append(live.endpoint)
        self._ledger.update(live.key(), {"disagreement": told})


def _is_old(started_at: str) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(started_at) > _YOUNG
