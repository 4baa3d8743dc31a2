"""The HTTP side of a serving container: /ping, invocations, and the models of a multi-model one."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from headrace_images import contract

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


@dataclass(frozen=True)
class Asked:
    """A request to the container."""

    method: str
    path: str
    body: bytes
    content_type: str
    accept: str


class App(Protocol):
    """What answers the requests but /ping."""

    def __call__(self, asked: Asked) -> Answer:
        """Return the body of the answer and its content type. Raises RefusalError."""


class SingleModel:
    """A container of one model: /invocations, /execution-parameters."""

    def __init__(self, invoke: Invoke) -> None:
        self._invoke = invoke

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request. Raises RefusalError."""
        parameters = self._invoke.execution_parameters
        if (asked.method, asked.path) == ("POST", "/invocations"):
            return self._invoke(asked.body, asked.content_type, asked.accept)
        if (asked.method, asked.path) == ("GET", "/execution-parameters") and parameters:
            return json.dumps(parameters).encode(), "application/json"
        raise RefusalError(404, "")


class MultiModel:
    """A container of many models, loaded and unloaded as the endpoint asks.

    Source: "Contract for custom containers to deploy multiple models" of the developer guide.
    """

    def __init__(self, load: Callable[[Path], Invoke]) -> None:
        self._load = load
        self._models: dict[str, tuple[str, Invoke]] = {}

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request. Raises RefusalError."""
        name, _, what = asked.path.removeprefix("/models").lstrip("/").partition("/")
        if (asked.method, name) == ("POST", ""):
            return self._add(json.loads(asked.body))
        if (asked.method, name) == ("GET", ""):
            return self._told({"models": [self._shown(name) for name in self._models]})
        if not asked.path.startswith("/models/") or name not in self._models:
            raise RefusalError(404, f"Model {name} is not loaded")
        if (asked.method, what) == ("POST", "invoke"):
            return self._models[name][1](asked.body, asked.content_type, asked.accept)
        if (asked.method, what) == ("GET", ""):
            return self._told(self._shown(name))
        if (asked.method, what) == ("DELETE", ""):
            del self._models[name]
            return self._told({})
        raise RefusalError(404, "")

    def _add(self, asked: dict[str, str]) -> Answer:
        name, url = asked["model_name"], asked["url"]
        if name in self._models:
            raise RefusalError(409, f"Model {name} is already loaded")
        try:
            self._models[name] = url, self._load(contract.local(url))
        except contract.UserError as error:
            raise RefusalError(500, str(error)) from error
        except MemoryError as error:
            raise RefusalError(507, "There is no memory left") from error
        return self._told({})

    def _shown(self, name: str) -> dict[str, str]:
        return {"modelName": name, "modelUrl": self._models[name][0]}

    def _told(self, value: Any) -> Answer:
        return json.dumps(value).encode(), "application/json"


class Server(ThreadingHTTPServer):
    """Answers many connections, one request at a time, as a worker of AWS's images does."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, app: App) -> None:
        host = os.environ.get("SAGEMAKER_BIND_TO_HOST", "0.0.0.0")  # noqa: S104 - as AWS's images do
        super().__init__((host, int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))), _Handler)
        self.app = app
        self.turn = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer /ping at once, whatever is being computed."""
        if self.path == "/ping":
            self._answer(HTTPStatus.OK, b"", "application/json")
        else:
            self.do_POST()

    def do_POST(self) -> None:
        """Answer any other request in its turn."""
        asked = Asked(
            method=self.command,
            path=self.path,
            body=self.rfile.read(int(self.headers.get("content-length", 0))),
            content_type=self.headers.get("content-type", ""),
            accept=self.headers.get("accept", ""),
        )
        try:
            with self.server.turn:
                content, content_type = self.server.app(asked)
        except RefusalError as error:
            self._answer(error.status, str(error).encode(), "text/plain")
        except Exception as error:  # a request's boundary: the user's code may raise anything
            logger.exception("%s", self.path)
            reason = f"{type(error).__name__}: {error}"
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, reason.encode(), "text/plain")
        else:
            self._answer(HTTPStatus.OK, content, content_type)

    do_DELETE = do_POST  # noqa: N815 - the name that http.server calls

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no line per request."""
