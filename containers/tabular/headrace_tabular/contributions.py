"""How much each feature moved a prediction: the SHAP values of trees, which XGBoost computes.

A contribution has the unit of what the trees add up: log-odds of the positive class for two
classes, of the class that is predicted for more, the predicted value itself for a regression. With
the model's expectation they sum to the prediction (Lundberg, Erion and Lee 2018, TreeSHAP).
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.columns import Columns
from headrace_tabular.errors import RequestError
from headrace_tabular.model import NATIVE, Model, load_booster, predictions

MAX_ROWS = 1000  # of a request; a row takes up to some milliseconds


def contributions(
    booster: Any, x: NDArray[np.float32], scores: NDArray[Any]
) -> NDArray[np.float32]:
    """Return [rows, features] of encoded rows, given their scores ([rows] or [rows, classes]).

    Raises xgboost.core.XGBoostError for a booster that has none.
    """
    import xgboost  # as the booster did before

    matrix = xgboost.DMatrix(x)
    found = np.asarray(booster.predict(matrix, pred_contribs=True, strict_shape=True))
    told = scores.argmax(axis=1) if scores.ndim == 2 else np.zeros(len(x), dtype=np.intp)
    return np.asarray(found[np.arange(len(x)), told, :-1])  # the last is the expectation


class Explainer:
    """Predictions with contributions; XGBoost is loaded by the first request that asks for them."""

    def __init__(self, model: Model, folder: Path) -> None:
        self.model = model
        self.native = folder / NATIVE

    @cached_property
    def booster(self) -> Any:
        """The model's own trees."""
        return load_booster(self.native)

    def predict(self, columns: Columns) -> list[dict[str, Any]]:
        """Return the predictions for raw columns, each with `contributions` by feature."""
        if not self.native.exists():
            raise RequestError(
                "this model has no contributions: train() returned an ONNX model, and only"
                " XGBoost's are explained. Ask without `headrace-explain`"
            )
        matrix = self.model.matrix(columns)
        if len(matrix) > MAX_ROWS:
            raise RequestError(
                f"{len(matrix):,} rows are more than are explained at once: send {MAX_ROWS:,}", 413
            )
        scores = self.model.engine(matrix)
        names = [feature.name for feature in self.model.features]
        explained = contributions(self.booster, matrix, scores).tolist()
        return [
            prediction | {"contributions": dict(zip(names, row, strict=True))}
            for prediction, row in zip(predictions(self.model, scores), explained, strict=True)
        ]
