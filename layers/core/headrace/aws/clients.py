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


@cache
def client(service: str) -> Any:
    """Return the process's client of an AWS service, such as `s3`."""
    return boto3.client(service, config=_CONFIG)
