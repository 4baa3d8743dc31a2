"""Serving of the built-in XGBoost: text/csv and text/libsvm in; CSV, JSON or JSON lines out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import xgboost

from headrace_images import contract
from headrace_images.serving import Answer, RefusalError
from headrace_images.xgboost.data import Rows, format_of, parse_csv, parse_libsvm
from headrace_images.xgboost.train import MODEL

EXECUTION_PARAMETERS = {
    "MaxConcurrentTransforms": os.cpu_count() or 1,
    "BatchStrategy": "MULTI_RECORD",
    "MaxPayloadInMB": 6,
}


class Handler:
    """Answers with the model that the training left."""

    execution_parameters = EXECUTION_PARAMETERS

    def __init__(self, folder: Path) -> None:
        file = folder / MODEL
        if not file.is_file():
            found = [each for each in sorted(folder.iterdir()) if each.is_file()]
            if not found:
                raise contract.UserError(f"There is no {MODEL} among the model's files")
            file = found[0]
        self._booster = xgboost.Booster()
        self._booster.load_model(bytearray(file.read_bytes()))

    def __call__(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Predict. Raises RefusalError."""
        rows = self._rows(body, content_type)
        best = self._booster.attr("best_iteration")
        end = int(best) + 1 if best else 0
        predicted = self._booster.predict(
            rows.matrix(), iteration_range=(0, end), validate_features=False
        )
        return encode(predicted, accept)

    def _rows(self, body: bytes, content_type: str) -> Rows:
        try:
            kind = format_of(content_type or "text/csv")
        except contract.UserError as error:
            raise RefusalError(415, str(error)) from error
        try:
            text = body.decode()
            rows = Rows(parse_csv(text)) if kind == "csv" else parse_libsvm(text, labelled=False)
        except (contract.UserError, UnicodeDecodeError) as error:
            raise RefusalError(400, f"Unable to evaluate payload provided: {error}") from error
        expected, given = self._booster.num_features(), rows.columns
        if kind == "csv" and given == expected + 1:
            rows = Rows(rows.x[:, 1:])  # the rows of a training file, their label first
        elif given > expected or (kind == "csv" and given != expected):
            raise RefusalError(
                400,
                f"Unable to evaluate payload provided: Feature size of {kind} inference data "
                f"{given} is not consistent with feature size of trained model {expected}.",
            )
        else:
            rows = Rows(rows.x)
        if kind == "libsvm":
            rows.x.resize(rows.x.shape[0], expected)
        return rows


def encode(predicted: Any, accept: str) -> Answer:
    """Return predictions as asked: text/csv unless JSON is wanted. Raises RefusalError."""
    values = predicted.tolist()
    kind = accept.partition(";")[0].strip().lower()
    if kind == "application/json":
        content = json.dumps({"predictions": [{"score": value} for value in values]})
        return content.encode(), kind
    if kind == "application/jsonlines":
        return "".join(json.dumps({"score": value}) + "\n" for value in values).encode(), kind
    if kind not in ("", "*/*", "text/csv", "text/*"):
        raise RefusalError(406, f"Accept type {accept} is not supported.")
    if os.environ.get("SAGEMAKER_BATCH", "").lower() == "true":
        return "".join(f"{value}\n" for value in values).encode(), "text/csv"
    return ",".join(map(str, values)).encode(), "text/csv"
