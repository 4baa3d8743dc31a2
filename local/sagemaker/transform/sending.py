"""Requests of a batch transform to one instance: retried, timed, whole or as a stream."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.asking import Call
from local.sagemaker.hosting.instance import Instance
from local.sagemaker.hosting.replica import Replica, UnhealthyError
from local.sagemaker.store import Record

_CHUNK = 2**20
_STREAMED_RECORD_MB = 100  # with MaxPayloadInMB 0, the most a single record may have here
_PAUSE = 0.2  # seconds before the first retry; doubled for each further one


@dataclass(frozen=True)
class Rates:
    """How an instance is sent requests; a payload of 0 MB is a stream."""

    concurrent: int
    payload_mb: int
    single: bool

    @classmethod
    def settle(cls, request: Record, container: Record) -> Rates:
        """Take the request's rates, else the container's, else AWS's defaults."""

        def number(member: str, default: int, unset: int | None = None) -> int:
            for value in (request.get(member), container.get(member)):
                if isinstance(value, int) and value != unset:
                    return value
            return default

        strategy = request.get("BatchStrategy") or container.get("BatchStrategy")
        return cls(
            concurrent=max(1, number("MaxConcurrentTransforms", 1, unset=0)),
            payload_mb=number("MaxPayloadInMB", 6),
            single=strategy in ("SingleRecord", "SINGLE_RECORD"),
        )

    @property
    def payload(self) -> int:
        """Return the largest payload in bytes."""
        return (self.payload_mb or _STREAMED_RECORD_MB) * 2**20


class InvocationError(Exception):
    """The model did not answer a request well; `is_client` tells who is to blame."""

    def __init__(self, message: str, is_client: bool = False) -> None:
        super().__init__(message)
        self.is_client = is_client


@dataclass(frozen=True)
class Sender:
    """A job's model client of one instance: ModelClientConfig's settings, a limit for restarts."""

    job: str
    instance: Instance
    headers: dict[str, str]
    timeout: float
    retries: int
    restart_timeout: float

    async def send(self, payload: bytes) -> bytes:
        """Return the answer to a request. Raises InvocationError.

        What may pass (a lost connection, a timeout, an answer of 5xx) is tried again.
        """
        for attempt in range(self.retries + 1):
            try:
                return await self._once(payload)
            except InvocationError as error:
                if error.is_client or attempt == self.retries:
                    raise
            await asyncio.sleep(_PAUSE * 2**attempt)
            await self._wait_ready()
        raise AssertionError("the last attempt returns or raises")

    async def _wait_ready(self) -> None:
        """Wait for a container that ended to be in service again."""
        try:
            await asyncio.to_thread(self.instance.wait_ready, self.restart_timeout)
        except UnhealthyError as error:
            raise InvocationError(f"The container ended: {error}") from error

    async def _once(self, payload: bytes) -> bytes:
        try:
            response = await self.instance.answer(
                Call(self.job, self.headers, payload, self.timeout)
            )
        except ServiceError as error:
            status, message = (
                error.fields.get(field) for field in ("OriginalStatusCode", "OriginalMessage")
            )
            if not status:
                raise InvocationError(str(message or error.message)) from error
            raise _refused(status, message) from error
        return response.body

    def stream(self, source: IO[bytes], target: IO[bytes]) -> None:
        """Send an object in chunks and write the answer; blocks. Raises InvocationError.

        It is not tried again: part of the answer may have been written.
        """
        if not isinstance(self.instance, Replica):
            raise InvocationError("Several containers cannot be streamed through locally")
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.instance.pool.port, timeout=self.timeout
        )
        try:
            connection.request(
                "POST", "/invocations", _chunks(source), self.headers, encode_chunked=True
            )
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise _refused(response.status, response.read(_CHUNK).decode(errors="replace"))
            shutil.copyfileobj(response, target, _CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise InvocationError(f"The container closed the connection: {error}") from error
        finally:
            connection.close()


def execution_parameters(instance: Instance) -> dict[str, Any]:
    """Ask a container for its settings; one that has no such path gives none, nor do several.

    See "How Containers Serve Requests" of "Use Your Own Inference Code with Batch Transform".
    """
    if not isinstance(instance, Replica):
        return {}
    connection = http.client.HTTPConnection("127.0.0.1", instance.pool.port, timeout=2)
    try:
        connection.request("GET", "/execution-parameters")
        response = connection.getresponse()
        content = response.read(_CHUNK)
        given = json.loads(content) if response.status == http.client.OK else {}
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return given if isinstance(given, dict) else {}


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk


def _refused(status: int, text: Any) -> InvocationError:
    return InvocationError(
        f"Bad HTTP status received from algorithm: {status}: {str(text)[:1024]}",
        400 <= status < 500,
    )
