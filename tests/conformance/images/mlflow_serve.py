"""MLflow's container: `mlflow models serve` in an environment that has what the model needs."""

import os
import sys

options = {
    "--model-uri": "/opt/ml/model",
    "--env-manager": "local",
    "--host": "127.0.0.1",
    "--port": os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"),
}
words = [word for option in options.items() for word in option]
os.execv(sys.executable, [sys.executable, "-m", "mlflow", "models", "serve", *words])
