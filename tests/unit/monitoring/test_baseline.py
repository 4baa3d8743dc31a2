"""Baselines that monitors read: strictly, and with words for who has to act."""

import json
from typing import Any

import pytest

from headrace.errors import MonitoringError
from headrace.monitoring.baseline import Baseline

DOCUMENT: dict[str, Any] = {
    "schema_version": 1,
    "run": "credit-risk-1",
    "model": "credit-risk",
    "problem": "binary",
    "classes": ["0", "1"],
    "rows": 10,
    "inputs": {"version": 1, "rows": 10, "columns": {}},
    "predictions": {"version": 1, "rows": 2, "columns": {}},
    "quality": {"kind": "binary", "counts": {}},
    "attribution": {"rows": 2, "features": {"income": 0.5}},
    "bias": {"sex": {"values": ["f"], "counts": {}}},
    "segments": {"region": {"north": {"inputs": {}, "predictions": {}}}},
}


def test_a_baseline_is_read() -> None:
    baseline = Baseline.from_json(json.dumps(DOCUMENT))
    assert baseline.model_dump(mode="json") == DOCUMENT


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is not JSON"),
        (b"[]", "schema version None"),
        (json.dumps(DOCUMENT | {"schema_version": 2}), r"version 2, this stack reads 1: build"),
        (json.dumps(DOCUMENT | {"schema_version": "1"}), "schema version '1', this stack reads 1"),
        (json.dumps(DOCUMENT | {"rows": None}), "of run credit-risk-1 is not valid: rows"),
        (json.dumps(DOCUMENT | {"more": 1}), "is not valid: more"),
    ],
)
def test_what_is_no_baseline_is_a_fault_that_says_what_to_do(
    content: str | bytes, told: str
) -> None:
    with pytest.raises(MonitoringError, match=told):
        Baseline.from_json(content)
