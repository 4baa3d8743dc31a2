"""What jobs of every kind do alike: wait in line, stop, fail, and be deleted when they ended."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import ClassVar

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Family
from local.sagemaker.jobs.line import Job, ShutdownError
from local.sagemaker.resources import Handler
from local.sagemaker.store import Record
from local.sagemaker.transfer import Location, NothingFoundError, TransferError

TERMINAL = ("Completed", "Failed", "Stopped")
RESTARTED = "InternalServerError: the local AWS was restarted while the job ran"
_REASON = 1024  # characters of a FailureReason
logger = logging.getLogger(__name__)


class JobFailedError(Exception):
    """A job failed; the message is its FailureReason."""


class JobFamily(Family):
    """Operations on jobs: adds Stop, and a Delete that spares what runs.

    A subclass says how a job fails (`fail`) and what it does (`work`).
    """

    noun: ClassVar[str]

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._folder = context.state / self.kind.slug

    def mark_stopping(self, name: str) -> None:
        """Record that a job is being stopped, unless it has ended."""

        def change(record: Record) -> None:
            if not self._has_ended(record):
                record[self.kind.status] = "Stopping"

        self.resources.update(name, change)

    def fail(self, name: str, reason: str) -> None:
        """Record that a job failed."""
        raise NotImplementedError

    def work(self, record: Record, tree: Path, job: Job) -> None:
        """Carry a job out, up to a terminal status. Raises JobFailedError."""
        raise NotImplementedError

    def start(self) -> None:
        """Fail the jobs that an earlier instance left running, or take them up again."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for record in self.resources.all():
            if not self._has_ended(record) and not self.resume(record):
                self.fail(record[self.kind.key], RESTARTED)

    def resume(self, record: Record) -> bool:
        """Put a job that the restart ended back in line, if it may be tried again."""
        del record
        return False

    def operations(self) -> dict[str, Handler]:
        """Return the family's operations, Stop among them."""
        return {**super().operations(), f"Stop{self.kind.name}": self._stop}

    def submit(self, record: Record) -> None:
        """Put a job in the line."""
        name = record[self.kind.key]
        self.context.jobs.submit(record[self.kind.arn_member], lambda job: self._run(name, job))

    def _run(self, name: str, job: Job) -> None:
        """Take a job from the line to a terminal status, whatever happens."""
        tree = self._folder / name
        reason: str | None = None
        try:
            self.work(self.resources.get(name), tree, job)
        except ShutdownError:
            raise
        except JobFailedError as error:
            reason = str(error)
        except Exception as error:  # a job's boundary: every job ends in a status
            job.check()
            logger.exception("%s", job.arn)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
        finally:
            # Before the end is recorded: it may be what fills the disk.
            shutil.rmtree(tree, ignore_errors=True)
        if reason is not None:
            job.check()
            self.fail(name, reason[:_REASON])

    def _stop(self, request: Record) -> None:
        record = self.resources.get(request[self.kind.key])
        if self._has_ended(record):
            status = record[self.kind.status]
            raise invalid(
                f"The request was rejected because the {self.noun} is in status {status}."
            )
        self.mark_stopping(record[self.kind.key])
        self.context.jobs.stop(record[self.kind.arn_member])

    def _delete(self, request: Record) -> None:
        record = self.resources.get(request[self.kind.key])
        if not self._has_ended(record):
            arn = record[self.kind.arn_member]
            raise ServiceError("ResourceInUse", f"The {self.noun} {arn} is in use; stop it first.")
        self.resources.delete(record[self.kind.key])

    def _has_ended(self, record: Record) -> bool:
        return record[self.kind.status] in TERMINAL


def check_request(context: Context, request: Record) -> None:
    """Refuse an experiment or trial that does not exist, and S3's https addresses."""
    config = request.get("ExperimentConfig", {})
    for noun in ("Experiment", "Trial"):
        if name := config.get(f"{noun}Name"):
            context.call(f"Describe{noun}", {f"{noun}Name": name})
    _refuse_https(request)


def _refuse_https(value: object) -> None:
    if isinstance(value, list):
        for each in value:
            _refuse_https(each)
    elif isinstance(value, dict):
        for member, each in value.items():
            if member in ("S3Uri", "S3OutputPath") and each.startswith("https://"):
                raise not_implemented(f"{member} {each} (an s3:// address is)")
            _refuse_https(each)


def assume(context: Context, role: str, session: str) -> dict[str, str]:
    """Return the job role's credentials. Raises JobFailedError."""
    try:
        return context.assume(role, session)
    except ServiceError as error:
        raise JobFailedError(f"ClientError: {error.message}") from error


def check_quota(kind: str, instance: str, count: int, limit: int) -> None:
    """Refuse more instances than a job may have, as AWS words it. Raises ResourceLimitExceeded."""
    if count > limit:
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{instance} for {kind} job usage' is {limit} "
            f"Instances, with current utilization of 0 Instances and a request delta of {count} "
            "Instances. Please use AWS Service Quotas to request an increase for this quota. "
            "(Locally, HEADRACE_LOCAL_JOB_INSTANCES is the limit.)",
        )


def download_failure(error: TransferError, uri: str, context: Context, role: str) -> JobFailedError:
    """Return the failure of a job whose input did not come, in AWS's words."""
    if not isinstance(error, NothingFoundError):
        return JobFailedError(f"ClientError: Data download failed:{error}")
    bucket = Location.of(uri).bucket
    return JobFailedError(
        f"ClientError: Data download failed:{error} given in input data source. Please ensure "
        f"that the bucket exists in the selected region ({context.cloud.region}), that objects "
        f'exist under that S3 prefix, and that the role "{role}" has "s3:ListBucket" '
        f'permissions on bucket "{bucket}".'
    )
