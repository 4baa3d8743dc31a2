"""Data capture: requests and responses as JSON lines in S3, off the request path.

Layout and record: "Capture data from real-time endpoint" of the developer guide.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import random
import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.connection import Response
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, TransferError

if TYPE_CHECKING:
    from local.sagemaker.hosting.fleet import Fleet

_QUEUE = 100_000
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exchange:
    """A request and its response, as they were."""

    when: dt.datetime
    content_type: str
    body: bytes
    response: Response
    inference_id: str | None


class Capture:
    """Queues exchanges and delivers them by endpoint, variant and hour."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._queue: list[tuple[Fleet, str, Exchange]] = []
        self._lock = threading.Lock()
        self._delivery = threading.Lock()

    def sample(
        self, fleet: Fleet, variant: str, headers: dict[str, str], body: bytes, response: Response
    ) -> None:
        """Take a successful exchange, if it is in the endpoint's sample."""
        config = fleet.capture
        if config is None or random.random() * 100 >= config["InitialSamplingPercentage"]:  # noqa: S311 - sampling
            return
        exchange = Exchange(
            dt.datetime.now(dt.UTC),
            headers.get("content-type", ""),
            body,
            response,
            headers.get("x-amzn-sagemaker-inference-id"),
        )
        with self._lock:
            if len(self._queue) < _QUEUE:
                self._queue.append((fleet, variant, exchange))

    def deliver(self) -> None:
        """Write what was taken, one object per endpoint, variant and hour."""
        with self._delivery:
            with self._lock:
                queue, self._queue = self._queue, []
            files: dict[tuple[int, str, str], list[bytes]] = defaultdict(list)
            fleets: dict[int, Fleet] = {}
            for fleet, variant, exchange in queue:
                fleets[id(fleet)] = fleet
                line = json.dumps(record_of(exchange, fleet.capture or {})).encode()
                files[id(fleet), variant, f"{exchange.when:%Y/%m/%d/%H}"].append(line)
            for (number, variant, hour), lines in files.items():
                self._write(fleets[number], variant, hour, lines)

    def _write(self, fleet: Fleet, variant: str, hour: str, lines: list[bytes]) -> None:
        assert fleet.capture is not None  # noqa: S101 - only such exchanges are taken
        now = dt.datetime.now(dt.UTC)
        name = f"{now:%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        destination = Location.of(fleet.capture["DestinationS3Uri"])
        try:
            credentials = self._context.assume(fleet.role, fleet.endpoint)
            location = destination / f"{fleet.endpoint}/{variant}/{hour}/{name}"
            S3(self._context.cloud, credentials).put(location, b"\n".join(lines) + b"\n")
        except (ServiceError, TransferError) as error:
            group = f"/aws/sagemaker/Endpoints/{fleet.endpoint}"
            log = self._context.logs.stream(group, f"{variant}/data-capture")
            log.write(f"{len(lines)} captured requests were lost: {error}")
            logger.warning("captured requests of %s were lost: %s", fleet.endpoint, error)


def record_of(exchange: Exchange, config: Record) -> Record:
    """Return the captured record of an exchange."""
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    headers = config.get("CaptureContentTypeHeader", {})
    captured: Record = {}
    if modes & {"Input", "InputAndOutput"}:
        captured["endpointInput"] = _side("INPUT", exchange.content_type, exchange.body, headers)
    if modes & {"Output", "InputAndOutput"}:
        response = exchange.response
        content_type = response.headers.get("content-type", "")
        captured["endpointOutput"] = _side("OUTPUT", content_type, response.body, headers)
    metadata = {
        "eventId": str(uuid.uuid4()),
        "inferenceTime": exchange.when.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if exchange.inference_id:
        metadata["inferenceId"] = exchange.inference_id
    return {"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"}


def _side(mode: str, content_type: str, body: bytes, headers: Record) -> Record:
    """Return one side of an exchange; a type not listed as CSV or JSON is base64-encoded."""
    bare = content_type.split(";")[0].strip()
    encoding = "BASE64"
    if bare in headers.get("CsvContentTypes", []):
        encoding = "CSV"
    elif bare in headers.get("JsonContentTypes", []):
        encoding = "JSON"
    data = (
        base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
    )
    return {
        "observedContentType": content_type,
        "mode": mode,
        "data": data,
        "encoding": encoding,
    }
