"""What is known of runs, and of the requests for them."""

from typing import ClassVar, Literal

from headrace.records.base import Key, Record, model_partition

RunStatus = Literal["training", "better", "not better", "failed", "refused"]


class RunRecord(Record):
    """One training journey: what it was made from, its plan, and its verdict with the numbers.

    `cause` says why it was made, `requested_by` who wanted it: `data`, `recovery`, `schedule` and
    the like, or a person; `requests` are the requests it answers.
    """

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
    requested_by: list[str] = []
    requests: list[str] = []
    dataset_versions: list[str] = []
    # What the plan adds, once it is made:
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

    def covers(self, dataset_version: str | None) -> bool:
        """Tell whether it learns, or was to learn, from a dataset version."""
        return dataset_version in (self.dataset_version, *self.dataset_versions)

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"run#{self.run}")


class RequestRecord(Record):
    """A request to train again, and its answer; what waits is answered again later.

    `told` says that people heard of the refusal, or had heard the same before.
    """

    kind: ClassVar[str] = "request"
    model: str
    request: str
    by: Literal["recovery", "schedule", "hand"]
    reason: str
    person: str | None = None
    again: bool = False
    asked_at: str
    answer: Literal["trained", "refused", "waiting"] | None = None
    run: str | None = None
    reasons: list[str] = []
    answered_at: str | None = None
    told: bool = False

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk=model_partition(self.model), sk=f"request#{self.request}")


class TurnRecord(Record):
    """How many runs of a model were started: of two who want to start the next, one may."""

    kind: ClassVar[str] = "turn"
    model: str
    number: int
    run: str

    def key(self) -> Key:
        """Return where this record lives."""
        return Key(pk="turns", sk=self.model)
