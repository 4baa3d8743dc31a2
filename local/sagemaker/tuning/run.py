"""One tuning job's work: training jobs started, followed, stopped, and learnt from.

It runs in a thread of its own, not in the jobs' line, where it would take the place of a training
job it waits for. Whatever happens to its training jobs wakes it; it reads their records.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.families.jobs import TERMINAL
from local.sagemaker.store import Record
from local.sagemaker.tuning import children, stopping
from local.sagemaker.tuning.definitions import Definition, child_name, hyperband_resources
from local.sagemaker.tuning.search import Grid, Random, Search, Study, Values

_PATIENCE = 5  # training jobs without an objective, after which a tuning job gives up
logger = logging.getLogger(__name__)


@dataclass
class Trial:
    """A training job of the tuning job, and what is known of its objective."""

    number: int
    name: str
    definition: Definition
    search: Search
    tuned: Values
    history: list[float] = field(default_factory=list)
    """The objective's values as they were emitted: one an epoch."""
    judged: int = 0
    is_stopping: bool = False
    status: str = "InProgress"
    value: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the training job is at its end."""
        return self.status in TERMINAL

    @property
    def child(self) -> Record:
        """Return what the tuning job's record keeps of it."""
        return {
            "name": self.name,
            "definition": self.definition.name,
            "tuned": self.tuned,
            "metric": self.definition.metric,
            "type": "Maximize" if self.definition.maximize else "Minimize",
        }


