"""What the ledger remembers: one record class per thing of the journey.

The ledger is one DynamoDB table with keys `pk` and `sk`. Every record knows its key:

| record | pk | sk |
|---|---|---|
| ModelRecord | `models` | `<model>` |
| ProjectRecord | `model#<model>` | `project#<version>` |
| DropRecord | `model#<model>` | `drop#<drop>` |
| ObjectRecord | `drop#<model>/<drop>` | `object#<key>`, `stray#<key>#<version>` |
| DatasetRecord | `model#<model>` | `dataset#<version>` |
| RunRecord | `model#<model>` | `run#<run>` |
| DeploymentRecord | `model#<model>` | `deployment#<deployment>` |
| RecoveryRecord | `model#<model>` | `recovery#<recovery>` |
| PauseRecord | `model#<model>` | `pause#<time>` |
| OutcomesRecord | `model#<model>` | `outcomes#<digest>` |
| EndpointRecord | `endpoints` | `<endpoint>` |

Times are ISO 8601 in UTC with a `Z`, so they sort as text.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict


def now() -> str:
    """Return the present as the ledger writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Key(BaseModel):
    """The primary key of one record."""

    model_config = ConfigDict(frozen=True)
    pk: str
    sk: str


class Record(BaseModel):
    """Something the ledger remembers. Unknown attributes are kept out, so a typo is an error."""

    model_config = ConfigDict(extra="forbid")
    kind: ClassVar[str]

    def key(self) -> Key:
        """Return where this record lives."""
        raise NotImplementedError

    def item(self) -> dict[str, Any]:
        """Return the record as the ledger stores it: key, kind and attributes without nulls."""
        return {
            **self.key().model_dump(),
            "kind": self.kind,
            **self.model_dump(mode="json", exclude_none=True),
        }


def drop_partition(model: str, drop: str) -> str:
    """Return the partition of a drop: its objects."""
    return f"drop#{model}/{drop}"


def model_partition(model: str) -> str:
    """Return the partition of a model: its projects, drops, datasets, runs, deployments."""
    return f"model#{model}"


class ModelRecord(Record):
    """A model Headrace knows, and the project version in force."""

    kind: ClassVar[str] = "model"
    model: str
    project_version: str
    published_at: str
    endpoint: str
    package_group: str
    approval: Literal["manual", "automatic"]

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk="models", sk=self.model)


class ProjectRecord(Record):
    """One published version of a model project, or why it was refused."""

    kind: ClassVar[str] = "project"
    model: str
    project_version: str
    uri: str
    status: Literal["published", "refused"]
    published_at: str
    commit: str | None = None
    publisher: str | None = None
    reasons: list[str] = []

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"project#{self.project_version}")


DropState = Literal["open", "sealed", "accepted", "quarantined", "incomplete", "failed"]


class DropRecord(Record):
    """One drop: open while objects arrive, sealed when complete, then its verdict.

    `revision` grows with every change to the drop's objects, so that sealing can tell whether one
    slipped in since they were read. `quiet_check_at` is when somebody looks whether it is quiet.
    """

    kind: ClassVar[str] = "drop"
    model: str
    drop: str
    state: DropState
    revision: int = 0
    quiet_check_at: str | None = None
    first_seen_at: str
    last_seen_at: str
    sealed_at: str | None = None
    ended_at: str | None = None
    execution_arn: str | None = None
    dataset_version: str | None = None
    rows: int | None = None
    files: int | None = None
    quarantined_rows: int | None = None
    quarantined_files: int | None = None
    reasons: list[str] = []

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"drop#{self.drop}")


class ObjectRecord(Record):
    """One object of a drop, pinned to the version of its newest event, and what became of it.

    A stray came after its drop was sealed, or belongs to none: it is in quarantine, and in the way
    of no member. Sequencers are padded (`headrace.datasets.arrivals`), so they sort as text.
    """

    kind: ClassVar[str] = "object"
    stray: bool = False
    model: str
    drop: str
    object_key: str
    version_id: str
    sequencer: str
    size: int
    etag: str
    seen_at: str
    verdict: Literal["accepted", "quarantined"] | None = None
    dataset_version: str | None = None
    sha256: str | None = None
    rows: int | None = None
    quarantined_rows: int | None = None
    quarantine_uri: str | None = None
    reasons: list[str] = []

    def key(self) -> Key:
        """Return where this record lives."""
        if self.stray:
            sk = f"stray#{self.object_key}#{self.version_id}"
        else:
            sk = f"object#{self.object_key}"
        return Key(pk=drop_partition(self.model, self.drop), sk=sk)


class DatasetRecord(Record):
    """One immutable dataset version, named by the hash of its contents.

    `set_aside` says why later runs leave it out: the gate found it spoilt, or a person did.
    """

    kind: ClassVar[str] = "dataset"
    model: str
    dataset_version: str
    drop: str
    uri: str
    rows: int
    files: int
    accepted_at: str
    set_aside: str | None = None

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"dataset#{self.dataset_version}")


RunStatus = Literal["training", "better", "not better", "failed", "refused"]


class RunRecord(Record):
    """One training journey: what it was made from, its plan, and its verdict with the numbers."""

    kind: ClassVar[str] = "run"
    model: str
    run: str
    status: RunStatus
    reason: str
    dataset_version: str
    project_version: str
    execution_arn: str
    training_job: str
    cause: str = ""
    # What the plan adds, once it is made:
    dataset_versions: list[str] = []
    data_hash: str | None = None
    commit: str | None = None
    image: str | None = None
    champion_package_arn: str | None = None
    started_at: str
    ended_at: str | None = None
    job_seconds: float | None = None
    metric: str | None = None
    candidate_value: float | None = None
    champion_value: float | None = None
    baseline_value: float | None = None
    package_arn: str | None = None
    artifact_sha256: str | None = None
    evaluation_uri: str | None = None
    reasons: list[str] = []
    notes: list[str] = []

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"run#{self.run}")


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


class OutcomesRecord(Record):
    """One object of outcomes (ground truth), and what became of its rows.

    `digest` stands for its key and content. `rows` can be joined to predictions and are kept at
    `uri`; `duplicates` said the same as an earlier row of the object, `measured` are an A/B test's.
    """

    kind: ClassVar[str] = "outcomes"
    model: str
    digest: str
    status: Literal["accepted", "quarantined"]
    object_key: str
    version_id: str
    received_at: str
    recorded_at: str
    rows: int = 0
    duplicates: int = 0
    quarantined: int = 0
    measured: int = 0
    uri: str | None = None
    quarantine_uri: str | None = None
    reasons: list[str] = []

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"outcomes#{self.digest}")


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
