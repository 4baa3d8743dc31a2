"""Model quality: predictions compared with ground truth.

Metrics, names and nesting: "Model Quality Metrics". Each has its standard deviation over five
samples of 80 % of the rows, "NaN" for fewer than 200 rows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_monitor.contract import Contract, MonitorError
from headrace_monitor.records import Row, captured_lines, data_files, read, table

_SAMPLES, _SHARE, _ENOUGH = 5, 0.8, 200
_LOWER_IS_BETTER = {"mae", "mse", "rmse", "false_positive_rate", "false_negative_rate"}
Metrics = dict[str, float]
Report = dict[str, Any]
logger = logging.getLogger("monitor")


@dataclass(frozen=True)
class Pairs:
    """Predictions, truths and, where they are known, probabilities; one of each per row."""

    predicted: NDArray[Any]
    actual: NDArray[Any]
    probability: NDArray[np.float64] | None

    def take(self, rows: NDArray[np.int64]) -> Pairs:
        """Return some of the rows."""
        probability = None if self.probability is None else self.probability[rows]
        return Pairs(self.predicted[rows], self.actual[rows], probability)


def reports(contract: Contract) -> tuple[dict[str, Report], list[Report]]:
    """Return the reports on a model's predictions, and their metrics. Raises MonitorError."""
    problem = contract.required("problem_type")
    try:
        section, measure = _PROBLEMS[problem]
    except KeyError as error:
        raise MonitorError(f"problem_type {problem} is not known") from error
    pairs = _pairs(contract, problem)
    values = measure(pairs)
    deviations = _deviations(pairs, measure)
    group: Report = {
        name: {"value": value, "standard_deviation": deviations.get(name, "NaN")}
        for name, value in values.items()
    }
    if problem != "Regression":
        group["confusion_matrix"] = _confusion(pairs)
    found = {
        "statistics": {
            "version": 0.0,
            "dataset": {
                "item_count": len(pairs.actual),
                "start_time": contract.text("start_time"),
                "end_time": contract.text("end_time"),
            },
            f"{section}_metrics": group,
        },
        "constraints": {"version": 0.0, f"{section}_constraints": _suggest(values)},
    }
    wanted = contract.document("baseline_constraints")
    if wanted is not None:
        limits = wanted.get(f"{section}_constraints", {})
        found["constraint_violations"] = {"violations": _check(values, deviations, limits)}
    return found, [{"MetricName": name, "Value": value} for name, value in values.items()]


def _suggest(values: Metrics) -> Report:
    """Return limits that the predictions just meet."""
    return {
        name: {
            "threshold": value,
            "comparison_operator": (
                "GreaterThanThreshold" if name in _LOWER_IS_BETTER else "LessThanThreshold"
            ),
        }
        for name, value in values.items()
        if "best_constant" not in name
    }


def _check(values: Metrics, deviations: Metrics, limits: Report) -> list[Report]:
    violations = []
    for name, limit in limits.items():
        threshold, operator = limit.get("threshold"), limit.get("comparison_operator")
        if threshold is None or name not in values:
            continue
        value = values[name]
        if value < threshold if operator == "LessThanThreshold" else value > threshold:
            spread = deviations.get(name, "NaN")
            description = f"Metric {name} with {value} +/- {spread} was {operator} '{threshold}'"
            violations.append(
                {
                    "constraint_check_type": operator,
                    "description": description,
                    "metric_name": name,
                }
            )
    return violations


def _deviations(pairs: Pairs, measure: Callable[[Pairs], Metrics]) -> Metrics:
    count = len(pairs.actual)
    if count < _ENOUGH:
        return {}
    random = np.random.default_rng(0)
    samples = [
        measure(pairs.take(random.choice(count, int(count * _SHARE), replace=False)))
        for _ in range(_SAMPLES)
    ]
    return {name: float(np.std([sample[name] for sample in samples])) for name in samples[0]}


# Reading


def _pairs(contract: Contract, problem: str) -> Pairs:
    rows = _merged_rows(contract) if contract.form[0] == "sagemakerMergeJson" else _rows(contract)
    if not rows:
        raise MonitorError("There are no records with ground truth between start_time and end_time")
    probability = contract.text("probability_attribute")
    threshold = float(contract.text("probability_threshold_attribute") or 0.5)
    inference = contract.text("inference_attribute")
    try:
        chances = [float(_member(row, probability)) for row, _ in rows] if probability else None
        if inference or chances is None:
            predicted = [_member(row, inference or "0") for row, _ in rows]
        else:
            predicted = [chance >= threshold for chance in chances]
        convert = _CONVERT[problem]
        return Pairs(
            np.array([convert(value) for value in predicted]),
            np.array([convert(truth) for _, truth in rows]),
            None if chances is None else np.array(chances, dtype=np.float64),
        )
    except ValueError as error:
        raise MonitorError(f"A value does not fit problem_type {problem}: {error}") from error


def _rows(contract: Contract) -> list[tuple[Row, Any]]:
    """Return the rows of a baseline's dataset, each with its truth."""
    truth = contract.required("ground_truth_attribute")
    _, rows = read(contract, [])
    return [(row, _member(row, truth)) for row in rows]


def _merged_rows(contract: Contract) -> list[tuple[Row, Any]]:
    truth = contract.text("ground_truth_attribute") or "0"
    rows = []
    for record in captured_lines(data_files(contract), contract):
        predictions = table(record["captureData"].get("endpointOutput", {}))
        truths = table(record["groundTruthData"])
        for prediction, actual in zip(predictions, truths, strict=False):
            rows.append((prediction, _member(actual, truth)))
    return rows


