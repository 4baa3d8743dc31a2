"""EventBridge details of SageMaker's own state changes.

Details are near-complete Describe output; times are epoch milliseconds except for model packages,
and `Tags` is an object ("Automating Amazon SageMaker AI with Amazon EventBridge", samples).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from local.sagemaker import shapes
from local.sagemaker.store import Record


def detail(kind: str, record: Record, when: Callable[[float], Any] | None = None) -> Record:
    """Return the detail of a state change of a resource."""
    shape = shapes.service_model().operation_model(f"Describe{kind}").output_shape
    shown: Record = _times(shape, shapes.project(shape, record), when or milliseconds)
    shown["Tags"] = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
    return shown


def milliseconds(epoch: float) -> int:
    """Return an epoch time as most details give it."""
    return int(epoch * 1000)


def iso(epoch: float) -> str:
    """Return a time as details of model packages give it."""
    return dt.datetime.fromtimestamp(epoch, dt.UTC).isoformat().replace("+00:00", "Z")


def upper_snake(status: str) -> str:
    """Return an endpoint's status as events spell it: IN_SERVICE for InService."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", status).upper()


def _times(shape: Any, value: Any, when: Callable[[float], Any]) -> Any:
    if shape.type_name == "timestamp":
        return when(value)
    if shape.type_name == "structure":
        return {name: _times(shape.members[name], item, when) for name, item in value.items()}
    if shape.type_name == "list":
        return [_times(shape.member, item, when) for item in value]
    return value
