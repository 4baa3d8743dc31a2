"""Script-mode inference: the user's model_fn, input_fn, predict_fn, output_fn or transform_fn.

Source: the inference toolkit's handler functions as the SageMaker Python SDK documents them for its
scikit-learn, XGBoost and PyTorch models.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from headrace_images import contract
from headrace_images.serving import Answer, RefusalError

_TEXT = ("text/", "application/json", "application/jsonlines", "application/xml")
_NPY = "application/x-npy"


class Handler:
    """Answers with the functions of the user's module; those it lacks have AWS's defaults."""

    execution_parameters: dict[str, Any] | None = None

    def __init__(self, module: ModuleType, model: Path) -> None:
        load = getattr(module, "model_fn", None)
        if load is None:
            raise contract.UserError(
                f"Please provide a model_fn implementation in {module.__name__}.py"
            )
        self._transform = getattr(module, "transform_fn", None)
        self._input = getattr(module, "input_fn", default_input)
        self._predict = getattr(module, "predict_fn", default_predict)
        self._output = getattr(module, "output_fn", default_output)
        self._model = _call(load, str(model))

    def __call__(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Predict. Raises RefusalError, and whatever the user's functions raise."""
        if accept in ("", "*/*"):
            accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
        content = body.decode() if content_type.startswith(_TEXT) else body
        if self._transform:
            answer = _call(self._transform, self._model, content, content_type, accept)
        else:
            data = _call(self._input, content, content_type)
            answer = _call(self._output, _call(self._predict, data, self._model), accept)
        body_out, kind = answer if isinstance(answer, tuple) else (answer, accept)
        return (body_out.encode() if isinstance(body_out, str) else bytes(body_out)), kind


def load_module(program: str) -> ModuleType:
    """Import the user's inference program. Raises UserError."""
    source = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "/opt/ml/model/code")
    code = contract.bring_code(source, contract.base() / "code")
    if not (code / program).is_file():
        raise contract.UserError(f"The entry point {program} is not among the code of {source}")
    if missing := contract.missing_requirements(code):
        contract.log(f"requirements.txt is not installed locally; missing: {', '.join(missing)}")
    sys.path.insert(0, str(code))
    try:
        return importlib.import_module(program.removesuffix(".py").replace("/", "."))
    except ModuleNotFoundError as error:
        raise contract.UserError(f"{error}: {contract.advice(error.name or '')}") from error


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a user's function; one that takes a further argument is given the (empty) context."""
    takes = inspect.signature(function).parameters
    return function(*arguments, None) if len(takes) > len(arguments) else function(*arguments)


def default_input(body: str | bytes, content_type: str) -> Any:
    """Return an array of a request's body. Raises RefusalError."""
    import numpy as np

    kind = content_type.partition(";")[0].strip()
    if kind == _NPY and isinstance(body, bytes):
        return np.load(io.BytesIO(body), allow_pickle=False)
    if kind == "application/json":
        return np.array(json.loads(body))
    if kind == "text/csv" and isinstance(body, str):
        return np.loadtxt(body.splitlines(), delimiter=",", ndmin=2)
    raise RefusalError(415, f"Content type {content_type} is not supported by the default input_fn")


def default_predict(data: Any, model: Any) -> Any:
    """Return the model's predictions."""
    return model.predict(data) if hasattr(model, "predict") else model(data)


def default_output(prediction: Any, accept: str) -> Answer:
    """Return predictions as asked. Raises RefusalError."""
    import numpy as np

    kind = accept.partition(";")[0].strip()
    array = np.asarray(prediction)
    if kind == "application/json":
        return json.dumps(array.tolist()).encode(), kind
    if kind == "text/csv":
        rows = array.reshape(len(array), -1).tolist() if array.ndim else [[array.item()]]
        return "".join(",".join(map(str, row)) + "\n" for row in rows).encode(), kind
    if kind == _NPY:
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        return buffer.getvalue(), kind
    raise RefusalError(406, f"Accept type {accept} is not supported by the default output_fn")
