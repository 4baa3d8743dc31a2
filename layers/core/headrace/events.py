"""Every fact Headrace announces on its own bus, in the order of the journey.

A fact is past tense and frozen; its class name is the EventBridge detail-type. `events/<stage>/`
holds one example of each, and `docs/events.md` tells who listens.
"""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict


class Event(BaseModel):
    """A past-tense fact. The class name is its EventBridge detail-type."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: ClassVar[str]
    schema_version: Literal[1] = 1
    model: str

    def entry(self, bus: str) -> dict[str, str]:
        """Return this fact as one PutEvents entry for the bus named `bus`."""
        return {
            "EventBusName": bus,
            "Source": self.source,
            "DetailType": type(self).__name__,
            "Detail": self.model_dump_json(),
        }


class ProjectPublished(Event):
    """A model project is valid, recorded, and its resources exist."""

    source: ClassVar[str] = "headrace.projects"
    project_version: str
    commit: str | None = None


class ProjectRefused(Event):
    """A published project cannot be used; what served before goes on."""

    source: ClassVar[str] = "headrace.projects"
    project_version: str
    reasons: list[str]


class DatasetAccepted(Event):
    """A complete drop became an immutable dataset version."""

    source: ClassVar[str] = "headrace.datasets"
    drop: str
    dataset_version: str
    rows: int
    files: int
    quarantined_files: int = 0
    quarantined_rows: int = 0


class DropQuarantined(Event):
    """Nothing in a drop could be used; every object of it is in quarantine with a reason."""

    source: ClassVar[str] = "headrace.datasets"
    drop: str
    reasons: list[str]


class DropIncomplete(Event):
    """A drop has waited too long for objects its manifest names."""

    source: ClassVar[str] = "headrace.datasets"
    drop: str
    reasons: list[str]


class RunRefused(Event):
    """A run could not start; nothing was trained."""

    source: ClassVar[str] = "headrace.training"
    run: str
    dataset_version: str
    reasons: list[str]


class CandidateRegistered(Event):
    """A candidate was better and became a model package that awaits approval."""

    source: ClassVar[str] = "headrace.training"
    run: str
    package_arn: str
    dataset_version: str


class CandidateRefused(Event):
    """A candidate was not better; the champion stays."""

    source: ClassVar[str] = "headrace.training"
    run: str
    dataset_version: str
    reasons: list[str]


class ModelDeployed(Event):
    """An approved package serves, verified."""

    source: ClassVar[str] = "headrace.deployment"
    deployment: str
    endpoint: str
    package_arn: str
    package_version: int


class DeploymentRefused(Event):
    """An approval did not lead to a deployment; what served before goes on."""

    source: ClassVar[str] = "headrace.deployment"
    deployment: str
    package_arn: str
    reasons: list[str]


class DeploymentRolledBack(Event):
    """A version was taken back while it was deployed; the version before serves again."""

    source: ClassVar[str] = "headrace.deployment"
    deployment: str
    endpoint: str
    package_arn: str
    package_version: int
    restored_version: int | None
    reasons: list[str]
    graphs: list[str]


class EndpointDisagreed(Event):
    """An endpoint serves something else than the ledger says: somebody changed or deleted it."""

    source: ClassVar[str] = "headrace.deployment"
    endpoint: str
    reason: str


class OutcomesAccepted(Event):
    """Outcomes came that predictions can be held against; some rows may be in quarantine."""

    source: ClassVar[str] = "headrace.inference"
    outcomes: str
    rows: int
    duplicates: int
    quarantined: int
    received_at: str


class OutcomesQuarantined(Event):
    """Outcomes came of which nothing can be used; they are in quarantine with the reasons."""

    source: ClassVar[str] = "headrace.inference"
    outcomes: str
    object_key: str
    reasons: list[str]


class MonitoringReported(Event):
    """A window of live traffic was judged, and monitors drifted or do no more; `page` shows it."""

    source: ClassVar[str] = "headrace.monitoring"
    endpoint: str
    package_version: int
    verdict: Literal["healthy", "drifted", "unsure"]
    drifted: list[str]
    reasons: list[str]
    start: str
    end: str
    report_uri: str
    page: str


class RemedyChosen(Event):
    """An endpoint's alarm rang, and this is what is done about it, and why."""

    source: ClassVar[str] = "headrace.recovery"
    recovery: str
    endpoint: str
    alarms: list[str]
    remedy: Literal["roll back", "retrain", "both", "wait"]
    reasons: list[str]


class RetrainingRequested(Event):
    """A new candidate is wanted though no data came; the reason goes with the run.

    What a person asks says who, and may insist to train on the same data `again`.
    """

    source: ClassVar[str] = "headrace.training"
    request: str
    reason: str
    by: Literal["recovery", "schedule", "hand"] = "recovery"
    person: str | None = None
    again: bool = False


class RetrainingRefused(Event):
    """A request to train again starts no run, and never will."""

    source: ClassVar[str] = "headrace.training"
    request: str
    by: Literal["recovery", "schedule", "hand"]
    reasons: list[str]


class JourneyFailed(Event):
    """A fault ended an execution of one stage before it could reach a verdict."""

    source: ClassVar[str] = "headrace.platform"
    stage: Literal["datasets", "training", "deployment", "monitoring", "recovery"]
    subject: str
    error: str
    cause: str
