"""Execution environments of Lambda functions: a bounded pool of processes with clean surroundings.

AWS ("Lambda execution environment", "Defined runtime environment variables", "Managing layers"): a
function sees its own variables, its role's credentials, its code, its layers and the runtime's
boto3, nothing of the host. Stock MiniStack hands the host's environment and the server's packages
to functions, unpacks every layer anew for every process, keeps a process per function for ever and
polls 50 ms for log lines.
"""

import contextlib
import functools
import hashlib
import importlib.util
import io
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
# What the managed Python runtime brings ("Lambda runtimes": boto3 and its dependencies).
_RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
# AWS allows 10 s for the init phase and then runs it again within the function's timeout.
_INIT_SECONDS = 60.0
_UNUSED_CODE_SECONDS = 7 * 86400


class CrashError(Exception):
    """The process ended or went silent; `error_type` is AWS's name for it."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


@dataclass(frozen=True)
class Function:
    """What an environment runs; equal functions may share environments."""

    name: str
    version: str
    handler: str
    code: bytes = field(repr=False)
    layers: tuple[bytes, ...] = field(repr=False)
    environment: tuple[tuple[str, str], ...]
    timeout: float

    @property
    def key(self) -> str:
        """Identity of code and configuration."""
        digest = hashlib.sha256(
            repr((self.name, self.version, self.handler, self.timeout)).encode()
        )
        for part in (self.code, *self.layers):
            digest.update(hashlib.sha256(part).digest())
        digest.update(repr(self.environment).encode())
        return digest.hexdigest()


@functools.lru_cache(maxsize=512)
def digest(content: bytes) -> str:
    """SHA-256 in hex; a layer of 40 MB is asked for at every invocation, so once per object."""
    return hashlib.sha256(content).hexdigest()


class Unpacked:
    """Zip files unpacked and compiled once, found by their hash."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        cache.mkdir(parents=True, exist_ok=True)
        for folder in cache.iterdir():
            if time.time() - folder.stat().st_mtime > _UNUSED_CODE_SECONDS:
                shutil.rmtree(folder)

    def folder(self, archive: bytes) -> Path:
        """The folder with the contents of `archive`."""
        target = self._cache / digest(archive)[:32]
        with self._lock:
            if target.exists():
                os.utime(target)
                return target
            partial = target.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            with zipfile.ZipFile(io.BytesIO(archive)) as contents:
                contents.extractall(partial)
            command = [sys.executable, "-m", "compileall", "-q", str(partial)]
            # A file that does not compile fails when it is imported, with the better message.
            subprocess.run(command, check=False, capture_output=True)
            partial.rename(target)
        return target


