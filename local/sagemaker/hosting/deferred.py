"""One asynchronous request: what is accepted, where its answer goes, who is told.

InvokeEndpointAsync of the API reference; "Check prediction results" for the notifications.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker import rest, shapes
from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.asking import LOG_GROUP, PREFIX, refused
from local.sagemaker.hosting.connection import Response
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, TransferError

if TYPE_CHECKING:
    from local.sagemaker.hosting.fleet import Fleet

_TTL, _TIMEOUT = 21_600, 900  # seconds: the defaults of InvokeEndpointAsync
_INPUT = 2**30  # bytes: "payload sizes up to 1 GB"
logger = logging.getLogger(__name__)


class FailedError(Exception):
    """A request has no answer; `response` is what the container said, if it said anything."""

    def __init__(self, reason: str, response: str = "") -> None:
        super().__init__(reason)
        self.response = response


class DownloadError(FailedError):
    """The input cannot be read."""


class UploadError(FailedError):
    """The output cannot be written."""


def accepted(
    fleet: Fleet, headers: dict[str, str], body: bytes
) -> tuple[Record, tuple[int, dict[str, str], bytes]]:
    """Return a request as it is stored, and what its caller is answered. Raises ValidationError."""
    request = _request(fleet, headers, body)
    if bool(body) == ("InputLocation" in request):
        raise refused("Exactly one of Body and InputLocation must be provided.")
    config = fleet.deployment["config"]["AsyncInferenceConfig"]["OutputConfig"]
    name = str(uuid.uuid4())
    inference = request.get("InferenceId") or str(uuid.uuid4())
    file = request.get("Filename") or f"{name}.out"
    extension = request.get("S3OutputPathExtension", "").strip("/")
    folder = f"{extension}/" if extension else ""
    output = f"{config['S3OutputPath'].rstrip('/')}/{folder}{file}"
    record: Record = {
        "id": name,
        "endpoint": fleet.endpoint,
        "inference": inference,
        "received": time.time(),
        "ttl": request.get("RequestTTLSeconds", _TTL),
        "timeout": request.get("InvocationTimeoutSeconds", _TIMEOUT),
        "output": output,
        "headers": _forwarded(headers),
    }
    if body:
        record["body"] = base64.b64encode(body).decode()
    else:
        record["input"] = request["InputLocation"]
    answer = {"Content-Type": "application/json", "X-Amzn-SageMaker-OutputLocation": output}
    if path := config.get("S3FailurePath"):
        record["failure"] = f"{path.rstrip('/')}/{folder}{name}-error.out"
        answer["X-Amzn-SageMaker-FailureLocation"] = record["failure"]
    return record, (202, answer, json.dumps({"InferenceId": inference}).encode())


def input_of(context: Context, role: str, record: Record) -> bytes:
    """Return a request's body, from S3 if it is there. Raises DownloadError."""
    if "body" in record:
        return base64.b64decode(record["body"])
    uri = re.sub(r"^https://([^/.]+)\.s3[^/]*/", r"s3://\1/", record["input"])
    try:
        body = S3(context.cloud, context.assume(role, record["endpoint"])).get(uri)
    except (TransferError, ServiceError) as error:
        raise DownloadError(f"Failed to download the request payload: {error}") from error
    if len(body) > _INPUT:
        raise DownloadError("The request payload is larger than 1 GB")
    return body


def put_output(context: Context, role: str, record: Record, response: Response) -> None:
    """Write a container's answer. Raises UploadError."""
    _put(context, role, record["endpoint"], record["output"], response.body)


def put_failure(context: Context, fleet: Fleet, record: Record, failure: FailedError) -> None:
    """Write why a request failed, if the endpoint says where; what cannot be written is logged."""
    text = failure.response or str(failure)
    try:
        if "failure" in record:
            _put(context, fleet.role, record["endpoint"], record["failure"], text.encode())
    except UploadError as error:
        logger.warning("asynchronous request %s: %s", record["id"], error)
    log = context.logs.stream(f"{LOG_GROUP}/{record['endpoint']}", "data-log")
    log.write(f"[{record['inference']}] {failure}")


def notify(
    context: Context,
    role: str,
    config: Record,
    record: Record,
    response: Response | None,
    failure: FailedError | None,
) -> bool:
    """Tell the endpoint's topic how a request ended; return False if it could not be told."""
    topics = config.get("NotificationConfig", {})
    topic = topics.get("ErrorTopic" if failure else "SuccessTopic")
    if not topic:
        return True
    try:
        client = context.client("sns", role, record["endpoint"])
        client.publish(
            TopicArn=topic, Message=json.dumps(_message(context, record, response, failure))
        )
    except (ServiceError, ClientError, BotoCoreError) as error:
        logger.warning("%s was not told of %s: %s", topic, record["id"], error)
        return False
    return True


def _message(
    context: Context, record: Record, response: Response | None, failure: FailedError | None
) -> Record:
    parameters = {"endpointName": record["endpoint"]}
    if "content-type" in record["headers"]:
        parameters["contentType"] = record["headers"]["content-type"]
    if "input" in record:
        parameters["inputLocation"] = record["input"]
    message: Record = {
        "awsRegion": context.cloud.region,
        "eventTime": _iso(time.time()),
        "receivedTime": _iso(record["received"]),
        "invocationStatus": "Failed" if failure else "Completed",
        "requestParameters": parameters,
        "inferenceId": record["inference"],
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if failure:
        message["failureReason"] = str(failure)
    if response:
        message["responseParameters"] = {
            "contentType": response.headers.get("content-type", "application/octet-stream"),
            "outputLocation": record["output"],
        }
    return message


def _request(fleet: Fleet, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Return the request's members, checked by the service model."""
    found = rest.find("POST", f"/endpoints/{fleet.endpoint}/async-invocations")
    assert found is not None  # noqa: S101 - the service model has this route
    given = {**rest.gather(*found, headers, {}, b""), **({"Body": body} if body else {})}
    return shapes.parse("InvokeEndpointAsync", given)


def _forwarded(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers that the container gets: the caller's are those of the queue."""
    given = {
        "content-type": headers.get(f"{PREFIX}content-type"),
        "accept": headers.get(f"{PREFIX}accept"),
        f"{PREFIX}custom-attributes": headers.get(f"{PREFIX}custom-attributes"),
        f"{PREFIX}inference-id": headers.get(f"{PREFIX}inference-id"),
    }
    return {name: value for name, value in given.items() if value is not None}


def _put(context: Context, role: str, endpoint: str, uri: str, body: bytes) -> None:
    try:
        S3(context.cloud, context.assume(role, endpoint)).put(Location.of(uri), body)
    except (TransferError, ServiceError) as error:
        raise UploadError(f"Failed to upload to {uri}: {error}") from error


def _iso(epoch: float) -> str:
    text = dt.datetime.fromtimestamp(epoch, dt.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
