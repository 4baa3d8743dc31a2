"""Literal arguments of AWS calls in state machines, held to botocore's service model.

What JSONata computes is unknown here: it is replaced by something valid, so that everything else
is checked. The functions that compute requests have tests of their own.
"""

import re
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

from tests.architecture.asl import Machine, expression, substituted
from tests.architecture.asl_rules import integration, tasks

_SERVICES = {"states": "stepfunctions", "sfn": "stepfunctions", "eventBridge": "events"}
_DOCUMENTS = {"Payload", "Detail", "MessageBody", "Message", "Input", "Body"}
"""Members into which Step Functions puts JSON where the API wants text or bytes."""


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(_SERVICES.get(service, service).lower())


def operation(call: str) -> OperationModel | None:
    """Return the operation of `service:action` or `aws-sdk:service:action`, None when unknown."""
    service, _, action = call.removeprefix("aws-sdk:").partition(":")
    try:
        model = _model(service)
    except UnknownServiceError:
        return None
    name = action[:1].upper() + action[1:]
    return model.operation_model(name) if name in model.operation_names else None


def arguments_are_valid(machine: Machine) -> list[str]:
    """Find calls botocore does not know and arguments it would refuse."""
    findings = []
    for scope, name, state in tasks(machine):
        place, call = scope.place(name), integration(state)[0]
        found = operation(call)
        if found is None:
            findings.append(f"{place}: AWS has no {call}")
            continue
        arguments = substituted({"of": state.get("Arguments", {})})["of"]
        if expression(arguments) is None:
            shape = found.input_shape
            findings += [f"{place}: {fault}" for fault in faults(shape, arguments)]
    return findings


def faults(shape: Shape, arguments: Any) -> list[str]:
    """Return what is wrong with one call's arguments."""
    completed = _complete(shape, arguments)
    report = ParamValidator().validate(completed, shape)
    found = report.generate_report().splitlines() if report.has_errors() else []
    return found + list(_outside(shape, completed, "Arguments"))


def _complete(shape: Shape, value: Any, name: str = "") -> Any:
    """Return the value with something valid for every expression in it."""
    if expression(value) is not None or (name in _DOCUMENTS and not isinstance(value, str)):
        return _sample(shape)
    if isinstance(value, dict) and shape.type_name == "structure":
        members = shape.members
        return {k: _complete(members[k], v, k) if k in members else v for k, v in value.items()}
    if isinstance(value, dict) and shape.type_name == "map":
        return {k: _complete(shape.value, v) for k, v in value.items()}
    if isinstance(value, list) and shape.type_name == "list":
        return [_complete(shape.member, v) for v in value]
    return value


def _sample(shape: Shape) -> Any:
    match shape.type_name:
        case "structure":
            return {name: _sample(shape.members[name]) for name in shape.required_members}
        case "list":
            return [_sample(shape.member) for _ in range(int(shape.metadata.get("min", 0)))]
        case "map":
            return {}
        case "string":
            return _Computed(int(shape.metadata.get("min", 0)) * "x")
        case "integer" | "long":
            return int(shape.metadata.get("min", 1))
        case "float" | "double":
            return float(shape.metadata.get("min", 1))
        case "boolean":
            return True
        case "blob":
            return b""
    return "2026-01-01T00:00:00Z"


class _Computed(str):
    """Stands for text that is computed: neither enum nor pattern can be known."""

    __slots__ = ()


def _outside(shape: Shape, value: Any, where: str) -> list[str]:
    """Return the values outside their enumeration or pattern, which botocore does not check."""
    if isinstance(value, dict) and shape.type_name == "structure":
        members = shape.members
        return [
            f
            for k, v in value.items()
            if k in members
            for f in _outside(members[k], v, f"{where}.{k}")
        ]
    if isinstance(value, dict) and shape.type_name == "map":
        return [f for k, v in value.items() for f in _outside(shape.value, v, f"{where}.{k}")]
    if isinstance(value, list) and shape.type_name == "list":
        return [f for i, v in enumerate(value) for f in _outside(shape.member, v, f"{where}[{i}]")]
    if shape.type_name != "string" or not isinstance(value, str) or isinstance(value, _Computed):
        return []
    if getattr(shape, "enum", None) and value not in shape.enum:
        return [f"{where}: {value!r} is none of {', '.join(shape.enum)}"]
    pattern = _pattern(shape.metadata.get("pattern", ".*"))
    if pattern is not None and not pattern.fullmatch(value):
        return [f"{where}: {value!r} does not match {pattern.pattern}"]
    return []


def _pattern(text: str) -> re.Pattern[str] | None:
    """Return a pattern of the service model, or None: a few use syntax Python lacks (`\\p{L}`)."""
    try:
        return re.compile(text, re.DOTALL)
    except re.error:
        return None
