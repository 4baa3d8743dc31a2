"""The `serve` command of the framework images: the user's module, or the image's algorithm."""

from __future__ import annotations

import importlib
import os
import sys

from headrace_images import contract, inference
from headrace_images.serving import Invoke, Server


def main() -> int:
    """Serve until terminated; return 1 if the model cannot be loaded."""
    try:
        handler = load()
    except contract.UserError as error:
        contract.log(str(error))
        return 1
    Server(handler).serve_forever()
    return 0


def load() -> Invoke:
    """Return what answers the requests. Raises UserError."""
    program = os.environ.get("SAGEMAKER_PROGRAM")
    algorithm = os.environ.get("HEADRACE_ALGORITHM")
    model = contract.base() / "model"
    if not program and (model / "code" / "inference.py").is_file():
        program = "inference.py"
    if program:
        return inference.Handler(inference.load_module(program), str(model))
    if not algorithm:
        raise contract.UserError(
            "This image needs a script: set SAGEMAKER_PROGRAM, or give the model code/inference.py"
        )
    handler: Invoke = importlib.import_module(f"headrace_images.{algorithm}.serve").Handler()
    return handler


if __name__ == "__main__":
    sys.exit(main())
