"""What is known of models, projects, and of the data that came in."""

from typing import ClassVar, Literal

from headrace.records.base import Key, Record, drop_partition, model_partition


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


class OutcomesRecord(Record):
    """One object of outcomes (ground truth), and what became of its rows.

    `digest` stands for its key and content. `rows` can be joined to predictions and are kept at
    `uri`, `by_entity` of them by their entity; `duplicates` said the same as an earlier row of the
    object, `measured` are an A/B test's.
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
    by_entity: int = 0
    duplicates: int = 0
    quarantined: int = 0
    measured: int = 0
    uri: str | None = None
    quarantine_uri: str | None = None
    reasons: list[str] = []

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"outcomes#{self.digest}")
