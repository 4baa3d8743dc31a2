"""What a labeling job goes through: objects shown to people, their answers consolidated, the end.

A job waits for people for days, so it runs in a thread of its own, not in the line of jobs. All it
knows is in its record and in the work items; an interrupted run is taken up where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from local.sagemaker.context import Context
from local.sagemaker.labeling import items as states
from local.sagemaker.labeling.consolidation import TYPES, Task, classify
from local.sagemaker.labeling.functions import FunctionFailedError, Functions, task_type
from local.sagemaker.labeling.items import Answer, Item, Items
from local.sagemaker.labeling.output import (
    Output,
    custom_metadata,
    failure,
    read_labels,
    read_manifest,
)
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3

_AT_ONCE = 1000  # objects with people, unless MaxConcurrentTaskCount says
LIFETIME = 30 * 86400  # of a task of a private workforce (API_HumanTaskConfig)
EXPIRED = "ClientError: The task expired before a worker submitted an answer"


@dataclass
class LabelingRun:
    """One job at work. Methods raise TransferError, ManifestError and ServiceError."""

    context: Context
    items: Items
    job: Record
    emit: Callable[[str, str], None]
    """Tell of a task's state: its id and the state."""
    labels: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name: str = self.job["LabelingJobName"]
        self.config: Record = self.job["HumanTaskConfig"]
        self.workers: int = self.config["NumberOfHumanWorkersPerDataObject"]
        self.kind = task_type(self.job, self.context.cloud.account_id)
        # Credentials last an hour and a job may last days: each step of the job has its own run.
        self.s3 = S3(self.context.cloud, self.context.assume(self.job["RoleArn"], self.name))
        self.output = Output(self.s3, self.job)
        if uri := self.job.get("LabelCategoryConfigS3Uri"):
            self.labels = read_labels(self.s3, uri)

    def initialize(self) -> None:
        """Read the manifest and the template; make the work items."""
        source = self.job["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]
        lines = read_manifest(self.s3, source)
        self.s3.get(self.config["UiConfig"]["UiTemplateS3Uri"])
        # Written before people begin: who may not write there learns it before they worked.
        self.items.add(self.name, lines)
        self.output.write_manifest(self.items.of(self.name), iteration=1)

    def step(self, iteration: int, now: float) -> tuple[bool, float]:
        """Do what can be done now; return whether all is done, and when to look again."""
        limit = self.config["TaskTimeLimitInSeconds"]
        for answer in self.items.release(self.name, now - limit):
            self.emit(task_id(self.name, answer.number), "Expired")
        lifetime = self.config.get("TaskAvailabilityLifetimeInSeconds", LIFETIME)
        ready = self._ready(now - lifetime)
        if ready:
            self._consolidate(iteration, ready)
        self._show(now)
        opened = [item.opened + lifetime for item in self.items.of(self.name, states.OPEN)]
        claims = [
            answer.claimed + limit
            for answer in self.items.answers(self.name)
            if answer.state == states.CLAIMED
        ]
        left = {states.OPEN, states.WAITING} & set(self.items.counts(self.name))
        return not left or self._enough(), min([*opened, *claims], default=now)

    def finish(self) -> None:
        """Write the output manifest."""
        self.output.write_manifest(self.items.of(self.name))

    def _enough(self) -> bool:
        """Whether a stopping condition of the job is met."""
        conditions = self.job.get("StoppingConditions", {})
        counts = self.items.counts(self.name)
        done, total = counts.get(states.LABELLED, 0), sum(counts.values())
        count = conditions.get("MaxHumanLabeledObjectCount", total)
        share = conditions.get("MaxPercentageOfInputDatasetLabeled", 100)
        return bool(done >= count or done * 100 >= share * total)

    def _show(self, now: float) -> None:
        """Show people as many objects as may be with them at once."""
        functions = Functions(self._lambda(), self.job)
        room = self.config.get("MaxConcurrentTaskCount", _AT_ONCE)
        room -= self.items.counts(self.name).get(states.OPEN, 0)
        if room <= 0:
            return
        for item in self.items.of(self.name, states.WAITING, room):
            try:
                given, needed = (
                    (self._given(item.line), True) if self.kind else functions.before(item.line)
                )
            except FunctionFailedError as error:
                self._fail(item, f"ClientError: {error}")
                continue
            if needed:
                self.items.open(self.name, item.number, given, now)
            else:
                self.items.settle(self.name, item.number, states.PASSED, None)

    def _given(self, line: Record) -> Record:
        """Return the input of a built-in task's template."""
        return {"taskObject": line.get("source", line.get("source-ref")), "labels": self.labels}

    def _ready(self, expired: float) -> list[tuple[Item, list[Answer]]]:
        """Return the objects with all their answers, or with some when their time is over."""
        answers: dict[int, list[Answer]] = {}
        for answer in self.items.answers(self.name):
            if answer.state == states.SUBMITTED:
                answers.setdefault(answer.number, []).append(answer)
        ready = []
        for item in self.items.of(self.name, states.OPEN):
            given = answers.get(item.number, [])
            if len(given) >= self.workers or (given and item.opened <= expired):
                ready.append((item, given))
            elif item.opened <= expired:
                self._fail(item, EXPIRED)
        return ready

    def _consolidate(self, iteration: int, ready: list[tuple[Item, list[Answer]]]) -> None:
        for _, answers in ready:
            for answer in answers:
                self.output.write_response(iteration, answer)
        payload = self.output.write_request(iteration, ready)
        try:
            labels = (
                self._classify(self.kind)
                if self.kind
                else Functions(self._lambda(), self.job).after(self.labels, payload)
            )
        except FunctionFailedError as error:
            for item, _ in ready:
                self._fail(item, f"ClientError: {error}")
            return
        done = {str(item.number) for item, _ in ready}
        self.output.write_answer(iteration, {n: v for n, v in labels.items() if n in done})
        for item, _ in ready:
            label = labels.get(str(item.number))
            if label is None:
                self._fail(item, "ClientError: The post-annotation function left the object out")
                continue
            metadata = {f"{self.job['LabelAttributeName']}-metadata": custom_metadata(self.job)}
            self.items.settle(self.name, item.number, states.LABELLED, {**metadata, **label})
        self.output.write_manifest(self.items.of(self.name), iteration)

    def _classify(self, kind: str) -> dict[str, Record]:
        """Label with all answers of the job, since they tell how accurate each worker is."""
        votes: dict[str, Record] = {}
        for answer in self.items.answers(self.name):
            if answer.state == states.SUBMITTED:
                votes.setdefault(str(answer.number), {})[answer.worker] = answer.content
        task = Task(kind, self.labels)
        return classify(task, self.name, self.job["LabelAttributeName"], votes, self.workers)

    def _fail(self, item: Item, reason: str) -> None:
        kind = TYPES[self.kind] if self.kind else "groundtruth/custom"
        outcome = failure(self.job, kind, reason)
        self.items.settle(self.name, item.number, states.FAILED, outcome)

    def _lambda(self) -> object:
        return self.context.client("lambda", self.job["RoleArn"], self.name)


def task_id(job: str, number: int) -> str:
    """Name the task of an object."""
    return f"{job}-{number}"
