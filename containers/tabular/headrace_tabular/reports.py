"""The files of a run's output: written as strict JSON, and logged as metric lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular import artifact, metrics, model
from headrace_tabular.columns import Columns, Kind
from headrace_tabular.evaluation import Scored
from headrace_tabular.run import Run

logger = logging.getLogger("headrace")

SMOKE_ROWS = 20


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as JSON in which a number that is not finite is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(metrics.without_nan(document), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text)


def write_smoke(
    path: Path, run: Run, served: model.Model, columns: Columns, candidate: Scored
) -> None:
    """Write held-out rows with their expected predictions, to verify an endpoint with."""
    inputs = {item.name: columns[item.name][:SMOKE_ROWS] for item in served.inputs}
    kinds = {item.name: item.kind for item in served.inputs}
    listed = {name: to_json(values, kinds[name]) for name, values in inputs.items()}
    instances = [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]
    expected = model.predictions(served, candidate.scores[:SMOKE_ROWS])
    write_json(
        path,
        {
            "schema_version": 1,
            "run": run.run,
            "content_type": "application/json",
            "instances": instances,
            "predictions": expected,
            "tolerance": artifact.TOLERANCE,
        },
    )


def to_json(values: NDArray[Any], kind: Kind) -> list[Any]:
    """Return a column as a client would send it in JSON."""
    if kind == "time":
        return [None if np.isnat(value) else f"{value}Z" for value in values]
    if kind == "boolean":
        return [None if np.isnan(value) else bool(value) for value in values]
    return list(values.tolist())


def log_metrics(report: Mapping[str, Any]) -> None:
    """Log the metrics on lines that a SageMaker metric definition's regex finds."""
    found = dict(report["candidate"]["metrics"])
    for prefix, rival in (
        ("champion", report["champion"]),
        ("baseline", report["baselines"]["simple"]),
    ):
        if rival:
            found[f"{prefix}_{report['metric']}"] = rival["metrics"][report["metric"]]
    for name, value in found.items():
        if value is not None and np.isfinite(value):
            logger.info("headrace metric %s=%.6g", name, value)
    for warning in report["warnings"]:
        logger.warning("%s", warning)