def _member(row: Row, name: str) -> Any:
    """Return a value by name, or by position where columns have no names."""
    if name in row:
        return row[name]
    if name.isdigit() and int(name) < len(row):
        return list(row.values())[int(name)]
    raise MonitorError(f'There is no attribute "{name}" in the data: {", ".join(map(str, row))}')


def _binary(value: Any) -> int:
    text = str(value).strip().lower()
    if text in ("true", "false"):
        return int(text == "true")
    number = float(text)
    if number not in (0.0, 1.0):
        raise ValueError(f"{value} is neither 0 nor 1")
    return int(number)


def _label(value: Any) -> str:
    text = str(value).strip()
    return text.removesuffix(".0")


# Measuring


def _regression(pairs: Pairs) -> Metrics:
    error = pairs.predicted - pairs.actual
    mse = float(np.mean(error**2))
    total = float(np.sum((pairs.actual - pairs.actual.mean()) ** 2))
    r2 = 1.0 - float(np.sum(error**2)) / total if total else 0.0
    return {"mae": float(np.mean(np.abs(error))), "mse": mse, "rmse": mse**0.5, "r2": r2}


def _classification(pairs: Pairs) -> Metrics:
    """Measure a binary classifier."""
    found = _rates(pairs.predicted, pairs.actual)
    majority = np.full_like(pairs.actual, int(pairs.actual.mean() >= 0.5))
    constant = _rates(majority, pairs.actual)
    for name in ("recall", "precision", "accuracy", "f0_5", "f1", "f2"):
        found[f"{name}_best_constant_classifier"] = constant[name]
    if pairs.probability is not None:
        found["auc"] = _auc(pairs.probability, pairs.actual)
    return found


def _rates(predicted: NDArray[Any], actual: NDArray[Any]) -> Metrics:
    hits = float(np.sum((predicted == 1) & (actual == 1)))
    false = float(np.sum((predicted == 1) & (actual == 0)))
    missed = float(np.sum((predicted == 0) & (actual == 1)))
    rejected = float(np.sum((predicted == 0) & (actual == 0)))
    recall, precision = _ratio(hits, hits + missed), _ratio(hits, hits + false)
    return {
        "recall": recall,
        "precision": precision,
        "accuracy": _ratio(hits + rejected, len(actual)),
        "true_positive_rate": recall,
        "true_negative_rate": _ratio(rejected, rejected + false),
        "false_positive_rate": _ratio(false, rejected + false),
        "false_negative_rate": _ratio(missed, hits + missed),
        **_f_scores(precision, recall),
    }


def _multiclass(pairs: Pairs) -> Metrics:
    found = _weighted(pairs.predicted, pairs.actual)
    labels, counts = np.unique(pairs.actual, return_counts=True)
    constant = _weighted(np.full(len(pairs.actual), labels[counts.argmax()]), pairs.actual)
    return {**found, **{f"{k}_best_constant_classifier": v for k, v in constant.items()}}


def _weighted(predicted: NDArray[Any], actual: NDArray[Any]) -> Metrics:
    """Return each class's metrics, weighted by how many rows are of the class."""
    totals: Metrics = {}
    for label in np.unique(actual):
        share = float(np.mean(actual == label))
        rates = _rates((predicted == label).astype(int), (actual == label).astype(int))
        for name in ("recall", "precision", "f0_5", "f1", "f2"):
            key = f"weighted_{name}"
            totals[key] = totals.get(key, 0.0) + share * rates[name]
    return {"accuracy": float(np.mean(predicted == actual)), **totals}


def _f_scores(precision: float, recall: float) -> Metrics:
    return {
        name: _ratio((1 + beta**2) * precision * recall, beta**2 * precision + recall)
        for name, beta in (("f0_5", 0.5), ("f1", 1.0), ("f2", 2.0))
    }


def _auc(probability: NDArray[np.float64], actual: NDArray[Any]) -> float:
    """Return the chance that a positive row has the higher probability; ties count half."""
    positive, negative = np.sort(probability[actual == 1]), np.sort(probability[actual == 0])
    if not len(positive) or not len(negative):
        return 0.0
    below = np.searchsorted(negative, positive, side="left")
    upto = np.searchsorted(negative, positive, side="right")
    return float((below + upto).sum() / 2 / (len(positive) * len(negative)))


def _confusion(pairs: Pairs) -> dict[str, dict[str, int]]:
    """Return counts by actual class, then by predicted class."""
    labels = [str(label) for label in np.unique(np.concatenate([pairs.actual, pairs.predicted]))]
    matrix = {actual: dict.fromkeys(labels, 0) for actual in labels}
    for actual, predicted in zip(pairs.actual, pairs.predicted, strict=True):
        matrix[str(actual)][str(predicted)] += 1
    return matrix


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


_PROBLEMS: dict[str, tuple[str, Callable[[Pairs], Metrics]]] = {
    "Regression": ("regression", _regression),
    "BinaryClassification": ("binary_classification", _classification),
    "MulticlassClassification": ("multiclass_classification", _multiclass),
}
_CONVERT: dict[str, Callable[[Any], Any]] = {
    "Regression": float,
    "BinaryClassification": _binary,
    "MulticlassClassification": _label,
}
