"""Monitoring schedules and their executions."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from dataclasses import dataclass

from local.sagemaker import events
from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.families import job_definitions
from local.sagemaker.families.base import Family, operation
from local.sagemaker.families.jobs import RESTARTED
from local.sagemaker.monitoring.clock import Clock
from local.sagemaker.monitoring.metrics import publish
from local.sagemaker.monitoring.run import (
    MERGE,
    MERGED,
    PREFIXES,
    Definition,
    NoDataError,
    Run,
)
from local.sagemaker.monitoring.time import cadence, window
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, TransferError

_ENDED = ("Completed", "CompletedWithViolations", "Failed", "Stopped")
_HOUR = 3600
logger = logging.getLogger(__name__)
_JOBS = (MERGE, *PREFIXES.values())


@dataclass(frozen=True)
class _Executions(Kind):
    @property
    def key(self) -> str:
        return "_Key"


class MonitoringSchedules(Family):
    """Monitoring schedules and their executions. Alerts are never made.

    An execution is a record of its own, kept when its schedule goes. Its `_due` says when its next
    job is to be started, if one is; `_merged`, whether that is the monitoring job, or the one that
    joins ground truth first; `_job` names the last one.
    """

    kind = Kind(
        name="MonitoringSchedule",
        slug="monitoring-schedule",
        missing="Monitoring schedule {arn} does not exist.",
        missing_code="ResourceNotFound",
        duplicate="A monitoring schedule with this name already exists ({arn}).",
        duplicate_code="ResourceInUse",
        order="Descending",
        status="MonitoringScheduleStatus",
    )
    stored_only = frozenset({"ListMonitoringAlerts"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._executions = Resources(
            _Executions(
                name="MonitoringExecution",
                slug="monitoring-execution",
                missing="Could not find execution {name}.",
                duplicate="Execution {name} exists.",
                order="Descending",
                status="MonitoringExecutionStatus",
            ),
            context.store,
            context.cloud,
        )
        self._definitions = {
            family.monitoring_type: Resources(family.kind, context.store, context.cloud)
            for family in job_definitions.FAMILIES
        }
        self._clock = Clock(context.settings.monitoring_hour, self._tick, self._next)
        context.observers.append(self._heard)

    def start(self) -> None:
        """Settle executions whose job ended with an earlier instance; start the clock."""
        for execution in self._executions.all():
            if execution["MonitoringExecutionStatus"] in _ENDED or "_due" in execution:
                continue
            job = self.context.store.get("ProcessingJob", execution.get("_job", ""))
            if job:
                self._heard("ProcessingJob", job)
            else:
                self._end(execution["_Key"], "Failed", RESTARTED)
        self._clock.start()

    def close(self) -> None:
        """Start no further run."""
        self._clock.close()

    def changed(self, record: Record) -> None:
        """Emit the schedule's state."""
        self.context.cloud.emit(
            "SageMaker Monitoring Schedule State Change",
            events.detail("MonitoringSchedule", record),
            [record["MonitoringScheduleArn"]],
        )

    @operation
    def create_monitoring_schedule(self, request: Record) -> Record:
        """Check the schedule and put it in force."""
        members = self._check(request["MonitoringScheduleConfig"])
        name = request["MonitoringScheduleName"]
        self.resources.create(name, request, MonitoringScheduleStatus="Pending", **members)
        record = self.resources.update(name, {"MonitoringScheduleStatus": "Scheduled"})
        self._clock.wake()
        return record

    @operation
    def update_monitoring_schedule(self, request: Record) -> Record:
        """Replace a schedule's configuration."""
        config = request["MonitoringScheduleConfig"]
        members = {"EndpointName": None, "MonitoringJobDefinitionName": None, **self._check(config)}
        record = self.resources.update(
            request["MonitoringScheduleName"], {"MonitoringScheduleConfig": config, **members}
        )
        self._clock.wake()
        return record

    @operation
    def start_monitoring_schedule(self, request: Record) -> None:
        """Put a stopped schedule in force again."""
        change = {"MonitoringScheduleStatus": "Scheduled", "_since": time.time()}
        self.resources.update(request["MonitoringScheduleName"], change)
        self._clock.wake()

    @operation
    def stop_monitoring_schedule(self, request: Record) -> None:
        """Let a schedule start no further run; one that runs goes on."""
        change = {"MonitoringScheduleStatus": "Stopped"}
        self.resources.update(request["MonitoringScheduleName"], change)
        self._abandon(request["MonitoringScheduleName"])

    @operation
    def delete_monitoring_schedule(self, request: Record) -> None:
        """Stop and remove a schedule; its executions are kept."""
        self.resources.delete(request["MonitoringScheduleName"])
        self._abandon(request["MonitoringScheduleName"])

    @operation
    def describe_monitoring_schedule(self, request: Record) -> Record:
        """Return a schedule and its last execution."""
        record = self.resources.get(request["MonitoringScheduleName"])
        executions = self._of(record["MonitoringScheduleName"])
        last = {"LastMonitoringExecutionSummary": executions[-1]} if executions else {}
        return {**record, **last}

    @operation
    def list_monitoring_schedules(self, request: Record) -> Record:
        """List schedules."""
        return self.resources.list(_by_type(request))

    @operation
    def list_monitoring_executions(self, request: Record) -> Record:
        """List the runs of all schedules, or of one."""
        return self._executions.list(_by_type(request))

    @operation
    def list_monitoring_alerts(self, request: Record) -> Record:
        """Return no alerts: the local AWS makes none."""
        self.resources.get(request["MonitoringScheduleName"])
        return {"MonitoringAlertSummaries": []}

    def _check(self, config: Record) -> Record:
        """Return what a schedule's record says of its configuration; refuse what cannot run."""
        if ("MonitoringJobDefinition" in config) == ("MonitoringJobDefinitionName" in config):
            raise invalid(
                "Exactly one of MonitoringJobDefinition and MonitoringJobDefinitionName is needed."
            )
        definition = self._definition(config)
        when = config.get("ScheduleConfig", {})
        window(time.time(), when, definition.given, self.context.settings.monitoring_hour)
        every = cadence(when).every
        parts = 2 if definition.monitoring_type in MERGED else 1
        longest = every * _HOUR // parts
        if every and (definition.limit or 0) > longest:
            raise invalid(
                f"MaxRuntimeInSeconds must be at most {longest} for this schedule, since it cannot "
                "exceed the frequency of the job."
            )
        # Refused as users report: aws/sagemaker-python-sdk, issue 4873.
        self.context.call("DescribeEndpoint", {"EndpointName": definition.endpoint})
        members = {
            "MonitoringType": definition.monitoring_type,
            "EndpointName": definition.endpoint,
            "_since": time.time(),
        }
        if name := config.get("MonitoringJobDefinitionName"):
            members["MonitoringJobDefinitionName"] = name
        return members

    def _definition(self, config: Record) -> Definition:
        if "MonitoringJobDefinition" in config:
            if config.get("MonitoringType", "DataQuality") != "DataQuality":
                raise invalid("This MonitoringType needs a MonitoringJobDefinitionName.")
            return Definition.inline(config["MonitoringJobDefinition"])
        kind = config.get("MonitoringType", "DataQuality")
        record = self._definitions[kind].get(config["MonitoringJobDefinitionName"])
        return Definition.typed(kind, record)

    # What the clock does

    def _tick(self, tick: int, begun: float) -> None:
        """Make the executions that are due, and start those whose time has come."""
        for schedule in self.resources.all():
            if schedule["MonitoringScheduleStatus"] != "Scheduled":
                continue
            rhythm = cadence(schedule["MonitoringScheduleConfig"].get("ScheduleConfig", {}))
            if not rhythm.every:
                self._plan(schedule, schedule["_since"], 0.0)
            elif rhythm.is_due(tick) and schedule["_since"] <= begun:
                self._plan(schedule, begun, self.context.settings.monitoring_delay)
        for execution in self._executions.all():
            if execution.get("_due", math.inf) <= time.time():
                self._run(execution)

    def _next(self) -> float:
        """Return when the next job of an execution is due."""
        times = [execution.get("_due", math.inf) for execution in self._executions.all()]
        return min(times, default=math.inf)

    def _plan(self, schedule: Record, scheduled: float, delay: float) -> None:
        """Make an execution, unless it is made: its key names schedule and time."""
        name = schedule["MonitoringScheduleName"]
        text = f"{name} {schedule['CreationTime']} {scheduled}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        key = f"{time.strftime('%Y%m%d%H%M', time.gmtime(scheduled))}-{digest[:24]}"
        if self.context.store.get("MonitoringExecution", key):
            return
        shown = ("EndpointName", "MonitoringJobDefinitionName", "MonitoringType")
        self._executions.create(
            key,
            {member: schedule[member] for member in shown if member in schedule},
            MonitoringScheduleName=name,
            ScheduledTime=scheduled,
            MonitoringExecutionStatus="Pending",
            # AWS starts a run 0 to 20 minutes late; each run has its own lateness, always the same.
            _due=scheduled + delay * int(digest[:4], 16) / 0x10000,
            _merged=schedule["MonitoringType"] not in MERGED,
        )

    def _run(self, execution: Record) -> None:
        """Start an execution's next job; what prevents it is the execution's failure."""
        key = execution["_Key"]
        try:
            schedule = self.resources.get(execution["MonitoringScheduleName"])
            request = self._request(execution, schedule)
            name = request["ProcessingJobName"]
            cloud = self.context.cloud
            arn = f"arn:aws:sagemaker:{cloud.region}:{cloud.account_id}:processing-job/{name}"
            started = {"MonitoringExecutionStatus": "InProgress", "ProcessingJobArn": arn}
            self._executions.update(key, {**started, "_job": name, "_due": None})
            self.context.call("CreateProcessingJob", request)
            arn = schedule["MonitoringScheduleArn"]
            self.context.store.update(
                "ProcessingJob", name, lambda record: record.update(MonitoringScheduleArn=arn)
            )
        except (NoDataError, TransferError) as error:
            self._end(key, "Failed", str(error))
        except ServiceError as error:
            self._end(key, "Failed", error.message)
        except Exception as error:  # a run's boundary: every execution ends in a status
            logger.exception("execution %s", key)
            self._end(key, "Failed", f"InternalServerError: {type(error).__name__}: {error}")

    def _request(self, execution: Record, schedule: Record) -> Record:
        config, settings = schedule["MonitoringScheduleConfig"], self.context.settings
        definition = self._definition(config)
        begins, ends = window(
            execution["ScheduledTime"],
            config.get("ScheduleConfig", {}),
            definition.given,
            settings.monitoring_hour,
        )
        credentials = self.context.assume(definition.role, execution["_Key"])
        run = Run(
            definition,
            schedule["MonitoringScheduleName"],
            execution["_Key"],
            execution["ScheduledTime"],
            begins,
            ends,
            self.context.call,
            S3(self.context.cloud, credentials),
            self.context.cloud.region,
        )
        return run.monitor_request() if execution["_merged"] else run.merge_request()

    # What becomes of the jobs

    def _heard(self, kind: str, job: Record) -> None:
        """Follow the processing jobs of executions."""
        if kind != "ProcessingJob":
            return
        prefix = job["ProcessingJobName"].rsplit("-", 2)[0]
        if prefix not in _JOBS:
            return
        key = job["ProcessingJobName"].removeprefix(f"{prefix}-")
        execution = self.context.store.get("MonitoringExecution", key)
        if execution is None or execution["MonitoringExecutionStatus"] in _ENDED:
            return
        status = job["ProcessingJobStatus"]
        if status == "Completed" and prefix == MERGE:
            self._executions.update(key, {"_merged": True, "_due": 0.0})
            self._clock.wake()
        elif status == "Completed":
            publish(self.context, execution["MonitoringType"], job["ProcessingJobName"])
            violated = job.get("ExitMessage", "").startswith("CompletedWithViolations")
            self._end(key, "CompletedWithViolations" if violated else "Completed")
        elif status in ("Failed", "Stopped"):
            self._end(key, status, job.get("FailureReason"))
        elif status == "Stopping":
            self._executions.update(key, {"MonitoringExecutionStatus": "Stopping"})

    def _end(self, key: str, status: str, reason: str | None = None) -> None:
        change = {"MonitoringExecutionStatus": status, "FailureReason": reason and reason[:1024]}
        self._executions.update(key, {**change, "_due": None})

    def _abandon(self, schedule: str) -> None:
        """Stop the executions of a schedule that have not begun."""
        for execution in self._of(schedule):
            if execution["MonitoringExecutionStatus"] == "Pending":
                self._end(execution["_Key"], "Stopped")

    def _of(self, schedule: str) -> list[Record]:
        return [
            execution
            for execution in self._executions.all()
            if execution["MonitoringScheduleName"] == schedule
        ]


def _by_type(request: Record) -> Record:
    """Return a list's request with its filters named as the records' members."""
    renamed = {"MonitoringTypeEquals": "MonitoringType"}
    return {renamed.get(member, member): value for member, value in request.items()}
