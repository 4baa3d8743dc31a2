"""From columns to the float32 matrix that a model sees: learned at training, kept in model.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.columns import Columns, Floats, Kind, kind_of_array, normal
from headrace_tabular.errors import ProjectError

MAX_CATEGORIES = 255
MIN_CATEGORY_ROWS = 5
MICROSECONDS_PER_DAY = 86_400_000_000.0


@dataclass(frozen=True)
class Feature:
    """One column of the matrix.

    Numbers and booleans are themselves; a time is days since 1970 (a float32 has room for days,
    not for microseconds); a category is its position in `categories`. Text that is rare or was
    not seen at training has the code after the last category, and null is NaN everywhere.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = field(default=())

    @cached_property
    def codes(self) -> dict[str | None, float]:
        """Return the code of every category and of null."""
        known: dict[str | None, float] = {name: float(i) for i, name in enumerate(self.categories)}
        known[None] = np.nan
        return known

    def encode(self, values: NDArray[Any]) -> Floats:
        """Return the values as the model sees them, not yet rounded to float32."""
        if self.kind == "text":
            codes, other = self.codes, float(len(self.categories))
            return np.array([codes.get(value, other) for value in values.tolist()], dtype=float)
        if self.kind == "time":
            days = values.astype(np.int64) / MICROSECONDS_PER_DAY
            days[np.isnat(values)] = np.nan
            return np.asarray(days)
        return values

    def to_json(self) -> dict[str, Any]:
        """Return the feature as model.json has it."""
        described: dict[str, Any] = {"name": self.name, "kind": self.kind}
        if self.kind == "text":
            described["categories"] = list(self.categories)
        return described

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> Feature:
        """Read a feature of model.json."""
        return cls(described["name"], described["kind"], tuple(described.get("categories", ())))


def learn(columns: Columns, kinds: Mapping[str, Kind], target: Floats) -> list[Feature]:
    """Learn the encodings from the training rows alone.

    Categories are ordered by the mean of `target` over their rows, which lets a tree find the
    best grouping of them with one threshold (Breiman et al. 1984, section 9.4, for two classes
    and for regression; for more classes any fixed order serves).
    """
    return [
        Feature(name, kinds[name], categories(values, target) if kinds[name] == "text" else ())
        for name, values in columns.items()
    ]


def categories(values: NDArray[Any], target: Floats) -> tuple[str, ...]:
    """Return the categories that are common enough to have a code of their own, in order."""
    listed = values.tolist()
    counts = Counter(value for value in listed if value is not None)
    common = [
        (name, count)
        for name, count in counts.items()
        if count >= MIN_CATEGORY_ROWS or len(listed) < MIN_CATEGORY_ROWS * 4
    ]
    common.sort(key=lambda item: (-item[1], item[0]))
    kept = {name for name, _ in common[:MAX_CATEGORIES]}
    sums: dict[str, float] = dict.fromkeys(kept, 0.0)
    for value, outcome in zip(listed, target.tolist(), strict=True):
        if value in kept:
            sums[value] += outcome
    return tuple(sorted(kept, key=lambda name: (sums[name] / counts[name], name)))


def encode(features: Sequence[Feature], columns: Columns) -> NDArray[np.float32]:
    """Return the matrix (rows, features) of columns that have every feature.

    Infinite values, which no tree can place and a division by zero makes, become null.
    """
    rows = len(next(iter(columns.values()))) if columns else 0
    matrix = np.empty((rows, len(features)), dtype=np.float32)
    with np.errstate(over="ignore"):
        for position, feature in enumerate(features):
            matrix[:, position] = feature.encode(columns[feature.name])
    matrix[np.isinf(matrix)] = np.nan
    return matrix


def check_made(made: Any, rows: int) -> dict[str, Kind]:
    """Check what the user's `features` function returned; return the kind of each column."""
    if not isinstance(made, dict) or not made:
        raise ProjectError("features() must return a dict of columns: {'name': numpy array}")
    kinds: dict[str, Kind] = {}
    for name, values in made.items():
        if not isinstance(name, str) or not isinstance(values, np.ndarray):
            raise ProjectError(f"features(): column {name!r} must be a numpy array under a str")
        if values.shape != (rows,):
            raise ProjectError(
                f"features(): column '{name}' has shape {values.shape} for {rows} rows: a feature"
                " has one value for each row it is given"
            )
        kind = kind_of_array(values)
        if kind is None:
            raise ProjectError(f"features(): column '{name}' has dtype {values.dtype}")
        kinds[name] = kind
    return kinds


def normal_features(made: Columns, kinds: Mapping[str, Kind]) -> Columns:
    """Bring the columns the user's function made into the form of their kinds."""
    missing = [name for name in kinds if name not in made]
    if missing:
        raise ProjectError(f"features() did not return {missing} for these rows, as at training")
    try:
        return {name: normal(made[name], kind) for name, kind in kinds.items()}
    except (TypeError, ValueError) as error:
        raise ProjectError(f"features() returned values of another type: {error}") from error
