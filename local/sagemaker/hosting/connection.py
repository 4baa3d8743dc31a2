"""A small HTTP/1.1 client for serving containers: keep-alive, no thread, no copying about.

A general client costs more than the containers' own work; this one writes a request in one piece
and parses a response as it comes. asyncio sets TCP_NODELAY on its sockets.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

_RESPONSE_LIMIT = 64 * 2**20


class ContainerConnectionError(Exception):
    """The container could not be reached, closed the connection, or broke the protocol."""


@dataclass(frozen=True)
class Response:
    """What the container answered; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes


OnPart = Callable[[Response, bytes], None]
"""Told the head (a response without a body) and a piece of the body, as pieces come."""


class _Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.reusable = True
        self._buffer = bytearray()
        self._head: tuple[int, dict[str, str]] | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._on_part: OnPart | None = None
        self._passed_on = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        answer = self._answer
        if answer is None or answer.done():
            return
        if self._head and "content-length" not in self._head[1] and not self._is_chunked:
            self._finish(bytes(self._buffer))  # a body that ends with the connection
        else:
            answer.set_exception(ContainerConnectionError(str(exc or "connection closed")))

    def request(self, data: bytes, on_part: OnPart | None = None) -> asyncio.Future[Response]:
        """Send a request; the future is its response.

        `on_part` gets the body of a 2xx response, which then has none of its own.
        """
        assert self.transport is not None  # noqa: S101 - connected before it is handed out
        self._buffer.clear()
        self._head = None
        self._on_part, self._passed_on = on_part, 0
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nothing was asked
            return
        self._buffer += data
        try:
            body = self._read_body() if self._head or self._read_head() else None
        except (ValueError, IndexError) as error:
            self._answer.set_exception(ContainerConnectionError(f"malformed response: {error}"))
            self.close()
            return
        if body is None:
            self._acknowledge_at_once()
        else:
            self._finish(body)

    def _acknowledge_at_once(self) -> None:
        """Spare 40 ms with servers that write head and body apart and leave Nagle's wait on."""
        if self.transport and hasattr(socket, "TCP_QUICKACK"):
            connected = self.transport.get_extra_info("socket")
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def close(self) -> None:
        """Close the connection."""
        self.reusable = False
        if self.transport:
            self.transport.abort()

    @property
    def answered_something(self) -> bool:
        """Whether any byte of the current response came."""
        return self._head is not None or bool(self._buffer)

    @property
    def _is_chunked(self) -> bool:
        return bool(self._head and "chunked" in self._head[1].get("transfer-encoding", "").lower())

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        version, status, *_ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if status.startswith("1"):
            return self._read_head()  # an interim response
        if version != "HTTP/1.1" or headers.get("connection", "").lower() == "close":
            self.reusable = False
        self._head = (int(status), headers)
        return True

    def _read_body(self) -> bytes | None:
        """Return the body if all of it is here."""
        assert self._head is not None  # noqa: S101 - read before
        status, headers = self._head
        if self._on_part and 200 <= status < 300:
            return self._pass_on(self._on_part, Response(status, headers, b""))
        if self._is_chunked:
            return self._read_chunks()
        if status in (204, 304):
            return b""
        if "content-length" in headers:
            length = int(headers["content-length"])
            self._limit(length)
            return bytes(self._buffer[:length]) if len(self._buffer) >= length else None
        self.reusable = False
        self._limit(len(self._buffer))
        return None

    def _read_chunks(self) -> bytes | None:
        self._limit(len(self._buffer))
        body, position = bytearray(), 0
        while True:
            end = self._buffer.find(b"\r\n", position)
            if end < 0:
                return None
            size = int(self._buffer[position:end].split(b";")[0], 16)
            start = end + 2
            if size == 0:
                closing = self._buffer.find(b"\r\n", start)  # trailers are not expected
                return bytes(body) if closing >= 0 else None
            if len(self._buffer) < start + size + 2:
                return None
            body += self._buffer[start : start + size]
            position = start + size + 2

    def _pass_on(self, on_part: OnPart, head: Response) -> bytes | None:
        """Hand on what of the body is here; return b"" when that was the last of it."""
        if self._is_chunked:
            while (end := self._buffer.find(b"\r\n")) >= 0:
                size = int(self._buffer[:end].split(b";")[0], 16)
                start = end + 2
                if len(self._buffer) < start + size + 2:
                    return None
                if size == 0:
                    return b""
                on_part(head, bytes(self._buffer[start : start + size]))
                del self._buffer[: start + size + 2]
            return None
        if self._buffer:
            on_part(head, bytes(self._buffer))
            self._passed_on += len(self._buffer)
            self._buffer.clear()
        if "content-length" not in head.headers:
            self.reusable = False
            return None
        return b"" if self._passed_on >= int(head.headers["content-length"]) else None

    def _limit(self, size: int) -> None:
        if size > _RESPONSE_LIMIT:
            raise ValueError(f"more than {_RESPONSE_LIMIT} bytes")

    def _finish(self, body: bytes) -> None:
        assert self._head is not None  # noqa: S101 - read before
        assert self._answer is not None  # noqa: S101 - asked before
        status, headers = self._head
        self._answer.set_result(Response(status, headers, body))
        if not self.reusable:
            self.close()


class Pool:
    """Idle connections to one port, used by one event loop at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[_Connection] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, data: bytes, limit: float, on_part: OnPart | None = None) -> Response:
        """Send a request and return the response; `on_part` as `_Connection.request` says.

        Raises ContainerConnectionError, TimeoutError after `limit` seconds. A request on an idle
        connection that the container had closed meanwhile is sent again on a new one.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._idle = loop, []
        connection = self._take()
        if connection:
            try:
                return await self._ask(connection, data, limit, on_part)
            except ContainerConnectionError:
                if connection.answered_something:
                    raise
        try:
            _, connection = await loop.create_connection(_Connection, "127.0.0.1", self.port)
        except OSError as error:
            raise ContainerConnectionError(str(error)) from error
        return await self._ask(connection, data, limit, on_part)

    def close(self) -> None:
        """Forget the idle connections; the container's end closes them."""
        self._idle = []

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        return None

    async def _ask(
        self, connection: _Connection, data: bytes, limit: float, on_part: OnPart | None
    ) -> Response:
        try:
            async with asyncio.timeout(limit):
                response = await connection.request(data, on_part)
        except BaseException:  # a cancelled or late answer must not meet the next request
            connection.close()
            raise
        if connection.reusable:
            self._idle.append(connection)
        return response
