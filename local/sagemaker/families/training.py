"""Training jobs: CreateTrainingJob and what a job goes through."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from local.sagemaker import events
from local.sagemaker.errors import invalid
from local.sagemaker.families.base import operation
from local.sagemaker.families.jobs import TERMINAL, JobFamily, check_request
from local.sagemaker.jobs import warm_pools
from local.sagemaker.jobs.line import End, Job
from local.sagemaker.jobs.training import DAY, TrainingRun
from local.sagemaker.jobs.training_checks import check
from local.sagemaker.jobs.training_metrics import built_in
from local.sagemaker.resources import Kind
from local.sagemaker.store import Record

# AWS answers these, and a KmsKeyId, whether given or not; the SDK's Estimator.attach relies on it.
_SWITCHES = {
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
}
_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "Interrupted": "Training job interrupted: the managed spot instances were taken away",
    "Restarting": "Restarting the training job after an internal error",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}


class TrainingJobs(JobFamily):
    """Training jobs: containers' programs, run as processes."""

    kind = Kind(
        name="TrainingJob",
        slug="training-job",
        missing="Requested resource not found.",
        duplicate="Job name must be unique within an AWS account and region, and a training job "
        "with this name already exists ({arn})",
        duplicate_code="ResourceInUse",
        status="TrainingJobStatus",
    )
    noun = "training job"

    def changed(self, record: Record) -> None:
        """Emit the job's state."""
        self.context.cloud.emit(
            "SageMaker Training Job State Change",
            events.detail("TrainingJob", record),
            [record["TrainingJobArn"]],
        )

    @operation
    def create_training_job(self, request: Record) -> Record:
        """Queue a job."""
        check(request, self.context.settings.job_instances)
        check_request(self.context, request)
        algorithm = request["AlgorithmSpecification"]
        image = self.context.images.find(algorithm["TrainingImage"])
        image.argv("train", algorithm.get("ContainerEntrypoint"))
        name = request["TrainingJobName"]
        self.context.assume(request["RoleArn"], name)
        scripted = "sagemaker_program" in (request.get("HyperParameters") or {})
        if not scripted and "MetricDefinitions" not in algorithm:
            metrics = built_in(image.algorithm, request)
            algorithm = {**algorithm, **({"MetricDefinitions": metrics} if metrics else {})}
        record = self.resources.create(
            name,
            {**_SWITCHES, **request, "AlgorithmSpecification": algorithm},
            OutputDataConfig={"KmsKeyId": "", **request["OutputDataConfig"]},
            StoppingCondition=request.get("StoppingCondition") or {"MaxRuntimeInSeconds": DAY},
            TrainingJobStatus="InProgress",
            SecondaryStatus="Starting",
            SecondaryStatusTransitions=[_transition("Starting", time.time())],
            ProfilingStatus="Disabled",
        )
        self.submit(record)
        return record

    @operation
    def describe_training_job(self, request: Record) -> Record:
        """Return a job, its warm pool as it is now."""
        return warm_pools.shown(self.resources.get(request["TrainingJobName"]), time.time())

    @operation
    def list_training_jobs(self, request: Record) -> Record:
        """Return a page of jobs, by their warm pools' status if asked."""
        wanted = request.get("WarmPoolStatusEquals")
        now = time.time()
        jobs = [warm_pools.shown(record, now) for record in self.resources.all()]
        if wanted:
            jobs = [job for job in jobs if job.get("WarmPoolStatus", {}).get("Status") == wanted]
        rest = {key: value for key, value in request.items() if key != "WarmPoolStatusEquals"}
        return self.resources.list(rest, jobs)

    @operation
    def update_training_job(self, request: Record) -> Record:
        """Keep a warm pool longer or end it; keep profiler and debugging settings."""
        record = self.resources.get(request["TrainingJobName"])
        members: Record = {}
        for member in ("ProfilerConfig", "ProfilerRuleConfigurations", "RemoteDebugConfig"):
            if member in request:
                if record["TrainingJobStatus"] in TERMINAL:
                    raise invalid(f"{member} cannot be updated: the training job has ended.")
                members[member] = request[member]
        if "ResourceConfig" in request:
            period = request["ResourceConfig"]["KeepAlivePeriodInSeconds"]
            members |= warm_pools.extend(record, period, time.time())
        return self.resources.update(record["TrainingJobName"], members)

    def mark_stopping(self, name: str) -> None:
        """Record that a job is being stopped, unless it has ended."""
        self._step(name, "Stopping", "Stopping")

    def fail(self, name: str, reason: str) -> None:
        """Record that a job failed; a restart may have cut it short in its pool."""
        warm_pools.release(self.resources, name, False, time.time())
        self._step(name, "Failed", "Failed", FailureReason=reason)

    def resume(self, record: Record) -> bool:
        """Retry a job that the restart of the local AWS ended, as its RetryStrategy allows."""
        attempts = record.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
        tried = record.get("_attempts", 0)
        if record["TrainingJobStatus"] == "Stopping" or tried >= attempts:
            return False
        self._step(record["TrainingJobName"], "InProgress", "Restarting", _attempts=tried + 1)
        self._step(record["TrainingJobName"], "InProgress", "Starting")
        self.submit(record)
        return True

    def work(self, record: Record, tree: Path, job: Job) -> None:
        """Carry a job out, up to a terminal status. Raises JobFailedError."""
        name = record["TrainingJobName"]
        run = TrainingRun(self.context, record, job, tree)
        secondary = "Failed"
        try:
            warm_pools.take(self.resources, record, time.time())
            secondary = self._carry_out(name, run)
        finally:
            job.check()
            self.resources.update(name, run.results())
            warm_pools.release(self.resources, name, secondary == "Completed", time.time())
        is_over = secondary in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded")
        self._step(name, "Stopped" if is_over else secondary, secondary)

    def _carry_out(self, name: str, run: TrainingRun) -> str:
        """Take a job through its stages; return the secondary status it ends in."""
        end = End.INTERRUPTED
        while end is End.INTERRUPTED:
            if run.job.stopping:
                return "Stopped"
            self._step(name, "InProgress", "Downloading")
            run.download()
            if run.job.stopping:
                return "Stopped"
            self._step(name, "InProgress", "Training")
            end = run.train(lambda end: self._tell_end(name, end))
            if end is End.INTERRUPTED:
                self._step(name, "InProgress", "Starting")
        self._step(name, "InProgress", "Uploading", **run.results())
        run.upload()
        return {
            End.EXITED: "Completed",
            End.STOPPED: "Stopped",
            End.TIMED_OUT: "MaxRuntimeExceeded",
            End.WAITED_OUT: "MaxWaitTimeExceeded",
        }[end]

    def _tell_end(self, name: str, end: End) -> None:
        """Record why the containers are being ended, while they have their grace."""
        if end in (End.TIMED_OUT, End.WAITED_OUT):
            self.mark_stopping(name)
        elif end is End.INTERRUPTED:
            self._step(name, "InProgress", "Interrupted")

    def _step(self, name: str, status: str, secondary: str, **members: Any) -> None:
        """Record a status; a job that is asked to stop stays Stopping until it ends."""

        def change(record: Record) -> None:
            now = time.time()
            transitions = record["SecondaryStatusTransitions"]
            terminal = status in TERMINAL
            if record["TrainingJobStatus"] in TERMINAL:
                return  # a stop that came too late
            if record["TrainingJobStatus"] == "Stopping" and not terminal:
                record.update(members)
                return
            if secondary == "Training":
                record.setdefault("TrainingStartTime", now)
            transitions[-1]["EndTime"] = now
            transitions.append(_transition(secondary, now, terminal))
            record.update(TrainingJobStatus=status, SecondaryStatus=secondary, **members)

        self.resources.update(name, change)


def _transition(status: str, now: float, ended: bool = False) -> Record:
    transition = {"Status": status, "StartTime": now, "StatusMessage": _MESSAGES[status]}
    return {**transition, **({"EndTime": now} if ended else {})}
