"""Search: resources of a kind by any of their properties.

AWS (API_Search, API_SearchExpression, API_Filter): properties are named by their path, `Tags.KEY`
is a tag, `Metrics.NAME` a training job's metric, lists match by any of their elements; nested
filters hold for one element together.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable
from typing import Any

from local.sagemaker import shapes
from local.sagemaker.context import Context
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.families.base import Operations, operation
from local.sagemaker.resources import paginate
from local.sagemaker.store import Record

# What is searched -> the kind of its records, and the member of a SearchRecord that shows them.
_KINDS = {
    "TrainingJob": "TrainingJob",
    "Experiment": "Experiment",
    "ExperimentTrial": "Trial",
    "ExperimentTrialComponent": "TrialComponent",
    "Endpoint": "Endpoint",
    "ModelPackage": "ModelPackage",
    "ModelPackageGroup": "ModelPackageGroup",
    "FeatureGroup": "FeatureGroup",
    "FeatureMetadata": "FeatureMetadata",
    "HyperParameterTuningJob": "HyperParameterTuningJob",
    "ModelCard": "ModelCard",
}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}


class Search(Operations):
    """Search, by any property of a resource."""

    def __init__(self, context: Context) -> None:
        self._store = context.store

    @operation
    def search(self, request: Record) -> Record:
        """Find resources; the latest modified come first unless asked otherwise."""
        kind = _KINDS.get(request["Resource"])
        if kind is None:
            raise not_implemented(f"Search for {request['Resource']}")
        if request.get("CrossAccountFilterOption", "SameAccount") != "SameAccount":
            raise not_implemented("Search in other accounts")
        if "VisibilityConditions" in request:
            raise not_implemented("Search with VisibilityConditions")
        shape = shapes.operation_model("Search").output_shape.members["Results"].member
        expression = request.get("SearchExpression", {})
        rows = [
            row
            for row in (shapes.project(shape.members[kind], row) for row in self._rows(kind))
            if _holds(expression, row)
        ]
        sort_by = request.get("SortBy", "LastModifiedTime")
        order = request.get("SortOrder", "Descending") == "Descending"
        page, token = paginate(rows, request, lambda row: _position(row, sort_by, kind), order)
        found = [{kind: row} for row in page]
        return {"Results": found, **({"NextToken": token} if token else {})}

    def _rows(self, kind: str) -> list[Record]:
        if kind == "FeatureMetadata":
            return [
                {**group, **feature, **group["_described"].get(feature["FeatureName"], {})}
                for group in self._store.all("FeatureGroup")
                for feature in group["FeatureDefinitions"]
            ]
        rows = self._store.all(kind)
        if kind == "TrialComponent":
            trials = {trial["TrialName"]: trial for trial in self._store.all("Trial")}
            for row in rows:
                row["Parents"] = [
                    {"TrialName": name, "ExperimentName": trials[name]["ExperimentName"]}
                    for name in row["_trials"]
                    if name in trials
                ]
        return rows


def _holds(expression: Record, row: Record) -> bool:
    """Whether a record satisfies an expression; an empty one is always satisfied."""
    conditions = [
        *(_matches(each, _values(row, each["Name"])) for each in expression.get("Filters", [])),
        *(_nested(each, row) for each in expression.get("NestedFilters", [])),
        *(_holds(each, row) for each in expression.get("SubExpressions", [])),
    ]
    if not conditions:
        return True
    return any(conditions) if expression.get("Operator") == "Or" else all(conditions)


def _nested(nested: Record, row: Record) -> bool:
    prefix = nested["NestedPropertyName"]
    return any(
        all(
            _matches(each, _values(element, each["Name"].removeprefix(f"{prefix}.")))
            for each in nested["Filters"]
        )
        for element in _values(row, prefix)
        if isinstance(element, dict)
    )


def _values(value: Any, path: str) -> list[Any]:
    """Return what a path leads to, through every element of the lists on the way."""
    if isinstance(value, list):
        return [found for element in value for found in _values(element, path)]
    if not path:
        return [value]
    if not isinstance(value, dict):
        return []
    name, _, rest = path.partition(".")
    if name == "Tags" and rest:
        return [tag["Value"] for tag in value.get("Tags", []) if tag["Key"] == rest]
    if name == "Metrics" and rest and "FinalMetricDataList" in value:
        metrics = value["FinalMetricDataList"]
        return [metric["Value"] for metric in metrics if metric["MetricName"] == rest]
    if path in value:  # a key that holds dots, such as a hyperparameter's
        return _values(value[path], "")
    return _values(value[name], rest) if name in value else []


def _matches(condition: Record, values: list[Any]) -> bool:
    """Whether any of a property's values satisfies a filter."""
    wanted = condition.get("Value")
    how: str = condition.get("Operator", "Exists" if wanted is None else "Equals")
    if how in ("Exists", "NotExists"):
        return bool(values) == (how == "Exists")
    if wanted is None:
        raise invalid(f"The filter on {condition['Name']} needs a Value.")
    if how == "NotEquals":
        return not any(_compared(operator.eq, value, wanted) for value in values)
    if how == "Contains":
        return any(isinstance(value, str) and wanted in value for value in values)
    if how == "In":
        choices = [choice.strip() for choice in wanted.split(",")]
        return any(_compared(operator.eq, value, each) for value in values for each in choices)
    compare = _ORDER.get(how, operator.eq)
    if compare is not operator.eq and any(isinstance(value, str) for value in values):
        raise invalid(f"{how} is not supported for the text property {condition['Name']}.")
    return any(_compared(compare, value, wanted) for value in values)


def _compared(compare: Callable[[Any, Any], bool], value: Any, wanted: str) -> bool:
    """Compare a value with a filter's text, which is a number, a time or text as the value is."""
    if isinstance(value, bool):
        return compare(value, wanted.lower() == "true")
    if isinstance(value, int | float):
        try:
            return compare(value, float(wanted))
        except ValueError:
            return compare(value, _epoch(wanted))
    return isinstance(value, str) and compare(value, wanted)


def _epoch(text: str) -> float:
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(f"The value {text} is neither a number nor an ISO 8601 time.") from error
    return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp()


def _position(row: Record, sort_by: str, kind: str) -> list[Any]:
    """Return a record's place: numbers before text, what lacks the property first."""
    found = _values(row, sort_by)
    value = found[0] if found else 0.0
    arn = row.get(f"{kind}Arn") or row.get("FeatureGroupArn")
    return [isinstance(value, str), value, arn, row.get("FeatureName", "")]
