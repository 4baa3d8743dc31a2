"""boto3 clients, made once per process."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config

# A lost reply must surface within a function's own time limit, so connections do not wait for
# botocore's 60 s. "standard" retries throttles and resets with jitter (SDK reference, "Retry
# behavior").
_CONFIG = Config(
    connect_timeout=3, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4}
)


# An endpoint that does not answer is asked once more, within its caller's own time limit.
_IMPATIENT = Config(connect_timeout=3, read_timeout=20, retries={"total_max_attempts": 2})


@cache
def client(service: str) -> Any:
    """Return the process's client of an AWS service, such as `s3`."""
    patience = _IMPATIENT if service == "sagemaker-runtime" else _CONFIG
    return boto3.client(service, config=patience)
