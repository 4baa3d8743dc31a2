"""SageMaker's REST services: an operation found by method and path, its members gathered.

Everything comes from botocore's models: the paths, and which members travel in the path, the
query, the headers or the body (rest-json). A member of the path may hold "/": feature groups are
named by ARN too, and the path comes decoded. Any service whose operations run here
needs one line in `shapes.REST`; InvokeEndpoint keeps its own fast path (hosting/invocation.py), but
its routes are known here, for authorization.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.sagemaker import shapes
from local.sagemaker.errors import ServiceError

_FIELD = re.compile(r"\{(\w+)\+?\}")


@dataclass(frozen=True)
class Route:
    """One REST operation: `pattern` matches its path, with a group for each member it names."""

    operation: str
    method: str
    pattern: re.Pattern[str]
    model: Any


@functools.cache
def routes() -> tuple[Route, ...]:
    """Return every route, those with more fixed text first."""
    found = []
    for service in shapes.REST:
        model = shapes.service_model(service)
        for name in model.operation_names:
            operation = model.operation_model(name)
            uri = operation.http["requestUri"]
            pattern = re.compile(_FIELD.sub(r"(?P<\1>.+)", uri))
            found.append((uri, Route(name, operation.http["method"], pattern, operation)))
    found.sort(key=lambda item: -len(_FIELD.sub("", item[0])))
    return tuple(route for _, route in found)


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the route of a request, and the members that its (decoded) path names."""
    for route in routes():
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, match.groupdict()
    return None


def gather(
    route: Route,
    named: Mapping[str, str],
    headers: Mapping[str, str],
    query: Mapping[str, Sequence[str]],
    body: bytes,
) -> dict[str, Any]:
    """Return a request's members, from wherever they travel; headers are named in lower case.

    Raises SerializationException for a body that is not a JSON object, where it has to be one.
    """
    inputs = route.model.input_shape
    request = {} if inputs.serialization.get("payload") else _document(body)
    for member, shape in inputs.members.items():
        location = shape.serialization.get("location")
        name = shape.serialization.get("name", member)
        if location == "uri":
            request[member] = named[name]
        elif location == "querystring" and name in query:
            request[member] = _from_text(shape, query[name])
        elif location == "header" and name.lower() in headers:
            request[member] = _from_text(shape, [headers[name.lower()]])
        elif location is None and name != member and name in request:
            request[member] = request.pop(name)
    return request


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise ServiceError("SerializationException", "The body is not JSON") from error
    if not isinstance(document, dict):
        raise ServiceError("SerializationException", "The body is not an object")
    return document


def _from_text(shape: Any, values: Sequence[str]) -> Any:
    """Return the value of a member that travels as text; what cannot be converted stays text."""
    if shape.type_name == "list":
        return [_from_text(shape.member, [value]) for value in values]
    text = values[0]
    if shape.type_name == "boolean" and text in ("true", "false"):
        return text == "true"
    if shape.type_name in ("integer", "long") and re.fullmatch(r"-?\d+", text):
        return int(text)
    return text