class Environment:
    """One process that serves the invocations of one function, one at a time."""

    def __init__(self, function: Function, code: Path, scratch: Path) -> None:
        self.key = function.key
        self.name = function.name
        self.used = time.monotonic()
        self._folder = Path(tempfile.mkdtemp(dir=scratch, prefix=f"{function.name[:40]}-"))
        self._output = (self._folder / ".log").open("a+b", buffering=0)
        own = {"TMPDIR": str(self._folder), "LAMBDA_TASK_ROOT": str(code)}
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-S", "-s", "-P", str(_BOOTSTRAP), str(theirs.fileno())],
                cwd=code,
                env={**dict(function.environment), **own},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._socket = ours
        self._stream = ours.makefile("rb")

    def initialise(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Import the handler: `ready`, or the `error` of the import; raises `CrashError`."""
        return self._exchange(arguments, _INIT_SECONDS)

    def invoke(self, invocation: dict[str, Any], timeout: float) -> tuple[dict[str, Any], str]:
        """The reply (`result` or `error`) and what was logged; raises `CrashError`."""
        reply = self._exchange(invocation, timeout)
        return reply, self.read_log()

    def read_log(self) -> str:
        """What the process wrote to stdout and stderr since the last call."""
        self._output.seek(0)
        text = self._output.read().decode(errors="replace")
        self._output.truncate(0)
        return text

    def close(self) -> None:
        """End the process, and whatever it started, and remove its folder."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for resource in (self._stream, self._socket, self._output):
            resource.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _exchange(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
            line = self._stream.readline()
        except TimeoutError:
            raise CrashError(
                "Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds"
            ) from None
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        if not line:
            code = self._process.wait()
            why = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            raise CrashError("Runtime.ExitError", f"Error: Runtime exited with error: {why}")
        reply: dict[str, Any] = json.loads(line)
        return reply


class Pool:
    """At most `size` invocations at once, and at most `warm` idle processes beside them."""

    def __init__(self, size: int, warm: int, cache: Path, scratch: Path) -> None:
        self._size = size
        self._warm = warm
        self._busy = 0
        self._waiting = threading.Condition()
        self._idle: list[Environment] = []
        self._active: set[Environment] = set()
        self._closed = False
        self._scratch = scratch
        self._unpacked = Unpacked(cache / "lambda")
        self._runtime = scratch / "runtime"
        self._runtime.mkdir()
        for package in _RUNTIME_PACKAGES:
            found = importlib.util.find_spec(package)
            if found and found.origin:
                origin = Path(found.origin)
                origin = origin.parent if origin.name == "__init__.py" else origin
                (self._runtime / origin.name).symlink_to(origin)

    @contextlib.contextmanager
    def slot(self, nested: bool) -> Any:
        """Wait for a turn; an invocation made by a function waits for nobody (its caller does)."""
        with self._waiting:
            while self._busy >= self._size and not nested and not self._closed:
                self._waiting.wait()
            self._busy += 1
        try:
            yield
        finally:
            with self._waiting:
                self._busy -= 1
                self._waiting.notify()

    def run(self, function: Function, invocation: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Invoke in a warm environment or a new one; (reply, log)."""
        environment = self._take(function.key)
        cold = environment is None
        if environment is None:
            environment = self._start(function)
        usable = False
        try:
            if self._closed:
                raise CrashError("Runtime.ExitError", "Error: the local AWS is stopping")
            if cold:
                reply = environment.initialise(self._arguments(function))
                if "error" in reply:
                    return reply, environment.read_log()
            reply, log = environment.invoke(invocation, function.timeout)
            usable = True
        except CrashError as crash:
            message = f"RequestId: {invocation['request_id']} {crash}"
            log = "" if self._closed else environment.read_log()
            return {"crash": {"errorType": crash.error_type, "errorMessage": message}}, log
        finally:
            self._give_back(environment) if usable else self._discard(environment)
        return reply, log

    def forget(self, name: str) -> None:
        """End the idle environments of a function that has changed or gone."""
        with self._waiting:
            gone = [environment for environment in self._idle if environment.name == name]
            self._idle = [environment for environment in self._idle if environment.name != name]
        for environment in gone:
            environment.close()

    def close(self) -> None:
        """End every environment."""
        with self._waiting:
            self._closed = True
            everything = [*self._idle, *self._active]
            self._idle.clear()
            self._waiting.notify_all()
        for environment in everything:
            environment.close()

    def _take(self, key: str) -> Environment | None:
        with self._waiting:
            for environment in reversed(self._idle):
                if environment.key == key:
                    self._idle.remove(environment)
                    self._active.add(environment)
                    return environment
        return None

    def _arguments(self, function: Function) -> dict[str, Any]:
        return {
            "handler": function.handler,
            "code": str(self._unpacked.folder(function.code)),
            "layers": [str(self._unpacked.folder(layer)) for layer in function.layers],
            "runtime": str(self._runtime),
        }

    def _start(self, function: Function) -> Environment:
        environment = Environment(function, self._unpacked.folder(function.code), self._scratch)
        with self._waiting:
            self._active.add(environment)
        return environment

    def _give_back(self, environment: Environment) -> None:
        environment.used = time.monotonic()
        with self._waiting:
            self._active.discard(environment)
            self._idle.append(environment)
            full = self._closed or len(self._idle) > self._warm
            oldest = min(self._idle, key=lambda each: each.used) if full else None
            if oldest:
                self._idle.remove(oldest)
        if oldest:
            oldest.close()

    def _discard(self, environment: Environment) -> None:
        with self._waiting:
            self._active.discard(environment)
        environment.close()


def stream_name(version: str) -> str:
    """A log stream's name: one per environment, as on AWS."""
    return f"{time.strftime('%Y/%m/%d')}/[{version}]{uuid.uuid4().hex}"
