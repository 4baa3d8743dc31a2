"""A call of an endpoint, and how a container is asked to answer it."""

from __future__ import annotations

from dataclasses import dataclass, field

from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.connection import ContainerConnectionError, OnPart, Response
from local.sagemaker.hosting.replica import Replica, Serving

PREFIX = "x-amzn-sagemaker-"
LOG_GROUP = "/aws/sagemaker/Endpoints"
_FORWARDED = ("content-type", "accept", f"{PREFIX}custom-attributes", f"{PREFIX}target-model")


@dataclass
class Call:
    """A caller's request of an endpoint; header names are lower-case.

    `limit`: seconds that a container may take to answer it. `on_part` is told the body of a
    successful answer in pieces, as they come. What happened on the way is noted in `measures`:
    metrics of CloudWatch and their values.
    """

    endpoint: str
    headers: dict[str, str]
    body: bytes
    limit: float
    on_part: OnPart | None = None
    measures: list[tuple[str, float]] = field(default_factory=list)

    def option(self, name: str) -> str | None:
        """Return one of SageMaker's own headers, by its name without `X-Amzn-SageMaker-`."""
        return self.headers.get(PREFIX + name)


class Container(Replica):
    """A replica that answers calls; `name` is what errors call it."""

    def __init__(self, serving: Serving, name: str = "primary") -> None:
        super().__init__(serving)
        self.name = name
        self.containers = [self]

    @property
    def pid(self) -> int | None:
        """The process that leads the container's session, None while none runs."""
        return self._process.pid if self._process and self._process.running else None

    def restart(self, reason: str) -> None:
        """Kill the container, which is then started again."""
        if self._process and self._process.running:
            self.serving.log.write(reason)
            self._process.kill()

    async def answer(self, call: Call) -> Response:
        """Pass a call on and return the container's answer, of status 2xx. Raises ModelError."""
        if call.option("target-model"):
            raise refused(
                f"Endpoint {call.endpoint} is not a multi-model endpoint and does not support "
                "target model header."
            )
        if call.option("target-container-hostname"):
            raise refused(
                f"Endpoint {call.endpoint} does not run several containers that are called one by "
                "one, and does not support target container hostname header."
            )
        return await self.ask(call, "/invocations")

    async def ask(self, call: Call, path: str) -> Response:
        """Post a call to a path of the container's; otherwise as `answer`."""
        request = encode("POST", path, self.pool.port, call.headers, call.body)
        self.outstanding += 1
        try:
            response = await self.pool.send(request, call.limit, call.on_part)
        except ContainerConnectionError as error:
            raise no_answer(self.name, f"The container closed the connection: {error}") from error
        except TimeoutError as error:
            raise no_answer(
                self.name,
                "Your invocation timed out while waiting for a response from container "
                f"{self.name}.",
            ) from error
        finally:
            self.outstanding -= 1
        if not 200 <= response.status < 300:
            raise model_error(self.name, call.endpoint, response)
        return response


def encode(method: str, path: str, port: int, headers: dict[str, str], body: bytes) -> bytes:
    """Return an HTTP request with those of the caller's headers that reach a container.

    "Amazon SageMaker AI strips all POST headers except those supported by the API."
    """
    lines = [
        f"{method} {path} HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        f"content-length: {len(body)}",
        *(f"{name}: {headers[name]}" for name in _FORWARDED if name in headers),
        "\r\n",
    ]
    return "\r\n".join(lines).encode("latin-1") + body


def refused(message: str) -> ServiceError:
    """Return the runtime's own name for a bad request."""
    return ServiceError("ValidationError", message)


def unhealthy(variant: str) -> ServiceError:
    """Say that nothing can answer now."""
    return ServiceError("ServiceUnavailable", f"No container of variant {variant} is healthy.", 503)


def no_answer(container: str, message: str) -> ServiceError:
    """Return the error of a container that gave no answer."""
    return ServiceError(
        "ModelError",
        f'Received server error (0) from {container} with message "{message}"',
        424,
        OriginalStatusCode=0,
        OriginalMessage=message,
    )


def model_error(container: str, endpoint: str, response: Response) -> ServiceError:
    """Return the error of a container that answered with one."""
    side = "client" if response.status < 500 else "server"
    text = response.body.decode(errors="replace")
    return ServiceError(
        "ModelError",
        f'Received {side} error ({response.status}) from {container} with message "{text[:1024]}".'
        f" See the log group {LOG_GROUP}/{endpoint} for more information.",
        424,
        OriginalStatusCode=response.status,
        OriginalMessage=text,
    )
