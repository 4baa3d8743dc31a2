"""The listening socket: invocations of endpoints are answered at once, all else by the ASGI server.

A connection belongs to us as long as it carries nothing but signed invocations; the first request
of any other kind, or in any unusual form, is handed to the ASGI server with the connection, which
keeps it.
"""

import asyncio
import functools
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from hypercorn.asyncio.run import worker_serve
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config, Sockets
from hypercorn.utils import wrap_app

from local.ministack.runtime import Front, Request

_HEAD = 32 * 1024
_BODY = 8 * 2**20  # bytes: more than any invocation may have
_OURS = b"POST /endpoints/"
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_log = logging.getLogger(__name__)


class Listener:
    """Serves an ASGI application and, on the same port, invocations."""

    def __init__(self, application: Any, config: Config, front: Front) -> None:
        self._application = wrap_app(application, config.wsgi_max_body_size, None)
        self._config = config
        self._front = front
        self._context = WorkerContext(None)
        self._doors: set[Door] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket, until: Callable[[], Awaitable[None]]) -> None:
        """Serve until `until` returns; then end what is idle, and soon the rest."""

        async def accept() -> None:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(self._door, sock=listener, backlog=1024)
            try:
                await until()
            finally:
                server.close()
                await self._close()

        nothing = Sockets([], [], [])  # it is given its connections, and runs the lifespan
        await worker_serve(
            self._application, self._config, sockets=nothing, shutdown_trigger=accept
        )

    def _door(self) -> "Door":
        door = Door(self._front, self._hand_over, self._doors.discard)
        self._doors.add(door)
        return door

    def _hand_over(self, transport: asyncio.Transport, received: bytes) -> None:
        """Give a connection, and what came over it, to the ASGI server."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, self._take_over, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(received)

    async def _take_over(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        loop = asyncio.get_running_loop()
        await TCPServer(self._application, loop, self._config, self._context, {}, reader, writer)

    async def _close(self) -> None:
        await self._context.terminated.set()
        for door in list(self._doors):
            door.close()
        left = [*self._tasks, *(door.task for door in self._doors if door.task)]
        if left:
            await asyncio.wait(left, timeout=self._config.graceful_timeout)
        for door in list(self._doors):
            door.abort()


class Door(asyncio.Protocol):
    """One connection while it carries invocations."""

    task: asyncio.Task[None] | None = None
    """What answers the request under way."""

    def __init__(
        self,
        front: Front,
        hand_over: Callable[[asyncio.Transport, bytes], None],
        forget: Callable[["Door"], None],
    ) -> None:
        self._front = front
        self._hand_over = hand_over
        self._forget = forget
        self._buffer = bytearray()
        self._head: tuple[int, int, str, dict[str, str], list[tuple[bytes, bytes]]] | None = None
        self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Stop answering: nobody listens."""
        self._forget(self)
        self._writable.set()
        if self.task:
            self.task.cancel()

    def pause_writing(self) -> None:
        """Hold parts back while the client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Take in a request, or a part of one."""
        self._buffer += data
        if self.task is None:
            self._next()
        elif len(self._buffer) > _BODY:
            self._transport.pause_reading()

    def close(self) -> None:
        """Close the connection after the request under way."""
        self._closing = True
        if self.task is None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection."""
        self._transport.abort()

    def _next(self) -> None:
        """Begin to answer the next request, if it is here."""
        head = self._head or self._read_head()
        if head is None:
            return
        start, size, path, headers, raw = self._head = head
        if len(self._buffer) < start + size:
            return
        body = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        self._head = None
        request = Request(path, headers, raw, body)
        self.task = asyncio.get_running_loop().create_task(self._answer(request))
        self.task.add_done_callback(self._answered)

    def _read_head(
        self,
    ) -> tuple[int, int, str, dict[str, str], list[tuple[bytes, bytes]]] | None:
        """Return where the body starts, its size, and the request; None if it is not ours (yet)."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            begun = bytes(buffer[: len(_OURS)])
            if not _OURS.startswith(begun) or len(buffer) > _HEAD:
                self._leave()
            return None
        first, *lines = bytes(buffer[:end]).split(b"\r\n")
        method, _, rest = first.decode("latin-1").partition(" ")
        path, _, version = rest.partition(" ")
        raw = []
        for line in lines:
            name, _, value = line.partition(b":")
            raw.append((name.lower(), value.strip()))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
        length = headers.get("content-length", "")
        if (
            version != "HTTP/1.1"
            or len(headers) != len(raw)
            or not length.isdecimal()
            or int(length) > _BODY
            or "transfer-encoding" in headers
            or "expect" in headers
            or "content-encoding" in headers
            or not self._front.takes(method, path, headers)
        ):
            self._leave()
            return None
        return end + 4, int(length), path, headers, raw

    def _leave(self) -> None:
        self._forget(self)
        self._hand_over(self._transport, bytes(self._buffer))

    async def _answer(self, request: Request) -> None:
        status, headers, body = await self._front.answer(request)
        if request.headers.get("connection", "").lower() == "close":
            self._closing = True
        lines = [
            f"HTTP/1.1 {status} {_PHRASES.get(status, '')}",
            f"date: {_date(int(time.time()))}",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._closing:
            lines.append("connection: close")
        if isinstance(body, bytes):
            lines.append(f"content-length: {len(body)}\r\n\r\n")
            self._transport.write("\r\n".join(lines).encode("latin-1") + body)
        else:
            lines.append("transfer-encoding: chunked\r\n\r\n")
            self._transport.write("\r\n".join(lines).encode("latin-1"))
            await self._stream(body)

    async def _stream(self, parts: AsyncIterator[bytes]) -> None:
        async for part in parts:
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part))
            await self._writable.wait()
        self._transport.write(b"0\r\n\r\n")

    def _answered(self, task: asyncio.Task[None]) -> None:
        self.task = None
        if task.cancelled():
            return
        if error := task.exception():
            _log.error("a request was not answered", exc_info=error)
            self._transport.abort()
        elif self._closing:
            self._transport.close()
        else:
            self._transport.resume_reading()
            if self._buffer:
                self._next()


@functools.lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
