"""One serving container: its process, its health, its restarts."""

from __future__ import annotations

import http.client
import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local.sagemaker.hosting.connection import Pool
from local.sagemaker.logs import LogStream
from local.sagemaker.processes import Command, ContainerStartError, Process, Processes

_PING_TIMEOUT = 2.0  # seconds per /ping (your-algorithms-inference-code)
_PING_PAUSE = 0.05
_UNHEALTHY = 3  # failed pings in a row after which a container that served is replaced
_STARTS = 3  # a container that exits this often before its first healthy ping is given up
_BACKOFF = 5.0
_ports: set[int] = set()
_ports_lock = threading.Lock()
logger = logging.getLogger(__name__)


class UnhealthyError(Exception):
    """A container did not pass its health check; the message says what it last wrote."""


@dataclass(frozen=True)
class Serving:
    """How to start a replica: `command` makes the container's command for a port."""

    processes: Processes
    command: Callable[[int], Command]
    log: LogStream
    stop_grace: float
    ping_interval: float = 10.0


class Replica:
    """A serving process that is restarted whenever it ends unasked or stops answering pings."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.pool = Pool(0)
        self.outstanding = 0
        self.ready = False
        self._was_ready = False
        self._starts = 0
        self._process: Process | None = None
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="sagemaker-replica", daemon=True)

    def start(self) -> None:
        """Start the container."""
        self._thread.start()

    def wait_ready(self, limit: float) -> None:
        """Wait for the first healthy ping. Raises UnhealthyError after `limit` seconds.

        A container that keeps exiting is given up early: here nothing changes between two starts.
        """
        deadline = time.monotonic() + limit
        with self._changed:
            while not self.ready:
                left = deadline - time.monotonic()
                if left <= 0 or self._starts > _STARTS or self._stopping.is_set():
                    raise UnhealthyError(" | ".join(self.serving.log.tail))
                self._changed.wait(left)

    def stop(self) -> None:
        """Stop the container: SIGTERM, and SIGKILL when the grace is over."""
        self._stopping.set()
        with self._changed:
            self.ready = False
            self._changed.notify_all()
        process = self._process
        if process and process.running:
            process.terminate()
            self._thread.join(self.serving.stop_grace)
            if process.running:
                process.kill()
        self._thread.join()
        self.pool.close()

    def kill(self) -> None:
        """Stop the container at once."""
        self._stopping.set()
        if self._process and self._process.running:
            self._process.kill()

    def _run(self) -> None:
        """Start the container, follow its output, and start it again until it is stopped."""
        pause = 0.1
        while not self._stopping.is_set():
            with self._changed:
                self._starts += 1
                self._changed.notify_all()
                if self._starts > _STARTS and not self._was_ready:
                    return
            port = free_port()
            try:
                began = time.monotonic()
                self._follow(port)
            except ContainerStartError as error:
                self.serving.log.write(f"The container could not be started: {error}")
            finally:
                with _ports_lock:
                    _ports.discard(port)
            if self._stopping.is_set():
                return
            pause = 0.1 if time.monotonic() - began > _BACKOFF else min(pause * 2, _BACKOFF)
            self._stopping.wait(pause)

    def _follow(self, port: int) -> None:
        process = self.serving.processes.spawn(self.serving.command(port))
        self._process = process
        if self._stopping.is_set():
            process.kill()
        ended = threading.Event()
        pinger = threading.Thread(target=self._ping, args=(process, port, ended), daemon=True)
        pinger.start()
        for line in process.lines():
            self.serving.log.write(line)
        code = process.wait()
        ended.set()
        with self._changed:
            self.ready = False
        if not self._stopping.is_set():
            self.serving.log.write(f"The container exited with code {code}; starting it again")
        pinger.join()

    def _ping(self, process: Process, port: int, ended: threading.Event) -> None:
        """Ping until the container ends: it serves once healthy, and is killed when it no more is.

        "Use Your Own Inference Code with Hosting Services": the pings go on after the start.
        """
        failures = 0
        while not ended.is_set() and not self._stopping.is_set():
            if ping(port):
                failures = 0
                if not self.ready:
                    self._serve(port)
            elif self.ready:
                failures += 1
                if failures == _UNHEALTHY and not self._stopping.is_set():
                    self.serving.log.write("The container fails its /ping; replacing it")
                    process.kill()
                    return
            ended.wait(self.serving.ping_interval if self.ready else _PING_PAUSE)

    def _serve(self, port: int) -> None:
        self.pool = Pool(port)
        with self._changed:
            self.ready = self._was_ready = True
            self._changed.notify_all()


def ping(port: int) -> bool:
    """Ask a container whether it is healthy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PING_TIMEOUT)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """Return a port that nothing listens on and no other replica was given."""
    with _ports_lock:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in _ports:
                _ports.add(port)
                return port


def unpack_once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder completely or not at all, unless an earlier start did.

    The name appears only when the contents are whole: a start that was killed midway leaves none.
    """
    if folder.is_dir():
        return
    partial = folder.with_name(f"{folder.name}.partial")
    if partial.is_dir():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    fill(partial)
    partial.rename(folder)
