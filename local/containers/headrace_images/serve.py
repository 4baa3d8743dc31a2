"""The `serve` command of the framework images: the user's module, or the image's algorithm."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from headrace_images import contract, inference
from headrace_images.serving import App, Invoke, MultiModel, Server, SingleModel


def main() -> int:
    """Serve until terminated; return 1 if the model cannot be loaded."""
    app: App
    try:
        if os.environ.get("SAGEMAKER_MULTI_MODEL", "").lower() == "true":
            app = MultiModel(loader(None))
        else:
            model = contract.base() / "model"
            app = SingleModel(loader(model)(model))
    except contract.UserError as error:
        contract.log(str(error))
        return 1
    Server(app).serve_forever()
    return 0


def loader(model: Path | None) -> Callable[[Path], Invoke]:
    """Return what makes a handler of a model's folder; `model` may hold the code itself.

    Raises UserError.
    """
    program = os.environ.get("SAGEMAKER_PROGRAM")
    algorithm = os.environ.get("HEADRACE_ALGORITHM")
    if not program and model and (model / "code" / "inference.py").is_file():
        program = "inference.py"
    if program:
        return partial(inference.Handler, inference.load_module(program))
    if not algorithm:
        raise contract.UserError(
            "This image needs a script: set SAGEMAKER_PROGRAM, or give the model code/inference.py"
        )
    make: Callable[[Path], Invoke]
    make = importlib.import_module(f"headrace_images.{algorithm}.serve").Handler
    return make


if __name__ == "__main__":
    sys.exit(main())
