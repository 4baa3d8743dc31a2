"""Writing a model artifact: the booster, its verified ONNX twin, and the contract."""

from __future__ import annotations

import json
import logging
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.columns import Kind
from headrace_tabular.encoding import Feature
from headrace_tabular.fit import save_native
from headrace_tabular.model import CODE, CONTRACT, FAST, booster_engine, onnx_engine
from headrace_tabular.onnx_trees import NotConvertibleError, convert
from headrace_tabular.run import Problem, Run
from headrace_tabular.split import VALIDATION_SHARE

logger = logging.getLogger(__name__)

TOLERANCE = 1e-5
SAMPLE = 2000
LIBRARIES = ("numpy", "xgboost-cpu", "onnx", "onnxruntime", "duckdb")


def save_model(
    model: Any,
    engine: str,
    folder: Path,
    x: NDArray[np.float32],
    features: Sequence[Feature],
    problem: Problem,
) -> dict[str, Any]:
    """Save what was trained; return model.json's `onnx` section.

    A booster is saved natively and, if the two answer the same, as ONNX too. `x` has rows to
    verify that on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if engine == "onnx":
        (folder / FAST).write_bytes(model.SerializeToString())
        return {"used": True, "reason": "train() returned an ONNX model", "tolerance": None}
    save_native(model, folder, [feature.name for feature in features])
    return export(model, folder / FAST, x, problem)


def export(booster: Any, path: Path, x: NDArray[np.float32], problem: Problem) -> dict[str, Any]:
    """Write the booster as ONNX and keep the file only if it answers as the booster does."""
    sample = verification_sample(x)
    report: dict[str, Any] = {
        "used": False,
        "rows": len(sample),
        "tolerance": TOLERANCE,
        "max_difference": None,
    }
    try:
        path.write_bytes(convert(booster).SerializeToString())
    except NotConvertibleError as error:
        return report | {"reason": str(error)}
    native, fast = booster_engine(booster)(sample), onnx_engine(path, problem)(sample)
    difference = float(np.abs(native - fast).max()) if native.shape == fast.shape else np.inf
    scale = max(1.0, float(np.abs(native).max())) if problem == "regression" else 1.0
    # Written so that a NaN on either side is not equal.
    if difference <= TOLERANCE * scale:
        logger.info("onnx verified on %d rows, largest difference %.1e", len(sample), difference)
        return report | {"used": True, "max_difference": difference, "reason": "verified equal"}
    path.unlink()
    logger.warning("onnx differs by %.1e: XGBoost itself will serve", difference)
    finite = difference if np.isfinite(difference) else None
    return report | {"max_difference": finite, "reason": "answers differ"}


def verification_sample(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return real rows spread over the data, the same with gaps, and rows far outside."""
    real = x[:: max(1, len(x) // SAMPLE)][:SAMPLE]
    random = np.random.default_rng(0)
    gaps = np.where(random.random(real.shape) < 0.2, np.float32(np.nan), real)
    outside = np.array([[np.nan], [0.0], [-1e30], [1e30]], dtype=np.float32)
    return np.vstack([real, gaps, np.tile(outside, (1, x.shape[1]))])


def save_code(project: Path, folder: Path) -> None:
    """Copy the project's files into the artifact, so that a model carries its own code."""
    shutil.copytree(
        project,
        folder / CODE,
        ignore=shutil.ignore_patterns("__pycache__", ".*", "*.pyc", "*.parquet"),
    )


def write_contract(
    folder: Path,
    run: Run,
    *,
    engine: str,
    onnx: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    types: Mapping[str, str],
    features: Sequence[Feature],
    classes: Sequence[Any],
    threshold: float,
    hyperparameters: Mapping[str, Any],
) -> None:
    """Write model.json: all that is needed to serve this model and to say where it came from."""
    known = {feature.name: list(feature.categories) for feature in features}
    inputs = [
        {"name": name, "kind": kind, "type": types[name]}
        | ({"categories": known[name]} if kind == "text" and name in known else {})
        for name, kind in kinds.items()
    ]
    contract = {
        "schema_version": 1,
        "run": run.run,
        "model": run.model,
        "problem": run.problem,
        "label": run.label,
        "classes": list(classes) or None,
        "threshold": threshold if run.problem == "binary" else None,
        "engine": engine,
        "onnx": onnx,
        "inputs": inputs,
        "ignored": list(run.not_learned),
        "features": [feature.to_json() for feature in features],
        "code": {"features": run.features, "serving": run.serving},
        "datasets": [{"version": item.version, "role": item.role} for item in run.datasets],
        "split": {
            "entity": run.entity,
            "seed": run.seed,
            "holdout": run.holdout,
            "validation": VALIDATION_SHARE,
        },
        "hyperparameters": dict(hyperparameters),
        "libraries": {name: version(name) for name in LIBRARIES}
        | {"python": platform.python_version()},
    }
    text = json.dumps(contract, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / CONTRACT).write_text(text)
