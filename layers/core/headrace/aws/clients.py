"""boto3 clients, made once per process, whose passing faults have one name."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import ConnectionError as UnreachableError
from botocore.exceptions import HTTPClientError

from headrace.errors import AwsBusyError

# A lost reply must surface within a function's own time limit, so connections do not wait for
# botocore's 60 s. "standard" retries throttles and resets with jitter (SDK reference, "Retry
# behavior").
_CONFIG = Config(
    connect_timeout=3, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4}
)


# An endpoint that does not answer is asked once more, within its caller's own time limit.
_IMPATIENT = Config(connect_timeout=3, read_timeout=20, retries={"total_max_attempts": 2})


# What passes, by its status and by its code ("Retry behavior", SDK reference). DynamoDB's and
# SageMaker's throttles are a 400.
_BUSY_STATUSES = frozenset({429, 500, 502, 503, 504})
_BUSY_CODES = (
    "Throttl",
    "TooManyRequests",
    "RequestLimitExceeded",
    "ThroughputExceeded",
    "SlowDown",
)


@cache
def client(service: str) -> Any:
    """Return the process's client of an AWS service, such as `s3`.

    What still fails after its retries only because AWS is busy, or cannot be reached, is an
    AwsBusyError, which state machines know to try again later. Endpoints' containers are no AWS:
    what they answer, or do not, is their callers' to judge.
    """
    if service == "sagemaker-runtime":
        return boto3.client(service, config=_IMPATIENT)
    return telling_busy(boto3.client(service, config=_CONFIG))


def telling_busy(client: Any) -> Any:
    """Make a client raise AwsBusyError for what may be tried again later; return it."""
    client.meta.events.register("after-call", _look_at_reply)
    client.meta.events.register("after-call-error", _look_at_fault)
    return client


def _look_at_reply(parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
    error = parsed.get("Error", {})
    status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = str(error.get("Code", ""))
    if error and (status in _BUSY_STATUSES or any(busy in code for busy in _BUSY_CODES)):
        _tell(model.name, f"{code} ({status}): {error.get('Message')}")


def _look_at_fault(exception: Exception, event_name: str, **_: Any) -> None:
    if isinstance(exception, HTTPClientError | UnreachableError):
        _tell(event_name.rpartition(".")[2], str(exception), exception)


def _tell(operation: str, why: str, cause: Exception | None = None) -> NoReturn:
    raise AwsBusyError(
        f"{operation} did not go through: {why}. It is tried again later."
    ) from cause
