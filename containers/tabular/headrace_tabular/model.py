"""A model artifact: the folder that becomes model.tar.gz, and the scoring of rows with it.

model.ubj    XGBoost's own format (never pickle)
model.onnx   the same trees for onnxruntime, only if it was verified to answer the same
model.json   the contract: inputs, encodings, classes, threshold, where it came from
code/        the user's features and serving code
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular import usercode
from headrace_tabular.columns import Columns, Kind
from headrace_tabular.encoding import Feature, encode, normal_features
from headrace_tabular.errors import ArtifactError
from headrace_tabular.run import Problem

Engine = Callable[[NDArray[np.float32]], NDArray[Any]]
FeaturesFunction = Callable[[Columns], Columns]

CONTRACT = "model.json"
NATIVE = "model.ubj"
FAST = "model.onnx"
CODE = "code"


@dataclass(frozen=True)
class Input:
    """A raw column that a prediction needs."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Model:
    """A loaded model: raw columns in, scores out."""

    contract: Mapping[str, Any]
    inputs: tuple[Input, ...]
    features: tuple[Feature, ...]
    engine: Engine
    make_features: FeaturesFunction | None

    @property
    def problem(self) -> Problem:
        """binary, multiclass or regression."""
        problem: Problem = self.contract["problem"]
        return problem

    @property
    def classes(self) -> list[Any]:
        """The label's values, the positive one last; empty for a regression."""
        return list(self.contract["classes"] or ())

    @property
    def threshold(self) -> float:
        """The score from which a row is called positive."""
        value = self.contract["threshold"]
        return 0.5 if value is None else float(value)

    def matrix(self, columns: Columns) -> NDArray[np.float32]:
        """Return the encoded features of raw columns in their normal form."""
        given = {item.name: columns[item.name] for item in self.inputs}
        if self.make_features is not None:
            kinds = {feature.name: feature.kind for feature in self.features}
            given = normal_features(self.make_features(given), kinds)
        return encode(self.features, given)

    def scores(self, columns: Columns) -> NDArray[Any]:
        """Return [rows] of the positive class's probability or value, or [rows, classes]."""
        return self.engine(self.matrix(columns))


def load(folder: Path, *, native: bool = False) -> Model:
    """Load a model artifact; `native` asks for XGBoost even where ONNX was verified equal.

    Raises ArtifactError when the folder is not a model artifact of ours.
    """
    try:
        contract = json.loads((folder / CONTRACT).read_text())
        fast = contract["engine"] == "onnx" or (contract["onnx"]["used"] and not native)
        entrypoint = contract["code"]["features"]
        inputs = tuple(Input(item["name"], item["kind"]) for item in contract["inputs"])
        features = tuple(Feature.from_json(item) for item in contract["features"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{folder} holds no model of this image: {CONTRACT} is missing or not as expected"
            f" ({type(error).__name__}: {error})"
        ) from error
    if fast:
        engine = onnx_engine(folder / FAST, contract["problem"])
    else:
        engine = xgboost_engine(folder / NATIVE)
    return Model(contract, inputs, features, engine, features_function(folder / CODE, entrypoint))


def features_function(folder: Path, entrypoint: str | None) -> FeaturesFunction | None:
    """Return the project's `features` function, if it has one."""
    if not entrypoint:
        return None
    module = usercode.load(folder, entrypoint)
    return usercode.function(module, "features", entrypoint)


def xgboost_engine(path: Path) -> Engine:
    """Score with XGBoost itself."""
    return booster_engine(load_booster(path))


def load_booster(path: Path) -> Any:
    """Read a booster."""
    import xgboost  # takes a second that a server with ONNX does not need

    try:
        return xgboost.Booster(model_file=path)
    except xgboost.core.XGBoostError as error:
        raise ArtifactError(f"{path.name} cannot be read by XGBoost {xgboost.__version__}") from (
            error
        )


def booster_engine(booster: Any) -> Engine:
    """Score with a booster in memory."""

    def score(x: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(booster.inplace_predict(x))

    return score


def onnx_engine(path: Path, problem: Problem) -> Engine:
    """Score with onnxruntime on the calling thread: threads cost a single row more than they win.

    A graph's scores are its last output that is a tensor of floats: [rows, classes] for several
    classes, else [rows] or the last column (for two classes the positive one).
    """
    import onnxruntime  # slow: only where a model is loaded

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no common base but this
        raise ArtifactError(f"{path.name} cannot be read by onnxruntime: {error}") from error
    name = session.get_inputs()[0].name
    tensors = [out.name for out in session.get_outputs() if out.type == "tensor(float)"]
    if not tensors:
        raise ArtifactError(f"{path.name} has no output of floats")
    wanted = tensors[-1:]

    def score(x: NDArray[np.float32]) -> NDArray[Any]:
        (scores,) = session.run(wanted, {name: x})
        found = np.asarray(scores)
        return found if problem == "multiclass" or found.ndim == 1 else found[:, -1]

    return score


def predictions(model: Model, scores: NDArray[Any]) -> list[dict[str, Any]]:
    """Return what a client is told about each row.

    binary: score (of the positive class) and label; multiclass: label, its score and the scores
    of all classes; regression: score.
    """
    if model.problem == "regression":
        return [{"score": value} for value in scores.tolist()]
    classes = model.classes
    if model.problem == "binary":
        negative, positive = classes
        threshold = model.threshold
        return [
            {"score": value, "label": positive if value >= threshold else negative}
            for value in scores.tolist()
        ]
    return [multiclass_prediction(classes, row) for row in scores.tolist()]


def multiclass_prediction(classes: Sequence[Any], row: Sequence[float]) -> dict[str, Any]:
    """Return the likeliest class of one row with the scores of all."""
    best = max(range(len(row)), key=row.__getitem__)
    each = {str(name): score for name, score in zip(classes, row, strict=True)}
    return {"score": row[best], "label": classes[best], "scores": each}
