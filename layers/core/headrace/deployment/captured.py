"""Captured requests and answers, as SageMaker writes them, one JSON object per line. Pure.

Record: "Capture data from real-time endpoint" (developer guide). A shadow's record shares no event
id with production's record of the same request, so two records are paired by the inference id of
the request, or else by its body.
"""

import base64
import csv
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

SMOKE = "headrace-smoke-"
"""Inference ids of Headrace's own requests start with it."""


class Prediction(NamedTuple):
    """One row's prediction; a regression has no label."""

    score: float | None
    label: str | None


class Exchange(NamedTuple):
    """One captured request: what identifies it, when it was, and the predictions it got."""

    key: str
    at: str
    inference_id: str | None
    predictions: tuple[Prediction, ...]


def read_exchange(line: str) -> Exchange | None:
    """Read a captured line; None for Headrace's own requests and for what is no such record."""
    try:
        record = json.loads(line)
        metadata, sides = record["eventMetadata"], record["captureData"]
        inference_id = metadata.get("inferenceId")
        if inference_id and inference_id.startswith(SMOKE):
            return None
        body = _body(sides.get("endpointInput") or {})
        key = inference_id or hashlib.sha256(body).hexdigest()
        answer = _predictions(_body(sides.get("endpointOutput") or {}))
        return Exchange(key, metadata["inferenceTime"], inference_id, answer)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _body(side: Mapping[str, Any]) -> bytes:
    data = side.get("data") or ""
    return base64.b64decode(data) if side.get("encoding") == "BASE64" else data.encode()


def _predictions(body: bytes) -> tuple[Prediction, ...]:
    """Read an answer: the tabular image's JSON, JSON lines or CSV; nothing if it is neither."""
    text = body.decode(errors="replace").strip()
    try:
        content = json.loads(text)
    except ValueError:
        content = [_line(line) for line in text.splitlines()]
    if isinstance(content, dict):
        content = content.get("predictions", [content])
    rows = content if isinstance(content, list) else [content]
    return tuple(each for each in map(_prediction, rows) if each)


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return next(csv.reader([line]), [])


def _prediction(value: Any) -> Prediction | None:
    """Return what is in one prediction; a CSV row is a score, or a score and a label."""
    if isinstance(value, Mapping):
        score, label = value.get("score"), value.get("label")
    elif isinstance(value, list):
        score, label = (*value, None, None)[:2]
    else:
        score, label = value, None
    try:
        number = None if score is None else float(score)
    except (TypeError, ValueError):  # a header
        return None
    return None if number is None and label is None else Prediction(number, _as_text(label))


def _as_text(label: Any) -> str | None:
    return None if label is None else str(label)