class TuningRun:
    """A tuning job at work. `run` returns its terminal status and what else its record learns."""

    def __init__(
        self,
        context: Context,
        record: Record,
        definitions: list[Definition],
        earlier: Iterable[tuple[Values, float]] = (),
    ) -> None:
        self.name: str = record["HyperParameterTuningJobName"]
        self.trials: dict[str, Trial] = {}
        self._context, self._record, self._definitions = context, record, definitions
        self._config = record["HyperParameterTuningJobConfig"]
        self._earlier = list(earlier)
        self._maximize = definitions[0].maximize
        self._wake = threading.Event()
        self._stopping = self._closing = False
        self._ended_by = self._refusal = ""
        self._exhausted: set[int] = set()
        self._finished: list[Trial] = []
        self._converged: float | None = None

    def stop(self) -> None:
        """Ask the run to end, its training jobs with it."""
        self._stopping = True
        self._wake.set()

    def close(self) -> None:
        """Abandon the run: its record stays as it is, for the next start to settle."""
        self._closing = True
        self._wake.set()

    def wake(self) -> None:
        """Tell the run that one of its training jobs has changed."""
        self._wake.set()

    def hear(self, job: str, metric: str, value: float) -> None:
        """Take a value that a training job emitted."""
        trial = self.trials[job]
        if metric == trial.definition.metric:
            trial.history.append(value)
            self._wake.set()

    def run(self) -> Record | None:
        """Tune; return what the record learns at the end, None if the emulator is closing."""
        searches = [self._search(*pair) for pair in enumerate(self._definitions)]
        deadline = self._record["CreationTime"] + self._limits.get("MaxRuntimeInSeconds", math.inf)
        while not self._closing:
            self._wake.clear()
            self._read_trials()
            running = [trial for trial in self.trials.values() if not trial.has_ended]
            if self._is_over(time.time() >= deadline):
                if not running:
                    return self._outcome()
                self._stop_trials(running)
            else:
                self._judge(running)
                if not self._launch(searches, len(running)) and not running:
                    return self._outcome()
                if self._ended_by:
                    continue
            left = deadline - time.time()
            self._wake.wait(max(left, 0.1) if math.isfinite(left) else None)
        return None

    @property
    def _limits(self) -> Record:
        limits: Record = self._config["ResourceLimits"]
        return limits

    def _search(self, number: int, definition: Definition) -> Search:
        seed = self._config.get("RandomSeed")
        seed = random.randrange(2**31) if seed is None else seed + number  # noqa: S311 - a search
        strategy = self._config["Strategy"]
        if strategy == "Random":
            return Random(definition.ranges, seed)
        if strategy == "Grid":
            return Grid(definition.ranges, seed)
        if strategy == "Hyperband":
            resources = hyperband_resources(self._config, definition)
            return Study(definition.ranges, seed, definition.maximize, resources)
        study = Study(definition.ranges, seed, definition.maximize)
        for values, value in self._earlier:
            study.learn(values, value)
        return study

    def _read_trials(self) -> None:
        """Learn which training jobs have ended, and with what objective."""
        for trial in self.trials.values():
            if trial.has_ended:
                continue
            job = self._context.store.get("TrainingJob", trial.name)
            if job is None:
                trial.status = "Stopped"  # it was deleted
            elif job["TrainingJobStatus"] in TERMINAL:
                trial.value = children.value_of(children.summary(job, trial.child))
                trial.status = job["TrainingJobStatus"]
            if trial.has_ended:
                self._finished.append(trial)
                trial.search.tell(trial.number, trial.value)

    def _is_over(self, is_late: bool) -> bool:
        """Whether to launch no more, for a reason that `_ended_by` keeps."""
        values = [trial.value for trial in self._finished if trial.value is not None]
        criteria = self._config.get("TuningJobCompletionCriteria", {})
        if self._ended_by:
            return True
        if self._stopping:
            self._ended_by = "Stopped"
        elif not values and len(self._finished) >= _PATIENCE:
            self._ended_by = "Failed"
        elif is_late or self._has_reached(criteria, values):
            self._ended_by = "Completed"
        return bool(self._ended_by)

    def _has_reached(self, criteria: Record, values: list[float]) -> bool:
        target = criteria.get("TargetObjectiveMetricValue")
        patience = criteria.get("BestObjectiveNotImproving", {}).get(
            "MaxNumberOfTrainingJobsNotImproving"
        )
        if stopping.has_converged(values, self._maximize) and self._converged is None:
            self._converged = time.time()
        wanted = criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled"
        return (
            (wanted and self._converged is not None)
            or (
                target is not None
                and any(not stopping.is_better(target, value, self._maximize) for value in values)
            )
            or (
                patience is not None
                and stopping.without_improvement(values, self._maximize) >= patience
            )
        )

    def _judge(self, running: list[Trial]) -> None:
        """Stop training jobs that are not worth their time, epoch by epoch."""
        is_median = self._config.get("TrainingJobEarlyStoppingType") == "Auto"
        for trial in running:
            while trial.judged < len(trial.history) and not trial.is_stopping:
                trial.judged += 1
                history = trial.history[: trial.judged]
                hopeless = trial.search.report(trial.number, trial.judged, history[-1])
                if is_median:
                    earlier = [
                        each.history
                        for each in self._finished
                        if each.definition is trial.definition and each.status == "Completed"
                    ]
                    hopeless = stopping.is_hopeless(history, earlier, self._maximize)
                if hopeless:
                    self._stop_trials([trial])

    def _launch(self, searches: list[Search], running: int) -> bool:
        """Start training jobs up to the limits; return whether any is left to come or was."""
        most = self._limits.get("MaxNumberOfTrainingJobs", math.inf)
        launched = False
        while running < self._limits["MaxParallelTrainingJobs"] and len(self.trials) < most:
            number = len(self.trials) + 1
            open_ = [index for index in range(len(searches)) if index not in self._exhausted]
            if not open_:
                break
            index = open_[(number - 1) % len(open_)]
            tuned = searches[index].ask(number)
            if tuned is None:
                self._exhausted.add(index)
                continue
            if not self._start(number, self._definitions[index], searches[index], tuned):
                return True
            launched, running = True, running + 1
        return launched

    def _start(self, number: int, definition: Definition, search: Search, tuned: Values) -> bool:
        name = child_name(self.name, number)
        trial = Trial(number, name, definition, search, tuned)
        self.trials[name] = trial  # before the job is there, so that nothing of it is missed
        request = definition.training_job(name, tuned, self._record.get("Tags", []))
        try:
            self._context.call("CreateTrainingJob", request)
        except ServiceError as error:
            del self.trials[name]
            self._ended_by = "Failed"
            self._refusal = f"ClientError: a training job was refused: {error.message}"
            return False
        arn = self._record["HyperParameterTuningJobArn"]
        self._context.store.update("TrainingJob", name, lambda job: job.update(TuningJobArn=arn))
        self._context.store.update(
            "HyperParameterTuningJob",
            self.name,
            lambda record: record.setdefault("_children", []).append(trial.child),
        )
        return True

    def _stop_trials(self, trials: list[Trial]) -> None:
        for trial in trials:
            if trial.is_stopping:
                continue
            trial.is_stopping = True
            try:
                self._context.call("StopTrainingJob", {"TrainingJobName": trial.name})
            except ServiceError as error:
                logger.debug("%s ended by itself: %s", trial.name, error)

    def _outcome(self) -> Record:
        """Return the terminal status, and why it is Failed."""
        values = [trial.value for trial in self._finished if trial.value is not None]
        details = {
            "NumberOfTrainingJobsObjectiveNotImproving": stopping.without_improvement(
                values, self._maximize
            ),
            "ConvergenceDetectedTime": self._converged,
        }
        outcome: Record = {
            "HyperParameterTuningJobStatus": self._ended_by or "Completed",
            "TuningJobCompletionDetails": {
                name: value for name, value in details.items() if value is not None
            },
        }
        if self._refusal:
            outcome["FailureReason"] = self._refusal
        elif not values and self._ended_by != "Stopped":
            outcome["HyperParameterTuningJobStatus"] = "Failed"
            outcome["FailureReason"] = self._why_no_objective()
        return outcome

    def _why_no_objective(self) -> str:
        count = len(self._finished)
        if any(trial.status == "Completed" for trial in self._finished):
            metrics = sorted({definition.metric for definition in self._definitions})
            return (
                f"ClientError: No objective metrics found after running {count} training jobs. "
                "Please ensure that the custom algorithm is emitting the objective metric "
                f"({', '.join(metrics)}) as defined by the regular expression provided."
            )
        return (
            "ClientError: All training jobs failed. Please take a look at the training jobs' "
            f"failure reasons to get more details ({count} ended without an objective)."
        )
