"""The label: what its values are, and the numbers a model learns in their place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.columns import Floats, Kind, is_null
from headrace_tabular.errors import DataError
from headrace_tabular.run import Problem

MAX_CLASSES = 1000


def classes_of(problem: Problem, label: str, values: NDArray[Any], kind: Kind) -> list[Any]:
    """Return the label's values in order, the positive one last; none for a regression.

    Raises DataError when the values do not fit the problem.
    """
    present = values[~is_null(values)]
    if len(present) == 0:
        raise DataError(f"label column '{label}' has no values at all: are the outcomes joined?")
    if problem == "regression":
        if kind != "number":
            raise DataError(f"label column '{label}' is {kind}: a regression needs numbers")
        if not np.isfinite(present).all():
            raise DataError(f"label column '{label}' has infinite values")
        return []
    if kind == "time":
        raise DataError(f"label column '{label}' is a time: a label is a class or a number")
    found = sorted({plain(value, kind) for value in present.tolist()})
    if len(found) < 2:
        raise DataError(f"label column '{label}' is always {found[0]!r}: nothing to learn from it")
    if problem == "binary" and len(found) > 2:
        raise DataError(
            f"label column '{label}' has {len(found)} values ({found[:5]}…) but the problem is"
            " binary: say `multiclass` or `regression`, or choose another label"
        )
    if len(found) > MAX_CLASSES:
        raise DataError(f"label column '{label}' has {len(found):,} classes: a regression?")
    return found


def plain(value: Any, kind: Kind) -> Any:
    """Return a label as a client would write it: 1 rather than 1.0, true for a boolean."""
    if kind == "boolean":
        return bool(value)
    if kind == "number" and float(value).is_integer():
        return int(value)
    return value


def to_numbers(classes: list[Any], values: NDArray[Any], kind: Kind) -> Floats:
    """Return each label's position among the classes (NaN for none of them), or its value."""
    if not classes:
        return values.astype(np.float64)
    positions = {value: float(position) for position, value in enumerate(classes)}
    null = is_null(values)
    return np.array(
        [
            np.nan if missing else positions.get(plain(value, kind), np.nan)
            for value, missing in zip(values.tolist(), null.tolist(), strict=True)
        ],
        dtype=np.float64,
    )
