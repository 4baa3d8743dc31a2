"""Experiments: trials, their components, and the metrics put to a component."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from typing import Any

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.families.base import Operations, operation
from local.sagemaker.families.lineage import EntityFamily, kind
from local.sagemaker.resources import Resources
from local.sagemaker.store import Record

_EXPERIMENT = kind("Experiment", "experiment", ignores_case=True)
_TRIAL = kind("Trial", "experiment-trial", ignores_case=True)
_COMPONENT = kind("TrialComponent", "experiment-trial-component", ignores_case=True)
_PERIODS = {"OneMinute": 60, "FiveMinute": 300, "OneHour": 3600}
_STATISTICS: dict[str, Any] = {
    "Min": min,
    "Max": max,
    "Avg": statistics.fmean,
    "Count": len,
    "StdDev": statistics.pstdev,
    "Last": lambda values: values[-1],
}


class Experiments(EntityFamily):
    """Experiments, which hold trials."""

    kind = _EXPERIMENT

    def add(self, request: Record) -> Record:
        """Make an experiment."""
        return super().add(_displayed(request, "ExperimentName"))

    def remove(self, request: Record) -> Record:
        """Remove an experiment that has no trial."""
        name = self.resources.name(request["ExperimentName"])
        if any(trial["ExperimentName"] == name for trial in self.context.store.all(_TRIAL.name)):
            raise invalid(f"Experiment {name} has trials; delete them first.")
        return super().remove(request)


class Trials(EntityFamily):
    """Trials, which hold components."""

    kind = _TRIAL

    def add(self, request: Record) -> Record:
        """Make a trial of an experiment that exists."""
        Resources(_EXPERIMENT, self.context.store, self.context.cloud).get(
            request["ExperimentName"]
        )
        return super().add(_displayed(request, "TrialName"))

    def remove(self, request: Record) -> Record:
        """Remove a trial that has no component."""
        name = self.resources.name(request["TrialName"])
        components = self.context.store.all(_COMPONENT.name)
        if any(name in component["_trials"] for component in components):
            raise invalid(f"Trial {name} has trial components; disassociate them first.")
        return super().remove(request)

    def filtered(self, rows: list[Record], filters: Record) -> list[Record]:
        """Filter by experiment and component."""
        experiment = filters.pop("ExperimentName", None)
        component = filters.pop("TrialComponentName", None)
        if component:
            components = Resources(_COMPONENT, self.context.store, self.context.cloud)
            trials = components.get(component)["_trials"]
            rows = [row for row in rows if row["TrialName"] in trials]
        return [row for row in rows if experiment in (None, row["ExperimentName"])]


class TrialComponents(EntityFamily):
    """Trial components, in any number of trials.

    A record keeps the names of its trials and its raw metrics.
    """

    kind = _COMPONENT

    def add(self, request: Record) -> Record:
        """Make a component of no trial."""
        shown = _displayed(request, "TrialComponentName")
        return super().add({**shown, "_trials": [], "_metrics": {}})

    def remove(self, request: Record) -> Record:
        """Remove a component that is in no trial."""
        record = self.resources.get(request["TrialComponentName"])
        if record["_trials"]:
            trials = ", ".join(record["_trials"])
            raise invalid(f"Disassociate the trial component from its trials first: {trials}.")
        return super().remove(request)

    def filtered(self, rows: list[Record], filters: Record) -> list[Record]:
        """Filter by experiment, trial and source."""
        experiment, trial = filters.pop("ExperimentName", None), filters.pop("TrialName", None)
        source = filters.pop("SourceArn", None)
        if experiment:
            trials = self.context.store.all(_TRIAL.name)
            names = {each["TrialName"] for each in trials if each["ExperimentName"] == experiment}
            rows = [row for row in rows if names & set(row["_trials"])]
        return [
            {**row, "TrialComponentSource": row.get("Source")}
            for row in rows
            if (trial is None or trial in row["_trials"])
            and source in (None, row.get("Source", {}).get("SourceArn"))
        ]

    @operation
    def describe_trial_component(self, request: Record) -> Record:
        """Describe a component, with statistics of its metrics."""
        record = self.resources.get(request["TrialComponentName"])
        source = record.get("Source", {}).get("SourceArn", record["TrialComponentArn"])
        metrics = [
            {"MetricName": name, "SourceArn": source, **_summary(points)}
            for name, points in record["_metrics"].items()
        ]
        sources = [record["Source"]] if "Source" in record else None
        return {**record, "Metrics": metrics, "Sources": sources}

    @operation
    def associate_trial_component(self, request: Record) -> Record:
        """Put a component into a trial."""

        def change(record: Record) -> None:
            if request["TrialName"] not in record["_trials"]:
                record["_trials"].append(request["TrialName"])

        return self._with_trial(request, change)

    @operation
    def disassociate_trial_component(self, request: Record) -> Record:
        """Take a component out of a trial."""

        def change(record: Record) -> None:
            if request["TrialName"] not in record["_trials"]:
                raise ServiceError("ResourceNotFound", "The trial component is not in the trial.")
            record["_trials"].remove(request["TrialName"])

        return self._with_trial(request, change)

    def _with_trial(self, request: Record, change: Any) -> Record:
        trial = Resources(_TRIAL, self.context.store, self.context.cloud).get(request["TrialName"])
        name = self.resources.name(request["TrialComponentName"])
        return {**self.resources.update(name, change), "TrialArn": trial["TrialArn"]}


class Metrics(Operations):
    """Metrics of trial components, in batches."""

    def __init__(self, context: Context, components: TrialComponents) -> None:
        self._store = context.store
        self._components = components.resources

    @operation
    def batch_put_metrics(self, request: Record) -> Record:
        """Add values to a component's metrics."""

        def change(record: Record) -> None:
            for datum in request["MetricData"]:
                point = [datum["Timestamp"], datum.get("Step"), datum["Value"]]
                record["_metrics"].setdefault(datum["MetricName"], []).append(point)

        self._components.update(request["TrialComponentName"], change)
        return {}

    @operation
    def batch_get_metrics(self, request: Record) -> Record:
        """Return statistics of metrics, by step or by period of time."""
        return {"MetricQueryResults": [self._answer(query) for query in request["MetricQueries"]]}

    def _answer(self, query: Record) -> Record:
        points = self._points(query)
        if points is None:
            reason = {"Status": "ValidationError", "Message": "There is no such resource."}
            return {**reason, "XAxisValues": [], "MetricValues": []}
        groups: dict[int, list[float]] = defaultdict(list)
        for when, step, value in sorted(points, key=lambda point: point[0]):
            if (step is None) and query["XAxisType"] == "IterationNumber":
                continue
            period = _PERIODS.get(query["Period"], 1)
            at = step if query["XAxisType"] == "IterationNumber" else int(when // period * period)
            if query.get("Start", at) <= at <= query.get("End", at):
                groups[at].append(value)
        values = [float(_STATISTICS[query["MetricStat"]](groups[at])) for at in sorted(groups)]
        return {"Status": "Complete", "XAxisValues": sorted(groups), "MetricValues": values}

    def _points(self, query: Record) -> list[Any] | None:
        """Return a metric's values; the resource is a component, or the job that it is of."""
        arn = query["ResourceArn"]
        for record in self._components.all():
            if arn in (record["TrialComponentArn"], record.get("Source", {}).get("SourceArn")):
                points: list[Any] = record["_metrics"].get(query["MetricName"], [])
                return points
        return None


def _displayed(request: Record, key: str) -> Record:
    """Return a request whose name is displayed unless it has a DisplayName, as on AWS."""
    return {"DisplayName": request[key], **request}


def _summary(points: list[Any]) -> Record:
    values = [value for _, _, value in points]
    shown = {name: compute(values) for name, compute in _STATISTICS.items()}
    return {**shown, "TimeStamp": max((when for when, _, _ in points), default=time.time())}
