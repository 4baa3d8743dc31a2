"""A dataset's statistics (statistics.json) and the distances between distributions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_monitor.records import Row

Numbers = NDArray[np.float64]
_BUCKETS = 10
_SKETCH = 2048  # values a sketch keeps; one of fewer values is exact
_NUMERIC = ("Integral", "Fractional")


@dataclass(frozen=True)
class Column:
    """A column's present values; `kinds` counts each value's own type."""

    name: str
    values: list[Any]
    missing: int
    kinds: Counter[str]

    @classmethod
    def of(cls, name: str, rows: list[Row]) -> Column:
        """Take a column from rows; text that is a number counts as one."""
        values = [_value(row.get(name)) for row in rows]
        present = [value for value in values if value is not None]
        kinds = Counter(_kind(value) for value in present)
        return cls(name, present, len(values) - len(present), kinds)

    @property
    def inferred(self) -> str:
        """The narrowest type that holds every value."""
        for kind in ("String", "Fractional", "Integral"):
            if self.kinds[kind]:
                return kind
        return "Unknown"

    @property
    def completeness(self) -> float:
        """The share of values that are present."""
        total = len(self.values) + self.missing
        return len(self.values) / total if total else 1.0

    @property
    def numbers(self) -> Numbers:
        """The values that are numbers."""
        return np.array([v for v in self.values if not isinstance(v, str)], dtype=np.float64)

    @property
    def counts(self) -> Counter[str]:
        """How often each value occurs, as text."""
        return Counter(str(value) for value in self.values)

    def statistics(self) -> dict[str, Any]:
        """Return the column's entry of statistics.json."""
        common = {"num_present": len(self.values), "num_missing": self.missing}
        entry: dict[str, Any] = {"name": self.name, "inferred_type": self.inferred}
        if self.inferred in _NUMERIC:
            entry["numerical_statistics"] = {"common": common, **_moments(self.numbers)}
        else:
            buckets = [{"value": v, "count": c} for v, c in self.counts.most_common(_SKETCH)]
            entry["string_statistics"] = {
                "common": common,
                "distinct_count": float(len(self.counts)),
                "distribution": {"categorical": {"buckets": buckets}},
            }
        return entry


def statistics(columns: list[Column], count: int) -> dict[str, Any]:
    """Return statistics.json."""
    return {
        "version": 0.0,
        "dataset": {"item_count": count},
        "features": [column.statistics() for column in columns],
    }


def numerical_distance(column: Column, entry: dict[str, Any], robust: bool) -> float | None:
    """Return the largest difference of the two cumulative distributions, None if one is unknown.

    "Robust" discounts what samples of these sizes differ by chance, with the two-sample
    Kolmogorov-Smirnov test's critical value.
    """
    base, weights = _sample(entry)
    numbers = np.sort(column.numbers)
    if not len(numbers) or not len(base):
        return None
    points = np.union1d(numbers, base)
    order = np.argsort(base)
    cumulated = np.concatenate([[0.0], np.cumsum(weights[order])]) / weights.sum()
    then = cumulated[np.searchsorted(base[order], points, side="right")]
    now = np.searchsorted(numbers, points, side="right") / len(numbers)
    distance = float(np.abs(then - now).max())
    return _robust(distance, len(numbers), float(weights.sum())) if robust else distance


def categorical_distance(column: Column, entry: dict[str, Any], robust: bool) -> float | None:
    """Return the largest difference of a value's share ("LInfinity"), None if one is unknown."""
    categorical = entry.get("string_statistics", {}).get("distribution", {}).get("categorical", {})
    base: dict[str, float] = {
        each["value"]: each["count"] for each in categorical.get("buckets", [])
    }
    now, n, m = column.counts, len(column.values), sum(base.values())
    if not n or not m:
        return None
    distance = max(abs(now[value] / n - base.get(value, 0) / m) for value in {*now, *base})
    return _robust(distance, n, m) if robust else distance


def _robust(distance: float, n: float, m: float) -> float:
    return max(0.0, distance - 1.8 * math.sqrt((n + m) / (n * m)))


def _sample(entry: dict[str, Any]) -> tuple[Numbers, Numbers]:
    """Return values and weights of a baseline: of its sketch, else of its buckets' middles."""
    kll = entry.get("numerical_statistics", {}).get("distribution", {}).get("kll", {})
    levels = kll.get("sketch", {}).get("data", [])
    pairs = [(float(v), 2.0**level) for level, vs in enumerate(levels) for v in vs]
    if not pairs:
        pairs = [
            ((each["lower_bound"] + each["upper_bound"]) / 2, float(each["count"]))
            for each in kll.get("buckets", [])
            if each["count"]
        ]
    array = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _moments(numbers: Numbers) -> dict[str, Any]:
    low, high = float(numbers.min()), float(numbers.max())
    counts, edges = np.histogram(numbers, bins=_BUCKETS, range=(low, high))
    buckets = [
        {"lower_bound": float(edges[i]), "upper_bound": float(edges[i + 1]), "count": float(count)}
        for i, count in enumerate(counts)
    ]
    sketch = {"parameters": {"c": 0.64, "k": float(_SKETCH)}, "data": _levels(numbers)}
    return {
        "mean": float(numbers.mean()),
        "sum": float(numbers.sum()),
        "std_dev": float(numbers.std()),
        "min": low,
        "max": high,
        "distribution": {"kll": {"buckets": buckets, "sketch": sketch}},
    }


def _levels(numbers: Numbers) -> list[list[float]]:
    """Return a sketch's levels: a value of level i stands for 2**i values.

    Evenly spaced quantiles of the sorted values, which is within one step of each true rank; what
    does not fill a step stands for itself.
    """
    ordered = np.sort(numbers)
    level = max(0, math.ceil(math.log2(len(ordered) / _SKETCH)))
    step = 2**level
    whole = len(ordered) // step * step
    kept = ordered[step // 2 : whole : step].tolist()
    return [kept] if level == 0 else [ordered[whole:].tolist(), *([[]] * (level - 1)), kept]


def _value(value: Any) -> Any:
    """Return a value as number or text; None for one that is missing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text or None
    if math.isnan(number):
        return None
    if math.isinf(number):
        return text
    return int(text) if text.lstrip("+-").isdigit() else number


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "String"
    return "Integral" if isinstance(value, int) else "Fractional"
