"""JSON texts that are objects, and Model Monitor's names of types."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from headrace_profiling.columns import ColumnProfile
from headrace_profiling.errors import FormatError

T = TypeVar("T")
_INFERRED = {"integer": "Integral", "number": "Fractional", "null": "Unknown"}


def inferred_type(column: ColumnProfile) -> str:
    """Return Integral, Fractional, String or Unknown; times are fractional: seconds since 1970."""
    if column.type in {"date", "timestamp"}:
        return "Fractional"
    return _INFERRED.get(column.type, "String")


def read(text: str | bytes, name: str, parse: Callable[[Mapping[str, Any]], T]) -> T:
    """Parse a JSON object. Raises FormatError that names the file for anything else."""
    try:
        return parse(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"This is no {name} of Model Monitor: {error!r}.") from error


def write(document: Mapping[str, Any]) -> str:
    """Return JSON text as Model Monitor indents it."""
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
