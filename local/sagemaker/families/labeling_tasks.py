"""The tasks of labeling jobs, which people (or tests) list, claim, answer and skip.

These operations are our own: on AWS workers use a page. They are described, with their paths, in
`local/sagemaker/labeling/model`; with AWS_DATA_PATH set to that folder boto3 and the AWS CLI know
them as `headrace-labeling`. IAM knows them as `sagemaker:ListLabelingTasks` and so on, on the work
team.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.families.base import operation
from local.sagemaker.families.workteams import WORKTEAM
from local.sagemaker.labeling import items as states
from local.sagemaker.labeling.consolidation import Task
from local.sagemaker.labeling.functions import task_type
from local.sagemaker.labeling.items import Answer, Item, Items, TakenError
from local.sagemaker.labeling.run import LIFETIME, task_id
from local.sagemaker.resources import Resources
from local.sagemaker.store import Record

_PAGE = 100  # tasks


class LabelingTasks:
    """Operations on tasks. `wake` lets a job look at its answers."""

    def __init__(self, context: Context, items: Items, wake: Callable[[str], None]) -> None:
        self._context = context
        self._items = items
        self._wake = wake
        self._teams = Resources(WORKTEAM, context.store, context.cloud)

    @operation
    def list_labeling_tasks(self, request: Record) -> Record:
        """List the open tasks of a team, as one of its workers sees them."""
        team = self._teams.get(request["WorkteamName"])
        tasks: list[Record] = []
        room = request.get("MaxResults", _PAGE)
        for job in self._context.store.all("LabelingJob"):
            if job["WorkteamArn"] != team["WorkteamArn"]:
                continue
            if job["LabelingJobStatus"] != "InProgress":
                continue
            if request.get("LabelingJobName", job["LabelingJobName"]) == job["LabelingJobName"]:
                tasks += self._tasks(job, request["Worker"])
        return {"Tasks": tasks[:room]}

    @operation
    def claim_labeling_task(self, request: Record) -> Record:
        """Give a task to a worker."""
        job, item = self._task(request)
        config, now = job["HumanTaskConfig"], time.time()
        _taken(
            self._items.claim,
            item.job,
            item.number,
            request["Worker"],
            config["NumberOfHumanWorkersPerDataObject"],
            now - config["TaskTimeLimitInSeconds"],
            now,
        )
        self.tell(job, request["TaskId"], "Accepted")
        return self._shown(job, item, request["Worker"])

    @operation
    def answer_labeling_task(self, request: Record) -> Record:
        """Keep a worker's answer."""
        job, item = self._task(request)
        try:
            content = json.loads(request["Answer"])
        except ValueError as error:
            raise invalid(f"The Answer is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise invalid("The Answer must be a JSON object, as a form submits it.")
        kind = task_type(job, self._context.cloud.account_id)
        if kind:
            Task(kind, item.input["labels"]).chosen(content)
        now = time.time()
        expired = now - job["HumanTaskConfig"]["TaskTimeLimitInSeconds"]
        _taken(self._items.submit, item.job, item.number, request["Worker"], content, expired, now)
        self.tell(job, request["TaskId"], "Submitted")
        self._wake(item.job)
        return self._shown(job, item, request["Worker"])

    @operation
    def skip_labeling_task(self, request: Record) -> Record:
        """Show a task to a worker no more."""
        job, item = self._task(request)
        _taken(self._items.skip, item.job, item.number, request["Worker"], time.time())
        self.tell(job, request["TaskId"], "Declined")
        return self._shown(job, item, request["Worker"])

    def _task(self, request: Record) -> tuple[Record, Item]:
        """Return the job and the object of a team's task."""
        team = self._teams.get(request["WorkteamName"])
        name, _, number = request["TaskId"].rpartition("-")
        job = self._context.store.get("LabelingJob", name)
        item = self._items.get(name, int(number))
        if job is None or item is None or job["WorkteamArn"] != team["WorkteamArn"]:
            raise ServiceError("ResourceNotFound", f"Could not find task {request['TaskId']}.", 404)
        if job["LabelingJobStatus"] != "InProgress":
            raise invalid(f"The labeling job is in status {job['LabelingJobStatus']}.")
        return job, item

    def _tasks(self, job: Record, worker: str) -> list[Record]:
        """Return the tasks of a job that a worker can take or has taken."""
        config = job["HumanTaskConfig"]
        expired = time.time() - config["TaskTimeLimitInSeconds"]
        held: dict[int, list[Answer]] = {}
        for answer in self._items.answers(job["LabelingJobName"]):
            if answer.state != states.CLAIMED or answer.claimed > expired:
                held.setdefault(answer.number, []).append(answer)
        tasks = []
        for item in self._items.of(job["LabelingJobName"], states.OPEN):
            answers = held.get(item.number, [])
            own = next((answer.state for answer in answers if answer.worker == worker), None)
            others = sum(answer.state != states.SKIPPED for answer in answers)
            free = others < config["NumberOfHumanWorkersPerDataObject"]
            if own == states.CLAIMED or (own is None and free):
                tasks.append(self._shown(job, item, worker, answers))
        return tasks

    def _shown(
        self, job: Record, item: Item, worker: str, answers: list[Answer] | None = None
    ) -> Record:
        config = job["HumanTaskConfig"]
        if answers is None:
            answers = self._items.answers(item.job, item.number)
        own = next((answer for answer in answers if answer.worker == worker), None)
        task: dict[str, Any] = {
            "TaskId": task_id(item.job, item.number),
            "LabelingJobName": item.job,
            "Title": config["TaskTitle"],
            "Description": config["TaskDescription"],
            "UiTemplateS3Uri": config["UiConfig"]["UiTemplateS3Uri"],
            "Input": json.dumps(item.input, ensure_ascii=False),
            "Status": own.state.capitalize() if own else "Available",
            "Expires": item.opened + config.get("TaskAvailabilityLifetimeInSeconds", LIFETIME),
        }
        if isinstance(item.input, dict) and isinstance(item.input.get("labels"), list):
            task["Labels"] = [str(label) for label in item.input["labels"]]
        if own and own.state == states.CLAIMED:
            task["Deadline"] = own.claimed + config["TaskTimeLimitInSeconds"]
        return task

    def tell(self, job: Record, task: str, state: str) -> None:
        """Emit a task's state."""
        detail = {
            "labeling-job-arn": job["LabelingJobArn"],
            "workteam-team-arn": job["WorkteamArn"],
            "task-id": task,
            "state": state,
        }
        self._context.cloud.emit(
            "SageMaker Ground Truth Labeling Job Task Status Change",
            detail,
            [job["LabelingJobArn"]],
        )


def _taken(act: Any, *arguments: Any) -> None:
    try:
        act(*arguments)
    except TakenError as error:
        raise ServiceError("ConflictException", str(error), 409) from error
