"""`serve`: answer predictions with the model in /opt/ml/model.

    python -m headrace_tabular.serve

SageMaker's variables are obeyed: SAGEMAKER_BIND_TO_PORT (8080), SAGEMAKER_MAX_PAYLOAD_IN_MB (6,
the limit of a real-time endpoint), SAGEMAKER_MODEL_SERVER_WORKERS (1), SAGEMAKER_BASE_DIR.
SAGEMAKER_BIND_TO_HOST narrows the addresses listened on, for a server outside a container.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import uvicorn

from headrace_tabular import handlers
from headrace_tabular.errors import TabularError
from headrace_tabular.server import App

logger = logging.getLogger("headrace")

GRACE_SECONDS = 25  # SageMaker kills a container 30 s after it asked it to stop
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 — a container is reached from outside itself


def create() -> App:
    """Load the model and return the application (called once in each worker process)."""
    folder = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "model"
    megabytes = float(os.environ.get("SAGEMAKER_MAX_PAYLOAD_IN_MB") or 6)
    return App(handlers.load(folder), int(megabytes * 1024 * 1024))


def main() -> int:
    """Serve until SIGTERM, then finish the requests that are being answered."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in train.py, should XGBoost serve
    workers = int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or 1)
    try:
        app = create() if workers == 1 else "headrace_tabular.serve:create"
    except TabularError as error:
        logger.error("the model cannot be served: %s", error)  # no traceback
        return 1
    uvicorn.run(
        app,
        factory=workers > 1,
        workers=workers,
        host=os.environ.get("SAGEMAKER_BIND_TO_HOST") or EVERY_ADDRESS,
        port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080),
        loop="auto",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
