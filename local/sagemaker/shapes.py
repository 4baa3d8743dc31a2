"""Requests checked and responses shaped by botocore's model of SageMaker.

Nothing here knows an operation by name: constraints, required members and output shapes all come
from the service model that ships with botocore.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import warnings
from pathlib import Path
from typing import Any

import botocore.session

from local.sagemaker.errors import ServiceError

REST = (
    "sagemaker-runtime",
    "sagemaker-featurestore-runtime",
    "sagemaker-metrics",
    "headrace-labeling",
)
"""The REST services whose operations run here, beside the control plane's; the last is our own."""
_SESSION = botocore.session.get_session()
_SESSION.get_component("data_loader").search_paths.append(
    str(Path(__file__).parent / "labeling" / "model")
)
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "float": (int, float),
    "double": (int, float),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
    "timestamp": (int, float, str, dt.datetime),
    "blob": (str, bytes),
}
# Java's character classes that the model's patterns use, as Python can say them inside a class.
_JAVA_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
    r"\p{M}": r"\S",
    r"\p{S}": r"\S",
    r"\p{P}": r"\S",
    r"\p{Alnum}": "a-zA-Z0-9",
}


@functools.cache
def service_model(service: str = "sagemaker") -> Any:
    """Return botocore's model of a service."""
    return _SESSION.get_service_model(service)


@functools.cache
def operation_names() -> frozenset[str]:
    """Return the name of every operation of the control plane."""
    return frozenset(service_model().operation_names)


@functools.cache
def names_in_lower_case() -> dict[str, str]:
    """Return the name of every operation of every service here, by itself in lower case."""
    models = map(service_model, ("sagemaker", *REST))
    return {name.lower(): name for model in models for name in model.operation_names}


@functools.cache
def operation_model(operation: str, of: str = "") -> Any:
    """Return the model of an operation of a service (SageMaker's unless given), None if none."""
    for service in (of,) if of else ("sagemaker", *REST):
        model = service_model(service)
        if operation in model.operation_names:
            return model.operation_model(operation)
    return None


def parse(operation: str, request: dict[str, Any], service: str = "") -> dict[str, Any]:
    """Return the request with only members AWS knows, timestamps as epoch seconds.

    Raises ValidationException (ValidationError where the operation declares it) listing every
    violated constraint, SerializationException for a value of the wrong type.
    """
    model = operation_model(operation, service)
    shape = model.input_shape
    errors: list[str] = []
    parsed: dict[str, Any] = _parse(shape, request, "", errors) if shape else {}
    if errors:
        plural = "s" if len(errors) > 1 else ""
        declared = {error.name for error in model.error_shapes}
        code = "ValidationError" if "ValidationError" in declared else "ValidationException"
        message = f"{len(errors)} validation error{plural} detected: {'; '.join(errors)}"
        raise ServiceError(code, message)
    return parsed


def render(operation: str, response: dict[str, Any] | None, service: str = "") -> dict[str, Any]:
    """Return what the operation's output shape knows of a record."""
    shape = operation_model(operation, service).output_shape
    return project(shape, response or {}) if shape else {}


def project(shape: Any, value: Any) -> Any:
    """Keep only the members a shape knows, at every depth."""
    if shape.type_name == "structure":
        return {
            name: project(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type_name == "list":
        return [project(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: project(shape.value, item) for key, item in value.items()}
    return value


def _parse(shape: Any, value: Any, path: str, errors: list[str]) -> Any:
    kind = shape.type_name
    if not _has_type(value, kind):
        given = type(value).__name__
        raise ServiceError(
            "SerializationException", f"{path or 'request'}: {given} can not be converted to {kind}"
        )
    if kind == "structure":
        return _parse_structure(shape, value, path, errors)
    if kind == "timestamp":
        return _epoch(value, path)
    for constraint in _violations(shape, value):
        shown = "" if _is_hidden(shape) else f"'{value}' "
        errors.append(f"Value {shown}at '{path}' failed to satisfy constraint: {constraint}")
    if kind == "list":
        return [
            _parse(shape.member, item, f"{path}.{number}.member", errors)
            for number, item in enumerate(value, 1)
        ]
    if kind == "map":
        for key in value:
            _parse(shape.key, key, f"{path}.key", errors)
        return {
            key: _parse(shape.value, item, f"{path}.{key}.member", errors)
            for key, item in value.items()
        }
    return value


def _has_type(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _parse_structure(
    shape: Any, value: dict[str, Any], path: str, errors: list[str]
) -> dict[str, Any]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            errors.append(
                f"Value null at '{prefix}{_lower(name)}' failed to satisfy constraint: "
                "Member must not be null"
            )
    parsed = {
        name: _parse(member, value[name], prefix + _lower(name), errors)
        for name, member in shape.members.items()
        if value.get(name) is not None
    }
    if getattr(shape, "is_tagged_union", False) and len(parsed) != 1:
        errors.append(
            f"Value at '{path}' failed to satisfy constraint: Exactly one member must be set"
        )
    return parsed


def _violations(shape: Any, value: Any) -> list[str]:
    """Return the constraints a value breaks, in the words of AWS's own services."""
    rules = shape.metadata
    if shape.type_name in ("boolean", "timestamp"):
        return []
    is_number = shape.type_name in ("integer", "long", "float", "double")
    size = value if is_number else len(value)
    measure = "value" if is_number else "length"
    broken = []
    if size < rules.get("min", size):
        broken.append(f"Member must have {measure} greater than or equal to {rules['min']}")
    if size > rules.get("max", size):
        broken.append(f"Member must have {measure} less than or equal to {rules['max']}")
    if value not in rules.get("enum", [value]):
        broken.append(f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]")
    pattern = rules.get("pattern")
    if pattern and (compiled := compiled_pattern(pattern)) and not compiled.fullmatch(value):
        broken.append(f"Member must satisfy regular expression pattern: {pattern}")
    return broken


@functools.cache
def compiled_pattern(pattern: str) -> re.Pattern[str] | None:
    """Compile one of the model's Java patterns; None if Python has no equivalent."""
    translated = re.sub(r"\$\{\d+,\d+\}$", "", pattern)  # a slip of two patterns of the model
    for java, python in _JAVA_CLASSES.items():
        translated = translated.replace(java, python)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # a literal `[[` in a class is meant
        try:
            return re.compile(translated)
        except re.error:
            return None


def _epoch(value: float | str | dt.datetime, path: str) -> float:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError as error:
            raise ServiceError(
                "SerializationException", f"{path}: {value} can not be converted to timestamp"
            ) from error
    if isinstance(value, dt.datetime):
        return value.timestamp()
    return float(value)


def _is_hidden(shape: Any) -> bool:
    return shape.type_name in ("list", "map") or bool(shape.metadata.get("sensitive"))


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
