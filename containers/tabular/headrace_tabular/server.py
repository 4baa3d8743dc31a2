"""SageMaker's hosting contract as an ASGI application: GET /ping and POST /invocations.

Plain ASGI, because at a tenth of a millisecond for a prediction a web framework would be most of
the time. Small requests are answered on the event loop; large ones in a thread, so that /ping,
which SageMaker gives two seconds, is answered meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from headrace_tabular.errors import RequestError, TabularError
from headrace_tabular.handlers import Handler

logger = logging.getLogger("headrace")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, bytes, str]

SMALL_BODY = 64 * 1024
DRAINED = 16  # times the limit that is read and thrown away
JSON = "application/json"
# A client's own words, which SageMaker passes on as they are.
ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
EXPLAIN = "headrace-explain"
METHODS = {"/ping": ("GET", "HEAD"), "/invocations": ("POST",)}


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


class App:
    """The ASGI application of one loaded model."""

    def __init__(self, handler: Handler, max_bytes: int) -> None:
        self.handler = handler
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            status, body, media = await self.answer(scope, receive)
        except ClientGoneError:
            return
        except RequestError as error:
            status, body, media = error.status, message(str(error)), JSON
        headers = [
            (b"content-type", media.encode("latin-1", "replace")),
            (b"content-length", str(len(body)).encode()),
        ]
        if status == 405:
            headers.append((b"allow", ", ".join(METHODS[scope["path"]]).encode()))
        if status == 413:  # there may be more of the body
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Route a request and return its answer."""
        path, method = scope["path"], scope["method"]
        if path not in METHODS:
            raise RequestError(f"no such path {path}: POST /invocations or GET /ping", 404)
        if method not in METHODS[path]:
            raise RequestError(f"{path} answers {' and '.join(METHODS[path])}, not {method}", 405)
        if path == "/ping":
            return 200, b"", JSON
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        body = await self.read_body(receive)
        content_type, accept = headers.get(b"content-type", ""), headers.get(b"accept", "")
        if EXPLAIN in headers.get(ATTRIBUTES, ""):
            return await asyncio.to_thread(self.predict, body, content_type, accept, explain=True)
        if len(body) <= SMALL_BODY:
            return self.predict(body, content_type, accept)
        return await asyncio.to_thread(self.predict, body, content_type, accept)

    async def read_body(self, receive: Receive) -> bytes:
        """Read the body, but never keep more of it than is allowed.

        What is too large is read on for a while and thrown away: a client that is still sending
        when the connection closes sees a broken pipe and not the answer that says why.
        """
        parts: list[bytes] = []
        size, more = 0, True
        while more and size <= DRAINED * self.max_bytes:
            part = await receive()
            if part["type"] == "http.disconnect":
                raise ClientGoneError
            size += len(part.get("body", b""))
            if size > self.max_bytes:
                parts.clear()
            else:
                parts.append(part.get("body", b""))
            more = part.get("more_body", False)
        if size > self.max_bytes:
            raise RequestError(f"the body is larger than {self.max_bytes:,} bytes: split it", 413)
        return b"".join(parts)

    def predict(
        self, body: bytes, content_type: str, accept: str, *, explain: bool = False
    ) -> Answer:
        """Answer a prediction; a fault is a 500 with its reason, and the server goes on."""
        try:
            content, media = self.handler(body, content_type, accept, explain=explain)
        except RequestError:
            raise
        except TabularError as error:
            logger.exception("a prediction failed")
            return 500, message(str(error)), JSON
        except Exception as error:  # the boundary: one request must not end the rest
            logger.exception("a prediction failed")
            return 500, message(f"the prediction failed: {type(error).__name__}"), JSON
        return 200, content, media


def message(text: str) -> bytes:
    """Return an error's body."""
    return json.dumps({"error": text}, ensure_ascii=False).encode("utf-8", "replace")
