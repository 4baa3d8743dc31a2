"""Moving an endpoint to a configuration: what to do next. Pure.

SageMaker's own description of an endpoint is the truth; the ledger's EndpointRecord says who waits
for it. `next_step` reads both, so that the function that starts a deployment, its retries, and the
one that is woken by an event all decide alike.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

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

    @property
    def is_moving(self) -> bool:
        """Whether something is still going on."""
        return self.status in _MOVING

    def serves(self, config: str) -> bool:
        """Tell whether the endpoint is in service on this configuration, and no other."""
        return self.status == "InService" and self.config == config


def next_step(
    state: EndpointState | None, config: str, since: str | None, *, asked: bool = True
) -> Step:
    """Say what a deployment that wants `config` must do about an endpoint in this state.

    `since` is when the endpoint had last changed before this deployment touched it (empty: it did
    not exist), or None if it has not touched it yet; `asked` says that SageMaker took its change.
    An endpoint that settled after that, on whatever configuration, is finished with us: SageMaker
    ends a failed update in service, on the old configuration.
    """
    if state is None:
        return "create"
    if state.serves(config):
        return "finished"
    if state.is_moving:
        ours = state.status in ("Creating", "Updating") and state.pending_config == config
        return "wait" if ours and since is not None else "busy"
    if since is not None and asked and state.changed_at > since:
        return "finished"
    # "DeleteEndpoint is the only operation that can be performed on a failed endpoint."
    return "delete" if state.status == "Failed" else "update"
