"""The `train` command of the local framework images: the user's script, or the image's algorithm.

HEADRACE_ALGORITHM names the algorithm that an image has of its own; AWS's XGBoost image decides the
same way, by whether a script was given.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback

from headrace_images import contract, script

logger = logging.getLogger(__name__)


def main() -> int:
    """Train; return the exit code."""
    hyperparameters = {
        name: contract.decoded(value)
        for name, value in contract.read_config("hyperparameters.json").items()
    }
    program = hyperparameters.get("sagemaker_program") or os.environ.get("SAGEMAKER_PROGRAM")
    algorithm = os.environ.get("HEADRACE_ALGORITHM")
    try:
        if program:
            return script.run(hyperparameters, str(program))
        if not algorithm:
            raise contract.UserError(
                "this image needs a script: give the hyperparameters "
                "sagemaker_program and sagemaker_submit_directory"
            )
        importlib.import_module(f"headrace_images.{algorithm}.train").main(hyperparameters)
    except contract.UserError as error:
        contract.write_failure(str(error))
        contract.log(str(error))
        return 1
    except Exception:  # the container's boundary: the reason goes to the failure file
        logger.exception("framework error")
        contract.write_failure(f"framework error:\n{traceback.format_exc(limit=-2)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
