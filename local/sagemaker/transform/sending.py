"""Requests of a batch transform to one instance: retried, timed, whole or as a stream."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from local.sagemaker.hosting.connection import ContainerConnectionError
from local.sagemaker.hosting.replica import Replica, UnhealthyError

_CHUNK = 2**20
_PAUSE = 0.2  # seconds before the first retry; doubled for each further one


class InvocationError(Exception):
    """The model did not answer a request well; `is_client` tells who is to blame."""

    def __init__(self, message: str, is_client: bool = False) -> None:
        super().__init__(message)
        self.is_client = is_client


@dataclass(frozen=True)
class Sender:
    """One instance's model client: ModelClientConfig's settings, and a limit for its restarts."""

    replica: Replica
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
            await asyncio.to_thread(self.replica.wait_ready, self.restart_timeout)
        except UnhealthyError as error:
            raise InvocationError(f"The container ended: {error}") from error

    async def _once(self, payload: bytes) -> bytes:
        pool = self.replica.pool
        lines = [
            "POST /invocations HTTP/1.1",
            f"host: 127.0.0.1:{pool.port}",
            f"content-length: {len(payload)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
            "\r\n",
        ]
        try:
            response = await pool.send("\r\n".join(lines).encode("latin-1") + payload, self.timeout)
        except ContainerConnectionError as error:
            raise InvocationError(f"The container closed the connection: {error}") from error
        except TimeoutError as error:
            raise InvocationError(f"No answer within {self.timeout:g} seconds") from error
        _check(response.status, response.body)
        return response.body

    def stream(self, source: IO[bytes], target: IO[bytes]) -> None:
        """Send an object in chunks and write the answer; blocks. Raises InvocationError.

        It is not tried again: part of the answer may have been written.
        """
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.replica.pool.port, timeout=self.timeout
        )
        try:
            connection.request(
                "POST", "/invocations", _chunks(source), self.headers, encode_chunked=True
            )
            response = connection.getresponse()
            if response.status != http.client.OK:
                _check(response.status, response.read(_CHUNK))
            shutil.copyfileobj(response, target, _CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise InvocationError(f"The container closed the connection: {error}") from error
        finally:
            connection.close()


def execution_parameters(port: int) -> dict[str, Any]:
    """Ask a container for its settings; one that has no such path gives none.

    See "How Containers Serve Requests" of "Use Your Own Inference Code with Batch Transform".
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
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


def _check(status: int, body: bytes) -> None:
    if not 200 <= status < 300:
        text = body[:1024].decode(errors="replace")
        raise InvocationError(
            f"Bad HTTP status received from algorithm: {status}: {text}", 400 <= status < 500
        )
