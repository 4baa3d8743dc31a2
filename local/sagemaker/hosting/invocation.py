"""InvokeEndpoint: the request path. No thread, no disk, no other service on it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from local.sagemaker import shapes
from local.sagemaker.errors import ServiceError, not_implemented
from local.sagemaker.hosting.capture import Capture
from local.sagemaker.hosting.connection import ContainerConnectionError, Response
from local.sagemaker.hosting.fleet import Fleet, Variant
from local.sagemaker.hosting.instance import LOG_GROUP
from local.sagemaker.hosting.measures import Measures
from local.sagemaker.hosting.replica import Replica

if TYPE_CHECKING:
    from local.sagemaker.families.base import Context

logger = logging.getLogger(__name__)
_PREFIX = "x-amzn-sagemaker-"
_FORWARDED = ("content-type", "accept", f"{_PREFIX}custom-attributes")
_NOT_HERE = {
    "target-model": "TargetModel (multi-model endpoints)",
    "target-container-hostname": "TargetContainerHostname",
    "inference-component": "InferenceComponentName",
    "enable-explanations": "EnableExplanations",
    "session-id": "SessionId",
}
_CUSTOM_ATTRIBUTES = 1024
Answer = tuple[int, dict[str, str], bytes]


class Runtime:
    """The endpoints in service, and requests to them."""

    def __init__(self, context: Context) -> None:
        self.fleets: dict[str, Fleet] = {}
        self._context = context
        self._capture = Capture(context)
        self._measures = Measures(context.cloud)
        self._closing = threading.Event()
        model = shapes.service_model("sagemaker-runtime").operation_model("InvokeEndpoint")
        self._body_limit: int = model.input_shape.members["Body"].metadata["max"]

    def start(self) -> None:
        """Begin to deliver captured data and metrics."""
        settings = self._context.settings
        for interval, deliver in (
            (settings.capture_interval, self._capture.deliver),
            (settings.metrics_interval, self._measures.publish),
        ):
            threading.Thread(target=self._repeat, args=(interval, deliver), daemon=True).start()

    def close(self) -> None:
        """Deliver what is left and kill every container."""
        self._closing.set()
        self._capture.deliver()
        self._measures.publish()
        for fleet in self.fleets.values():
            fleet.kill()

    async def handle(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer a request to `/endpoints/NAME/...`."""
        _, _, name, operation = [*path.split("/", 3), ""][:4]
        if operation != "invocations":
            raise not_implemented(f"The runtime operation {operation}")
        return await self.invoke(unquote(name), headers, body)

    async def invoke(self, name: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send a request to a variant's container and return what it answered."""
        began = time.perf_counter()
        fleet = self._fleet(name, headers, body)
        fleet, variant = _target(fleet, headers)
        replica = variant.pick()
        if replica is None:
            self._measure(fleet, variant, None, 0.0, began)
            raise ServiceError(
                "ServiceUnavailable", f"No container of variant {variant.name} is healthy.", 503
            )
        asked = time.perf_counter()
        try:
            response = await self._ask(replica, headers, body)
        except ServiceError as error:
            self._measure(fleet, variant, None, time.perf_counter() - asked, began)
            error.fields["LogStreamArn"] = self._log_arn(name)
            raise
        self._measure(fleet, variant, response.status, time.perf_counter() - asked, began)
        if not 200 <= response.status < 300:
            raise self._model_error(name, response)
        self._capture.sample(fleet, variant.name, headers, body, response)
        answer = {
            "Content-Type": response.headers.get("content-type", "application/octet-stream"),
            "x-amzn-Invoked-Production-Variant": variant.name,
        }
        if custom := response.headers.get(f"{_PREFIX}custom-attributes"):
            answer["X-Amzn-SageMaker-Custom-Attributes"] = custom
        return 200, answer, response.body

    def _fleet(self, name: str, headers: dict[str, str], body: bytes) -> Fleet:
        fleet = self.fleets.get(name)
        if fleet is None:
            account = self._context.cloud.account_id
            raise _invalid(f"Endpoint {name} of account {account} not found.")
        for header, what in _NOT_HERE.items():
            if _PREFIX + header in headers:
                raise not_implemented(what)
        if len(body) > self._body_limit:
            raise _too_long("body", self._body_limit)
        if len(headers.get(f"{_PREFIX}custom-attributes", "")) > _CUSTOM_ATTRIBUTES:
            raise _too_long("customAttributes", _CUSTOM_ATTRIBUTES)
        return fleet

    async def _ask(self, replica: Replica, headers: dict[str, str], body: bytes) -> Response:
        lines = [
            "POST /invocations HTTP/1.1",
            f"host: 127.0.0.1:{replica.pool.port}",
            f"content-length: {len(body)}",
            *(f"{name}: {headers[name]}" for name in _FORWARDED if name in headers),
            "\r\n",
        ]
        request = "\r\n".join(lines).encode("latin-1") + body
        replica.outstanding += 1
        try:
            return await replica.pool.send(request, self._context.settings.invocation_timeout)
        except ContainerConnectionError as error:
            raise _no_answer(f"The container closed the connection: {error}") from error
        except TimeoutError as error:
            raise _no_answer(
                "Your invocation timed out while waiting for a response from container primary."
            ) from error
        finally:
            replica.outstanding -= 1

    def _measure(
        self, fleet: Fleet, variant: Variant, status: int | None, model: float, began: float
    ) -> None:
        overhead = time.perf_counter() - began - model
        instances = len(variant.replicas)
        self._measures.record(
            fleet.endpoint, variant.name, status, model, overhead, instances, fleet.deploying
        )

    def _model_error(self, name: str, response: Response) -> ServiceError:
        side = "client" if response.status < 500 else "server"
        text = response.body.decode(errors="replace")
        return ServiceError(
            "ModelError",
            f'Received {side} error ({response.status}) from primary with message "{text[:1024]}". '
            f"See the log group {LOG_GROUP}/{name} for more information.",
            424,
            OriginalStatusCode=response.status,
            OriginalMessage=text,
            LogStreamArn=self._log_arn(name),
        )

    def _log_arn(self, name: str) -> str:
        cloud = self._context.cloud
        return f"arn:aws:logs:{cloud.region}:{cloud.account_id}:log-group:{LOG_GROUP}/{name}"

    def _repeat(self, interval: float, deliver: Callable[[], None]) -> None:
        while not self._closing.wait(interval):
            try:
                deliver()
            except Exception:  # a thread's boundary: the next delivery goes on
                logger.exception("a delivery of %s failed", deliver)


def _target(fleet: Fleet, headers: dict[str, str]) -> tuple[Fleet, Variant]:
    """Choose the fleet and variant of a request: two fleets serve while one replaces the other."""
    name = headers.get(f"{_PREFIX}target-variant")
    target = fleet.target(name)
    if target is None:
        raise _invalid(f"Variant {name} not found for Request.")
    return target.fleet, target.variant


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def _too_long(member: str, limit: int) -> ServiceError:
    return _invalid(
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
        f"Member must have length less than or equal to {limit}"
    )


def _no_answer(message: str) -> ServiceError:
    return ServiceError(
        "ModelError",
        f'Received server error (0) from primary with message "{message}"',
        424,
        OriginalStatusCode=0,
        OriginalMessage=message,
    )


def error_body(error: ServiceError) -> bytes:
    """Return an error as both of SageMaker's protocols read it."""
    named = {"__type": error.code, "message": error.message, "Message": error.message}
    return json.dumps({**named, **error.fields}).encode()
