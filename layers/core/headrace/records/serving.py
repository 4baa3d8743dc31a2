"""What is known of endpoints: what they serve, and what changed that or may."""

from typing import ClassVar, Literal

from headrace.records.base import Key, Record, model_partition

DeploymentStatus = Literal[
    "queued", "deploying", "comparing", "live", "rolled back", "refused", "failed"
]


class DeploymentRecord(Record):
    """One attempt to move an endpoint to an approved package, and who wanted it why.

    `fence` is the number its lock on the endpoint got; a later lock has a greater one. While it is
    compared with what serves, `comparison` says how; `compared` are comparisons it came through.
    `moving_since` is when SageMaker was first asked to move the traffic to it.
    """

    kind: ClassVar[str] = "deployment"
    model: str
    deployment: str
    status: DeploymentStatus
    endpoint: str
    package_arn: str
    package_version: int
    execution_arn: str
    cause: str
    fence: int | None = None
    run: str | None = None
    endpoint_config: str | None = None
    replaces_version: int | None = None
    strategy: str | None = None
    approved_by: str | None = None
    approval_description: str | None = None
    comparison: Literal["shadow", "ab"] | None = None
    comparing_since: str | None = None
    comparing_until: str | None = None
    prolonged: bool = False
    compared: list[str] = []
    findings: list[str] = []
    started_at: str
    moving_since: str | None = None
    ended_at: str | None = None
    reasons: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether it has no verdict yet."""
        return self.is_under_way or self.status == "comparing"

    @property
    def is_under_way(self) -> bool:
        """Whether it changes the endpoint, or is about to: not while it only compares."""
        return self.status in ("queued", "deploying")

    @property
    def went_forward(self) -> bool:
        """Whether it made a version serve that is newer than the one before."""
        return self.status == "live" and (self.replaces_version or 0) < self.package_version

    @property
    def went_back(self) -> bool:
        """Whether it made an older version serve, or its own was taken back."""
        older = (self.replaces_version or 0) > self.package_version
        return self.status == "rolled back" or (self.status == "live" and older)

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"deployment#{self.deployment}")


class RecoveryRecord(Record):
    """An alarm of an endpoint, and the remedy that was chosen against it."""

    kind: ClassVar[str] = "recovery"
    model: str
    recovery: str
    endpoint: str
    alarms: list[str]
    remedy: Literal["roll back", "retrain", "both", "wait"]
    reasons: list[str]
    package_arn: str | None = None
    package_version: int | None = None
    restore_version: int | None = None
    execution_arn: str | None = None
    at: str

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"recovery#{self.recovery}")


class PauseRecord(Record):
    """A person stopped, or resumed, what happens to an endpoint by itself."""

    kind: ClassVar[str] = "pause"
    model: str
    endpoint: str
    paused: bool
    by: str
    reason: str
    at: str

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"pause#{self.at}")


class EndpointRecord(Record):
    """What an endpoint serves by our knowledge, who may change it, and who waits for its change.

    The lock is a lease: whoever finds it run out may take it, with a greater `fence`, and a write
    of the owner before is refused because its fence is smaller. `compares` is the deployment whose
    version is compared here; `alone_config` serves the package without it.
    """

    kind: ClassVar[str] = "endpoint"
    model: str
    endpoint: str
    package_arn: str | None = None
    package_version: int | None = None
    endpoint_config: str | None = None
    run: str | None = None
    live_since: str | None = None
    compares: str | None = None
    alone_config: str | None = None
    paused: str | None = None
    disagreement: str | None = None
    lock_owner: str | None = None
    lock_deployment: str | None = None
    lock_until: str | None = None
    fence: int = 0
    waiting_config: str | None = None
    # When SageMaker had last changed the endpoint before the waiting deployment touched it.
    waiting_since: str | None = None
    # Whether SageMaker took the change: before that, whatever settles is somebody else's.
    waiting_asked: bool = False
    task_token: str | None = None

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk="endpoints", sk=self.endpoint)
