"""Hyperparameter tuning jobs: CreateHyperParameterTuningJob and what a job goes through."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from local.sagemaker import events
from local.sagemaker.context import Context
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.base import operation
from local.sagemaker.families.jobs import JobFamily
from local.sagemaker.jobs.training_metrics import built_in
from local.sagemaker.resources import Kind, paginate
from local.sagemaker.store import Record
from local.sagemaker.tuning import children, definitions, warm_start
from local.sagemaker.tuning.definitions import Definition
from local.sagemaker.tuning.run import TuningRun

# What a record has only once its job has ended; until then it is counted when it is asked for.
_LIVE = (
    "TrainingJobStatusCounters",
    "ObjectiveStatusCounters",
    "BestTrainingJob",
    "OverallBestTrainingJob",
)
logger = logging.getLogger(__name__)


class HyperParameterTuningJobs(JobFamily):
    """Tuning jobs, which search for the best hyperparameters by training jobs."""

    kind = Kind(
        name="HyperParameterTuningJob",
        slug="hyper-parameter-tuning-job",
        missing="Amazon SageMaker can't find a tuning job with name: {name}",
        missing_code="ResourceNotFound",
        duplicate="Job name must be unique within an AWS account and region, and a "
        "hyperparameter tuning job with this name already exists ({arn})",
        duplicate_code="ResourceInUse",
        status="HyperParameterTuningJobStatus",
        ignores_case=True,
    )
    noun = "hyperparameter tuning job"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._runs: dict[str, TuningRun] = {}
        context.observers.append(self._see)
        context.metric_observers.append(self._hear)

    def close(self) -> None:
        """Abandon what runs."""
        for run in list(self._runs.values()):
            run.close()

    def changed(self, record: Record) -> None:
        """Emit the job's state."""
        self.context.cloud.emit(
            "SageMaker HyperParameter Tuning Job State Change",
            events.detail("HyperParameterTuningJob", self._shown(record)),
            [record["HyperParameterTuningJobArn"]],
        )

    @operation
    def create_hyper_parameter_tuning_job(self, request: Record) -> Record:
        """Begin to tune."""
        if "Autotune" in request:
            raise not_implemented("Autotune")
        config = request["HyperParameterTuningJobConfig"]
        found = definitions.parse(request)
        definitions.check_limits(config, found)
        for definition in found:
            self._check(definition)
        parents = [
            self.resources.get(parent["HyperParameterTuningJobName"])
            for parent in request.get("WarmStartConfig", {}).get(
                "ParentHyperParameterTuningJobs", []
            )
        ]
        warm_start.check(config, found, parents)
        earlier = warm_start.lessons(self.context.store, parents)
        record = self.resources.create(
            request["HyperParameterTuningJobName"],
            request,
            HyperParameterTuningJobStatus="InProgress",
            HyperParameterTuningJobConfig={"TrainingJobEarlyStoppingType": "Off", **config},
            Strategy=config["Strategy"],
            ResourceLimits=config["ResourceLimits"],
        )
        self._begin(TuningRun(self.context, record, found, earlier))
        return record

    @operation
    def describe_hyper_parameter_tuning_job(self, request: Record) -> Record:
        """Describe a job with its counters and best training job of now."""
        return definitions.shown(self._shown(self.resources.describe(request)))

    @operation
    def list_hyper_parameter_tuning_jobs(self, request: Record) -> Record:
        """List jobs, by name unless asked otherwise."""
        rows = [self._shown(record) for record in self.resources.all()]
        return self.resources.list({"SortBy": "Name", **request}, rows)

    @operation
    def list_training_jobs_for_hyper_parameter_tuning_job(self, request: Record) -> Record:
        """List a page of a job's training jobs, by name unless asked otherwise."""
        record = self.resources.get(request["HyperParameterTuningJobName"])
        rows = children.summaries(self.context.store, record)
        wanted = request.get("StatusEquals")
        rows = [row for row in rows if wanted in (None, row["TrainingJobStatus"])]
        by = request.get("SortBy", "Name")
        if by == "FinalObjectiveMetricValue":
            rows = [row for row in rows if children.value_of(row) is not None]

        def position(row: Record) -> list[Any]:
            keys = {
                "Name": row["TrainingJobName"],
                "CreationTime": row["CreationTime"],
                "Status": row["TrainingJobStatus"],
            }
            return [keys[by] if by in keys else children.value_of(row), row["TrainingJobName"]]

        descending = request.get("SortOrder") == "Descending"
        page, token = paginate(rows, request, position, descending)
        return {"TrainingJobSummaries": page, **({"NextToken": token} if token else {})}

    def mark_stopping(self, name: str) -> None:
        """Record that a job is being stopped, unless it has ended, and tell its run."""
        super().mark_stopping(name)
        if run := self._runs.get(name):
            run.stop()

    def fail(self, name: str, reason: str) -> None:
        """Record that a job failed."""
        self._end(name, {"HyperParameterTuningJobStatus": "Failed", "FailureReason": reason})

    def _begin(self, run: TuningRun) -> None:
        self._runs[run.name] = run
        thread = threading.Thread(target=self._tune, args=(run,), daemon=True)
        thread.name = f"sagemaker-tuning-{run.name}"
        thread.start()

    def _tune(self, run: TuningRun) -> None:
        """Take a job to a terminal status, whatever happens."""
        try:
            outcome = run.run()
            if outcome is not None:
                self._end(run.name, outcome)
        except Exception as error:  # a thread's boundary: every job ends in a status
            logger.exception("tuning job %s", run.name)
            self.fail(run.name, f"InternalServerError: {type(error).__name__}: {error}"[:1024])
        finally:
            self._runs.pop(run.name, None)

    def _end(self, name: str, members: Record) -> None:
        """Record a terminal status with the counters as they ended."""
        shown = self._shown(self.resources.get(name))
        now = time.time()
        kept = {member: shown.get(member) for member in _LIVE}
        self.resources.update(
            name,
            {
                **kept,
                "HyperParameterTuningEndTime": now,
                "ConsumedResources": {"RuntimeInSeconds": round(now - shown["CreationTime"])},
                **members,
            },
        )

    def _shown(self, record: Record) -> Record:
        """Return a record with its counters and best training job, live until it has ended."""
        if self._has_ended(record):
            return record
        found = children.summaries(self.context.store, record)
        maximize = definitions.parse(record)[0].maximize
        winner = children.best(found, maximize)
        live: Record = {
            **children.counters(found),
            "BestTrainingJob": winner,
            "ConsumedResources": {"RuntimeInSeconds": round(time.time() - record["CreationTime"])},
        }
        if record.get("WarmStartConfig", {}).get("WarmStartType") == "IdenticalDataAndAlgorithm":
            live["OverallBestTrainingJob"] = warm_start.overall_best(
                self._parents(record), record, winner, maximize
            )
        return {**record, **{name: value for name, value in live.items() if value is not None}}

    def _parents(self, record: Record) -> list[Record]:
        names = [
            parent["HyperParameterTuningJobName"]
            for parent in record["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
        ]
        found = [self.context.store.get(self.kind.name, name) for name in names]
        return [parent for parent in found if parent is not None]

    def _check(self, definition: Definition) -> None:
        """Refuse now what training jobs would be refused for, and an objective none can have."""
        algorithm = definition.request["AlgorithmSpecification"]
        image = self.context.images.find(algorithm["TrainingImage"])
        image.argv("train")
        self.context.assume(definition.request["RoleArn"], "hyperparameter-tuning")
        metrics = algorithm.get("MetricDefinitions")
        if metrics is None and "sagemaker_program" not in definition.static:
            metrics = built_in(image.algorithm, {"HyperParameters": definition.static})
        if definition.metric not in [metric["Name"] for metric in metrics or []]:
            raise invalid(
                "A metric is required for this hyperparameter tuning job objective. Provide a "
                f"metric in the metric definitions: none of them is named {definition.metric}."
            )

    def _see(self, kind: str, record: Record) -> None:
        if kind == "TrainingJob":
            for run in self._of(record["TrainingJobName"]):
                run.wake()

    def _hear(self, job: str, metric: str, value: float) -> None:
        for run in self._of(job):
            run.hear(job, metric, value)

    def _of(self, training_job: str) -> list[TuningRun]:
        return [run for run in list(self._runs.values()) if training_job in run.trials]
