"""Moving an endpoint to an approved package: what may be deployed, and what to do next. Pure.

SageMaker's own description of an endpoint is the truth; the ledger's EndpointRecord says who waits
for it. `next_step` reads both, so that the function that starts a deployment, its retries, and the
one that is woken by an event all decide alike.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from headrace.records import EndpointRecord, ModelRecord, RunRecord
from headrace.registry import REQUIRED_METADATA, Package

# EndpointStatus, DescribeEndpoint: in these something is still going on.
_MOVING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})

Step = Literal["create", "update", "delete", "wait", "finished", "busy"]


class EndpointState(BaseModel):
    """What DescribeEndpoint says, as far as it matters here."""

    model_config = ConfigDict(frozen=True)
    status: str
    config: str
    pending_config: str | None
    changed_at: str
    failure_reason: str | None

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> "EndpointState":
        """Read DescribeEndpoint's reply."""
        status = description["EndpointStatus"]
        pending = (description.get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
        config = description["EndpointConfigName"]
        changed: datetime = description["LastModifiedTime"]
        return cls(
            status=status,
            config=config,
            # An endpoint that is being created shows the configuration it will have.
            pending_config=pending or (config if status == "Creating" else None),
            changed_at=changed.astimezone(UTC).isoformat(timespec="microseconds"),
            failure_reason=description.get("FailureReason"),
        )

    def serves(self, config: str) -> bool:
        """Tell whether the endpoint is in service on this configuration, and no other."""
        return self.status == "InService" and self.config == config


def next_step(state: EndpointState | None, config: str, since: str | None) -> Step:
    """Say what a deployment that wants `config` must do about an endpoint in this state.

    `since` is when the endpoint had last changed before this deployment touched it (empty: it did
    not exist), or None if it has not touched it yet. An endpoint that settled after that, on
    whatever configuration, is finished with us: SageMaker ends a failed update in service, on the
    old configuration.
    """
    if state is None:
        return "create"
    if state.serves(config):
        return "finished"
    if state.status in _MOVING:
        ours = state.status in ("Creating", "Updating") and state.pending_config == config
        return "wait" if ours and since is not None else "busy"
    if since is not None and state.changed_at > since:
        return "finished"
    # "DeleteEndpoint is the only operation that can be performed on a failed endpoint."
    return "delete" if state.status == "Failed" else "update"


def refusals(
    package: Package, model: ModelRecord | None, run: RunRecord | None, live: EndpointRecord | None
) -> list[str]:
    """Return every reason, in words, why a package may not be deployed, besides its contents."""
    reasons = []
    if package.approval != "Approved":
        reasons.append(f"the package is {package.approval}, not Approved")
    if model is None or package.group != model.package_group:
        reasons.append(f"package group {package.group} belongs to no published model of this stack")
    missing = [key for key in REQUIRED_METADATA if not package.metadata.get(key)]
    if missing:
        reasons.append(f"the package does not say its {', '.join(missing)}")
    if "@sha256:" not in package.image:
        reasons.append(f"the package's image {package.image} is not pinned by digest")
    if run is None or run.package_arn != package.arn:
        reasons.append("no run in the ledger registered the package")
    elif run.artifact_sha256 != package.metadata.get("artifact_sha256"):
        reasons.append("the package's artifact_sha256 is not the one its run recorded")
    if live and live.package_version is not None and live.package_version > package.version:
        reasons.append(
            f"version {live.package_version} serves, which is newer than {package.version}: "
            "going back needs explicit intent"
        )
    return reasons


def compare_predictions(
    expected: Sequence[Any], actual: Sequence[Any], tolerance: float
) -> list[str]:
    """Return how an endpoint's predictions differ from those the job made for the same rows."""
    if len(expected) != len(actual):
        return [f"{len(expected)} rows were sent, {len(actual)} predictions came back"]
    return [
        f"row {row}: expected {wanted}, got {got}"
        for row, (wanted, got) in enumerate(zip(expected, actual, strict=True), start=1)
        if not _close(wanted, got, tolerance)
    ]


def _close(wanted: Any, got: Any, tolerance: float) -> bool:
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        return wanted.keys() == got.keys() and all(
            _close(wanted[key], got[key], tolerance) for key in wanted
        )
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(
            _close(a, b, tolerance) for a, b in zip(wanted, got, strict=True)
        )
    if _is_number(wanted) and _is_number(got):
        return math.isclose(wanted, got, rel_tol=tolerance, abs_tol=tolerance)
    return bool(wanted == got)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
