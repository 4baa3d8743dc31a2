"""Requests to endpoints: the request path. No thread, no disk, no other service on it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import ClassVar
from urllib.parse import unquote

from local.sagemaker import shapes
from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, not_implemented
from local.sagemaker.hosting import eventstream
from local.sagemaker.hosting.asking import LOG_GROUP, PREFIX, Call, refused
from local.sagemaker.hosting.asynchronous import Asynchronous
from local.sagemaker.hosting.capture import Capture
from local.sagemaker.hosting.components import Component
from local.sagemaker.hosting.connection import Response
from local.sagemaker.hosting.fleet import Fleet, Variant
from local.sagemaker.hosting.measures import Measures
from local.sagemaker.hosting.shadow import Shadows
from local.sagemaker.hosting.usage import Usage

_NOT_HERE = {
    "enable-explanations": "EnableExplanations",
    "session-id": "SessionId",
}
_CUSTOM_ATTRIBUTES = 1024
_USAGE_EVERY = 30  # deliveries of metrics: once a minute, as AWS does
_STREAM_SECONDS = 480.0  # "8 minutes for streaming responses" (InvokeEndpointWithResponseStream)
Answer = tuple[int, dict[str, str], bytes | AsyncIterator[bytes]]
logger = logging.getLogger(__name__)


class Runtime:
    """The endpoints in service, and requests to them."""

    operations: ClassVar[dict[str, str]] = {
        "invocations": "InvokeEndpoint",
        "async-invocations": "InvokeEndpointAsync",
        "invocations-response-stream": "InvokeEndpointWithResponseStream",
    }
    """The operations by the last part of their paths."""

    def __init__(self, context: Context) -> None:
        self.fleets: dict[str, Fleet] = {}
        self.components: dict[str, Component] = {}
        self._context = context
        self._capture = Capture(context)
        self._measures = Measures(context.cloud)
        self._shadows = Shadows(self._measures, self._capture)
        interval = _USAGE_EVERY * context.settings.metrics_interval
        self._usage = Usage(self._measures, context.state, interval)
        self._asynchronous = Asynchronous(context, self.fleets, self._measures)
        self._closing = threading.Event()
        model = shapes.service_model("sagemaker-runtime").operation_model("InvokeEndpoint")
        self._body_limit: int = model.input_shape.members["Body"].metadata["max"]

    def start(self) -> None:
        """Begin to deliver captured data and metrics, and to work on asynchronous requests."""
        settings = self._context.settings
        self._asynchronous.start()
        for interval, deliver in (
            (settings.capture_interval, self._capture.deliver),
            (settings.metrics_interval, self._publish),
        ):
            threading.Thread(target=self._repeat, args=(interval, deliver), daemon=True).start()

    def close(self) -> None:
        """Deliver what is left and kill every container."""
        self._closing.set()
        self._asynchronous.close()
        self._capture.deliver()
        self._measures.publish()
        for fleet in self.fleets.values():
            fleet.kill()
        for component in self.components.values():
            component.copies.kill()

    async def handle(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer a request to `/endpoints/NAME/...`; header names are lower-case.

        The body of an InvokeEndpointWithResponseStream comes in parts. Raises ServiceError.
        """
        _, _, name, operation = [*path.split("/", 3), ""][:4]
        began = time.perf_counter()
        fleet = self._fleet(unquote(name), headers)
        is_asynchronous = "AsyncInferenceConfig" in fleet.deployment["config"]
        try:
            if is_asynchronous != (operation == "async-invocations"):
                kind = "an asynchronous" if is_asynchronous else "not an asynchronous"
                raise refused(f"Endpoint {fleet.endpoint} is {kind} endpoint.")
            if is_asynchronous:
                return await self._asynchronous.accept(fleet, headers, body)
            if len(body) > self._body_limit:
                raise too_long("body", self._body_limit)
            if operation == "invocations":
                return await self._invoke(fleet, headers, body, began)
            if operation == "invocations-response-stream":
                return await self._stream(fleet, headers, body, began)
        except ServiceError as error:
            if error.code == "ModelError":
                error.fields["LogStreamArn"] = self._log_arn(fleet.endpoint)
            raise
        raise not_implemented(f"The runtime operation {operation}")

    async def _invoke(
        self, fleet: Fleet, headers: dict[str, str], body: bytes, began: float
    ) -> Answer:
        fleet, variant = self._target(fleet, headers)
        limit = self._context.settings.invocation_timeout
        call = Call(fleet.endpoint, headers, body, limit)
        if fleet.shadows:
            self._shadows.copy(fleet, call)
        response = await self._measures.measured(fleet, variant, call, began)
        self._capture.sample(fleet, variant.name, headers, body, response)
        answer = _headers(variant, response)
        answer["Content-Type"] = _content_type(response)
        return 200, answer, response.body

    async def _stream(
        self, fleet: Fleet, headers: dict[str, str], body: bytes, began: float
    ) -> Answer:
        """Begin to pass a container's answer on as it comes.

        What goes wrong before the first part is an error of its own, later it ends the stream.
        """
        headers = {**headers, "accept": headers.get(f"{PREFIX}accept", "*/*")}
        fleet, variant = self._target(fleet, headers)
        parts: asyncio.Queue[tuple[Response, bytes] | None] = asyncio.Queue()
        call = Call(
            fleet.endpoint,
            headers,
            body,
            _STREAM_SECONDS,
            on_part=lambda head, part: parts.put_nowait((head, part)),
        )
        if fleet.shadows:
            self._shadows.copy(fleet, call)
        asking = asyncio.get_running_loop().create_task(
            self._measures.measured(fleet, variant, call, began)
        )
        asking.add_done_callback(lambda _: parts.put_nowait(None))
        first = await parts.get()
        head = first[0] if first else await asking
        answer = _headers(variant, head)
        answer["Content-Type"] = eventstream.MEDIA_TYPE
        answer["X-Amzn-SageMaker-Content-Type"] = _content_type(head)

        async def encoded() -> AsyncIterator[bytes]:
            whole = bytearray()
            part = first
            try:
                while part:
                    whole += part[1]
                    yield eventstream.event("PayloadPart", part[1])
                    part = await parts.get()
                await asking
            except ServiceError as error:
                broken = "timed out" not in error.message
                code = "StreamBroken" if broken else "ModelInvocationTimeExceeded"
                yield eventstream.error("ModelStreamError", Message=error.message, ErrorCode=code)
                return
            finally:
                asking.cancel()  # the caller may have left
            response = Response(head.status, head.headers, bytes(whole))
            self._capture.sample(fleet, variant.name, headers, body, response)

        return 200, answer, encoded()

    def _fleet(self, name: str, headers: dict[str, str]) -> Fleet:
        fleet = self.fleets.get(name)
        if fleet is None:
            account = self._context.cloud.account_id
            raise refused(f"Endpoint {name} of account {account} not found.")
        for header, what in _NOT_HERE.items():
            if PREFIX + header in headers:
                raise not_implemented(what)
        if len(headers.get(f"{PREFIX}custom-attributes", "")) > _CUSTOM_ATTRIBUTES:
            raise too_long("customAttributes", _CUSTOM_ATTRIBUTES)
        return fleet

    def _target(self, fleet: Fleet, headers: dict[str, str]) -> tuple[Fleet, Variant]:
        """Choose what answers: two fleets serve while one replaces the other."""
        if name := headers.get(f"{PREFIX}inference-component"):
            component = self.components.get(name)
            if component is None or component.endpoint != fleet.endpoint:
                raise refused(f"Inference Component {name} of endpoint {fleet.endpoint} not found.")
            return fleet, component.copies
        variant = headers.get(f"{PREFIX}target-variant")
        target = fleet.target(variant)
        if target is None:
            raise refused(f"Variant {variant} not found for Request.")
        return target.fleet, target.variant

    def _log_arn(self, name: str) -> str:
        cloud = self._context.cloud
        return f"arn:aws:logs:{cloud.region}:{cloud.account_id}:log-group:{LOG_GROUP}/{name}"

    def _publish(self) -> None:
        self._asynchronous.measure()
        self._usage.sample(list(self.fleets.values()))
        self._measures.publish()

    def _repeat(self, interval: float, deliver: Callable[[], None]) -> None:
        while not self._closing.wait(interval):
            try:
                deliver()
            except Exception:  # a thread's boundary: the next delivery goes on
                logger.exception("a delivery of %s failed", deliver)


def _headers(variant: Variant, response: Response) -> dict[str, str]:
    answer = {"x-amzn-Invoked-Production-Variant": variant.name}
    if custom := response.headers.get(f"{PREFIX}custom-attributes"):
        answer["X-Amzn-SageMaker-Custom-Attributes"] = custom
    return answer


def _content_type(response: Response) -> str:
    return response.headers.get("content-type", "application/octet-stream")


def too_long(member: str, limit: int) -> ServiceError:
    """Refuse a member that is longer than the service model allows."""
    return refused(
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
        f"Member must have length less than or equal to {limit}"
    )


def error_body(error: ServiceError) -> bytes:
    """Return an error as both of SageMaker's protocols read it."""
    named = {"__type": error.code, "message": error.message, "Message": error.message}
    return json.dumps({**named, **error.fields}).encode()
