"""Whether an endpoint answers as the model that was judged. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def compare_predictions(
    expected: Sequence[Any], actual: Sequence[Any], tolerance: float
) -> list[str]:
    """Return how an endpoint's predictions differ from those the job made for the same rows."""
    if len(expected) != len(actual):
        return [f"{len(expected)} rows were sent, {len(actual)} predictions came back"]
    return [
        f"row {row}: expected {wanted}, got {got}"
        for row, (wanted, got) in enumerate(zip(expected, actual, strict=True), start=1)
        if not _close(wanted, got, tolerance)
    ]


def _close(wanted: Any, got: Any, tolerance: float) -> bool:
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        return wanted.keys() == got.keys() and all(
            _close(wanted[key], got[key], tolerance) for key in wanted
        )
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(
            _close(a, b, tolerance) for a, b in zip(wanted, got, strict=True)
        )
    if _is_number(wanted) and _is_number(got):
        return math.isclose(wanted, got, rel_tol=tolerance, abs_tol=tolerance)
    return bool(wanted == got)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
