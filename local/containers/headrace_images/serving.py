"""The HTTP side of a serving container: /ping, /invocations, /execution-parameters."""

from __future__ import annotations

import json
import logging
import os
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, TypeAlias

Answer: TypeAlias = tuple[bytes, str]
logger = logging.getLogger(__name__)


class RefusalError(Exception):
    """A request is answered with another status than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Invoke(Protocol):
    """What answers an invocation."""

    execution_parameters: dict[str, Any] | None

    def __call__(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Return the body of the answer and its content type. Raises RefusalError."""


class Server(ThreadingHTTPServer):
    """Answers many connections, one invocation at a time, as a worker of AWS's images does."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, invoke: Invoke) -> None:
        host = os.environ.get("SAGEMAKER_BIND_TO_HOST", "0.0.0.0")  # noqa: S104 - as AWS's images do
        super().__init__((host, int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))), _Handler)
        self.invoke = invoke
        self.turn = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        parameters = self.server.invoke.execution_parameters
        if self.path == "/ping":
            self._answer(HTTPStatus.OK, b"", "application/json")
        elif self.path == "/execution-parameters" and parameters:
            self._answer(HTTPStatus.OK, json.dumps(parameters).encode(), "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/invocations":
            self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")
            return
        kind = self.headers.get("content-type", "")
        accept = self.headers.get("accept", "")
        try:
            with self.server.turn:
                content, content_type = self.server.invoke(body, kind, accept)
        except RefusalError as error:
            self._answer(error.status, str(error).encode(), "text/plain")
        except Exception as error:  # a request's boundary: the user's code may raise anything
            logger.exception("%s", self.path)
            reason = f"{type(error).__name__}: {error}"
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, reason.encode(), "text/plain")
        else:
            self._answer(HTTPStatus.OK, content, content_type)

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no line per request."""
