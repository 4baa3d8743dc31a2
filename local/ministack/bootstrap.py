"""Runs one Lambda function in a process of its own: `python -S -s -P bootstrap.py FD`.

AWS ("Lambda execution environment", "Python handler errors", "Python logging"): the handler module
is imported once, invocations follow one another, an exception reaches the caller as errorType (the
class name), errorMessage and stackTrace, and leaves the environment usable. Uses the standard
library only; speaks JSON lines over the socket FD: first the function, then the invocations. When
the socket closes (the emulator is gone, however it went) the process ends, even inside a handler.
"""

import importlib
import json
import logging
import os
import queue
import site
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any


class ClientContext:
    """What a mobile client would send; always empty here."""

    custom: dict[str, Any] = {}  # noqa: RUF012 — mirrors the runtime's shape
    env: dict[str, Any] = {}  # noqa: RUF012 — likewise
    client = None


class Context:
    """The `context` argument of a handler ("Lambda context object in Python")."""

    identity = None
    client_context = None

    def __init__(self, invocation: dict[str, Any]) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.invoked_function_arn = invocation["function_arn"]
        self.aws_request_id = invocation["request_id"]
        self._deadline = time.monotonic() + invocation["timeout"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function times out."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


class LogFormatter(logging.Formatter):
    """Text or JSON log records, as the managed runtime writes them."""

    request_id = ""

    def format(self, record: logging.LogRecord) -> str:
        """One line per record (and a traceback, when there is one)."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        stamp = f"{stamp}.{int(record.msecs):03d}Z"
        if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
            entry = {
                "timestamp": stamp,
                "level": record.levelname,
                "message": record.getMessage(),
                "logger": record.name,
                "requestId": self.request_id,
            }
            if record.exc_info:
                entry["stackTrace"] = self.formatException(record.exc_info)
            return json.dumps(entry, default=str)
        text = f"[{record.levelname}]\t{stamp}\t{self.request_id}\t{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def failure(error: BaseException, request_id: str = "") -> dict[str, Any]:
    """The error payload of an invocation, logged as the runtime logs it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    stack = traceback.format_list(own)
    name = type(error).__name__
    sys.stderr.write(
        f"[ERROR] {name}: {error}\nTraceback (most recent call last):\n{''.join(stack)}"
    )
    return {
        "errorMessage": str(error),
        "errorType": name,
        "requestId": request_id,
        "stackTrace": stack,
    }


def prepare_path(function: dict[str, Any]) -> None:
    """Code, then layers, then the standard library, then what the runtime brings (boto3)."""
    first = [function["code"]]
    for layer in reversed(function["layers"]):
        python = os.path.join(layer, "python")  # noqa: PTH118 — pathlib costs start-up time
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = os.path.join(python, "lib", version, "site-packages")  # noqa: PTH118 — likewise
        first += [packages, python]
    sys.path[:0] = [path for path in first if os.path.isdir(path)]  # noqa: PTH112 — likewise
    for path in first[1:]:
        if path.endswith("site-packages") and os.path.isdir(path):  # noqa: PTH112 — likewise
            site.addsitedir(path)
    sys.path.append(function["runtime"])


def load(name: str) -> Callable[[Any, Context], Any]:
    """The handler `package/module.function`; errors named as the runtime names them."""
    module_name, _, attribute = name.rpartition(".")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise type("Runtime.ImportModuleError", (Exception,), {})(message) from error
    handler = getattr(module, attribute, None)
    if handler is None:
        message = f"Handler '{attribute}' missing on module '{module_name}'"
        raise type("Runtime.HandlerNotFound", (Exception,), {})(message)
    return handler  # type: ignore[no-any-return]  # whatever the user wrote


def invoke(handler: Callable[[Any, Context], Any], invocation: dict[str, Any]) -> str:
    """The reply of one invocation, as JSON."""
    LogFormatter.request_id = invocation["request_id"]
    os.environ["_X_AMZN_TRACE_ID"] = invocation["trace_id"]
    try:
        result = handler(invocation["event"], Context(invocation))
        try:
            return json.dumps({"result": result}, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            message = f"Unable to marshal response: {error}"
            raise type("Runtime.MarshalError", (Exception,), {})(message) from error
    except Exception as error:  # noqa: BLE001 — whatever the handler raised is its answer
        return json.dumps({"error": failure(error, invocation["request_id"])})


def main() -> None:
    """Serve invocations until the emulator closes the socket."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    lines: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        # An emulator that was killed with our answer unread resets the connection: an end as well.
        try:
            for line in channel.makefile("rb"):
                lines.put(line)
        finally:
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    function = json.loads(lines.get())
    prepare_path(function)
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LogFormatter())
    root.addHandler(handler)
    root.setLevel(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "WARNING"))
    try:
        call = load(function["handler"])
    except BaseException as error:  # noqa: BLE001 — import may raise anything, SystemExit too
        reply = json.dumps({"error": failure(error)})
        call = None
    else:
        reply = json.dumps({"ready": True})
    while True:
        sys.stdout.flush()
        sys.stderr.flush()
        channel.sendall(reply.encode() + b"\n")
        if call is None:
            return
        reply = invoke(call, json.loads(lines.get()))


if __name__ == "__main__":
    main()
