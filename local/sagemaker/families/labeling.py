"""Labeling jobs, from their manifest to their labels."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Family, operation, operations_of
from local.sagemaker.families.labeling_tasks import LabelingTasks
from local.sagemaker.families.workteams import WORKTEAM, team_of
from local.sagemaker.labeling import items as states
from local.sagemaker.labeling.functions import task_type
from local.sagemaker.labeling.items import Items
from local.sagemaker.labeling.output import ManifestError
from local.sagemaker.labeling.run import LabelingRun
from local.sagemaker.resources import Handler, Kind, Resources, paginate
from local.sagemaker.store import Record
from local.sagemaker.transfer import TransferError

_ENDED = ("Completed", "Failed", "Stopped")
_LONGEST_LIMIT = 28800  # "the maximum is 8 hours"
_LONGEST_LIFE = 30 * 86400
logger = logging.getLogger(__name__)


class LabelingJobs(Family):
    """Labeling jobs, whose tasks people or tests answer."""

    kind = Kind(
        name="LabelingJob",
        slug="labeling-job",
        missing="Could not find the requested labeling job {arn}.",
        missing_code="ResourceNotFound",
        duplicate="A labeling job with this name already exists ({arn}).",
        duplicate_code="ResourceInUse",
        order="Ascending",
        status="LabelingJobStatus",
        ignores_case=True,
    )
    generic = ()

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._teams = Resources(WORKTEAM, context.store, context.cloud)
        self._items = Items(context.state / "labeling.db")
        self._closing = False
        self._wakes: dict[str, threading.Event] = {}
        self._tasks = LabelingTasks(context, self._items, self._wake)

    def operations(self) -> dict[str, Handler]:
        """Return the operations on jobs and on their tasks."""
        return {**super().operations(), **operations_of(self._tasks)}

    def start(self) -> None:
        """Go on with the jobs that were at work."""
        for job in self.resources.all():
            if job["LabelingJobStatus"] not in _ENDED:
                self._begin(job["LabelingJobName"])

    def close(self) -> None:
        """Leave the jobs as they are, for the next start."""
        self._closing = True
        for wake in list(self._wakes.values()):
            wake.set()

    def changed(self, record: Record) -> None:
        """Emit that a job ended ("Monitor Labeling Job Status")."""
        if record["LabelingJobStatus"] in _ENDED:
            self.context.cloud.emit(
                "SageMaker Ground Truth Labeling Job State Change",
                {"LabelingJobStatus": record["LabelingJobStatus"]},
                [record["LabelingJobArn"]],
            )

    @operation
    def create_labeling_job(self, request: Record) -> Record:
        """Check a job and begin it."""
        config = request["HumanTaskConfig"]
        _check(request)
        kind = task_type(request, self.context.cloud.account_id)
        if kind and "LabelCategoryConfigS3Uri" not in request:
            raise invalid(f"LabelCategoryConfigS3Uri is required for {kind}.")
        team_of(self._teams, config["WorkteamArn"])
        name = request["LabelingJobName"]
        self.context.assume(request["RoleArn"], name)
        consolidation = config["AnnotationConsolidationConfig"]
        record = self.resources.create(
            name,
            request,
            LabelingJobStatus="Initializing",
            JobReferenceCode=uuid.uuid4().hex,
            # What lists show.
            WorkteamArn=config["WorkteamArn"],
            PreHumanTaskLambdaArn=config.get("PreHumanTaskLambdaArn"),
            AnnotationConsolidationLambdaArn=consolidation["AnnotationConsolidationLambdaArn"],
            _iteration=1,
        )
        self._begin(name)
        return record

    @operation
    def describe_labeling_job(self, request: Record) -> Record:
        """Return a job with its counters as they are now."""
        return self._counted(self.resources.get(request["LabelingJobName"]))

    @operation
    def list_labeling_jobs(self, request: Record) -> Record:
        """List jobs."""
        return self.resources.list(request, map(self._counted, self.resources.all()))

    @operation
    def list_labeling_jobs_for_workteam(self, request: Record) -> Record:
        """List the jobs of a team."""
        team_of(self._teams, request["WorkteamArn"])
        wanted = request.get("JobReferenceCodeContains", "")
        after, before = request.get("CreationTimeAfter"), request.get("CreationTimeBefore")
        rows = [
            self._for_team(job)
            for job in self.resources.all()
            if job["WorkteamArn"] == request["WorkteamArn"]
            and wanted in job["JobReferenceCode"]
            and (after is None or job["CreationTime"] > after)
            and (before is None or job["CreationTime"] < before)
        ]
        page, token = paginate(
            rows,
            request,
            lambda row: [row["CreationTime"], row["JobReferenceCode"]],
            request.get("SortOrder") == "Descending",
        )
        return {"LabelingJobSummaryList": page, **({"NextToken": token} if token else {})}

    @operation
    def stop_labeling_job(self, request: Record) -> None:
        """Stop a job; what is labelled is put in its output."""

        def change(job: Record) -> None:
            if job["LabelingJobStatus"] in _ENDED:
                raise invalid(
                    "The request was rejected because the labeling job is in status "
                    f"{job['LabelingJobStatus']}."
                )
            job["LabelingJobStatus"] = "Stopping"

        self.resources.update(request["LabelingJobName"], change)
        self._wake(request["LabelingJobName"])

    # Jobs at work

    def _begin(self, name: str) -> None:
        self._wakes[name] = threading.Event()
        thread = threading.Thread(
            target=self._work, args=(name,), name=f"sagemaker-{name}", daemon=True
        )
        thread.start()

    def _wake(self, name: str) -> None:
        if wake := self._wakes.get(name):
            wake.set()

    def _work(self, name: str) -> None:
        """Take a job to its end, whatever happens."""
        try:
            while not self._closing and self._advance(name):
                pass
        except (ManifestError, TransferError) as error:
            self._fail(name, f"ClientError: {error}")
        except ServiceError as error:
            self._fail(name, f"ClientError: {error.message}")
        except Exception as error:  # a job's boundary: every job ends in a status
            logger.exception("labeling job %s", name)
            self._fail(name, f"InternalServerError: {type(error).__name__}: {error}")
        finally:
            self._wakes.pop(name, None)

    def _advance(self, name: str) -> bool:
        """Do what can be done, and wait for more; return whether there is more to come."""
        wake = self._wakes[name]
        wake.clear()  # before anything is read, so that what changes from here on wakes it
        job = self.resources.get(name)
        run = LabelingRun(
            self.context, self._items, job, lambda task, state: self._tasks.tell(job, task, state)
        )
        if job["LabelingJobStatus"] == "Stopping":
            self._finish(run, "Stopped")
            return False
        if job["LabelingJobStatus"] == "Initializing":
            run.initialize()
            self._update(name, _if_running("InProgress"))
            return True
        labelled = self._items.counts(name).get(states.LABELLED, 0)
        done, again = run.step(job["_iteration"], time.time())
        if self._items.counts(name).get(states.LABELLED, 0) > labelled:
            self._update(name, {"_iteration": job["_iteration"] + 1})
        if done:
            self._finish(run, None)
            return False
        wake.wait(min(max(again - time.time(), 0.05), 3600))
        return True

    def _finish(self, run: LabelingRun, status: str | None) -> None:
        """Write the output and end the job, by its counts if no status is given."""
        run.finish()
        counts = self._items.counts(run.name)
        change: Record = {
            "LabelingJobOutput": {"OutputDatasetS3Uri": run.output.manifest},
            "LabelingJobStatus": status,
        }
        if status is None:
            left = counts.get(states.OPEN, 0) + counts.get(states.WAITING, 0)
            failed = counts.get(states.FAILED, 0) == sum(counts.values())
            change["LabelingJobStatus"] = "Stopped" if left else "Failed" if failed else "Completed"
            if failed:
                metadata = self._items.of(run.name, states.FAILED, 1)[0].outcome.popitem()[1]
                change["FailureReason"] = metadata["failure-reason"][:1024]
        self._update(run.name, change)

    def _fail(self, name: str, reason: str) -> None:
        self._update(name, {"LabelingJobStatus": "Failed", "FailureReason": reason[:1024]})

    def _update(self, name: str, change: Any) -> None:
        if not self._closing:
            self.resources.update(name, change)

    def _counted(self, job: Record) -> Record:
        counts = self._items.counts(job["LabelingJobName"])
        labelled, failed = counts.get(states.LABELLED, 0), counts.get(states.FAILED, 0)
        counters = {
            "TotalLabeled": labelled,
            "HumanLabeled": labelled,
            "MachineLabeled": 0,
            "FailedNonRetryableError": failed,
            "Unlabeled": sum(counts.values()) - labelled - failed,
        }
        return {**job, "LabelCounters": counters}

    def _for_team(self, job: Record) -> Record:
        counts = self._items.counts(job["LabelingJobName"])
        counters = {
            "HumanLabeled": counts.get(states.LABELLED, 0),
            "PendingHuman": counts.get(states.OPEN, 0) + counts.get(states.WAITING, 0),
            "Total": sum(counts.values()),
        }
        workers = job["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"]
        return {
            **job,
            "LabelCounters": counters,
            "WorkRequesterAccountId": self.context.cloud.account_id,
            "NumberOfHumanWorkersPerDataObject": workers,
        }


def _if_running(status: str) -> Any:
    """Return a change to a status, unless the job is being stopped."""

    def change(job: Record) -> None:
        if job["LabelingJobStatus"] == "Initializing":
            job["LabelingJobStatus"] = status

    return change


def _check(request: Record) -> None:
    """Refuse what AWS refuses, and what is not done here."""
    attribute = request["LabelAttributeName"]
    if "-metadata" in attribute or attribute.endswith("-ref"):
        raise invalid(
            f'LabelAttributeName "{attribute}" must not contain -metadata nor end with -ref.'
        )
    if "S3DataSource" not in request["InputConfig"]["DataSource"]:
        raise not_implemented("A streaming labeling job (SnsDataSource)")
    if "LabelingJobAlgorithmsConfig" in request:
        raise not_implemented("Automated data labeling (LabelingJobAlgorithmsConfig)")
    if "SnsTopicArn" in request["OutputConfig"]:
        raise not_implemented("OutputConfig.SnsTopicArn")
    config = request["HumanTaskConfig"]
    if "UiTemplateS3Uri" not in config["UiConfig"]:
        raise not_implemented("A labeling job without UiTemplateS3Uri (HumanTaskUiArn)")
    if config["TaskTimeLimitInSeconds"] > _LONGEST_LIMIT:
        raise invalid(f"TaskTimeLimitInSeconds must be at most {_LONGEST_LIMIT}.")
    if config.get("TaskAvailabilityLifetimeInSeconds", 0) > _LONGEST_LIFE:
        raise invalid(f"TaskAvailabilityLifetimeInSeconds must be at most {_LONGEST_LIFE}.")
