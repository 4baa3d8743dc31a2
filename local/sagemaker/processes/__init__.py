"""Containers as processes: started, supervised, and never left behind.

Every process runs under `supervisor.py`, which dies with us and takes all that it started along.
The parent-death signal fires when the *thread* that forked ends, so one long-lived thread does all
the forking. A ledger on disk names what runs, for the next start to reap should even the
supervisors have been killed.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from local.sagemaker.store import Store

_CLOSE_SECONDS = 10
_LINE = 64 * 1024
_SUPERVISOR = Path(__file__).with_name("supervisor.py")
logger = logging.getLogger(__name__)


class ContainerStartError(Exception):
    """A container's process could not be started."""


@dataclass(frozen=True)
class Command:
    """What to run: `tree` becomes /opt/ml where the machine allows it.

    There, too, `hosts` (a file) stands for /etc/hosts.
    """

    argv: list[str]
    environment: dict[str, str]
    tree: Path
    isolate: bool = False
    hosts: Path | None = None


class Process:
    """A container's process, seen through its supervisor; its output is stdout and stderr."""

    def __init__(self, popen: subprocess.Popen[bytes], on_end: Callable[[Process], None]) -> None:
        self._popen = popen
        self._on_end = on_end
        self.pid = popen.pid

    def lines(self) -> Iterator[str]:
        """Yield the output by lines (very long ones in pieces) until it ends; for one reader."""
        assert self._popen.stdout is not None  # noqa: S101 - opened as a pipe by `Processes`
        with self._popen.stdout as output:
            while raw := output.readline(_LINE):
                yield raw.decode(errors="replace").rstrip("\r\n")

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._popen.poll() is None

    def terminate(self) -> None:
        """Ask the command to stop, with SIGTERM."""
        self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the command and everything it started."""
        self._popen.send_signal(signal.SIGUSR1)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, 128 + signal for one ended by a signal.

        Raises subprocess.TimeoutExpired.
        """
        code = self._popen.wait(timeout)
        self._on_end(self)
        return code if code >= 0 else 128 - code


@dataclass
class Processes:
    """Starts processes. Call `start` before anything else."""

    ledger: Store
    allow_opt_ml: bool = True
    opt_ml: bool = field(default=False, init=False)
    """Whether /opt/ml can be mounted here."""
    isolation: bool = field(default=False, init=False)
    """Whether a process can be run without network here."""
    _user: bool = field(default=False, init=False)
    _running: set[Process] = field(default_factory=set, init=False)
    _orders: queue.SimpleQueue[tuple[list[str], dict[str, str], Future[Process]] | None] = field(
        default_factory=queue.SimpleQueue, init=False
    )

    def start(self) -> None:
        """Reap what an earlier instance left, start the forking thread, probe the machine."""
        self.reap()
        threading.Thread(target=self._fork, name="sagemaker-fork", daemon=True).start()
        for user in (False, True):
            if self._probe(user=user, tree=True):
                self.opt_ml, self._user = self.allow_opt_ml, user
                self.isolation = self._probe(user=user, tree=True, isolate=True)
                return
        logger.info("no namespaces here: containers find their files by SAGEMAKER_BASE_DIR")

    def close(self) -> None:
        """Kill what still runs and wait until it is gone."""
        self._orders.put(None)
        running = list(self._running)
        for process in running:
            process.kill()
        for process in running:
            try:
                process.wait(_CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                logger.error("process %d does not die; the next start will reap it", process.pid)

    def _ended(self, process: Process) -> None:
        self._running.discard(process)
        try:
            self.ledger.remove_process(process.pid)
        except sqlite3.OperationalError as error:  # the disk is full; the next start finds it gone
            logger.warning("process %d stays in the ledger: %s", process.pid, error)

    def spawn(self, command: Command) -> Process:
        """Start a container's command in its tree. Raises ContainerStartError."""
        if command.isolate and not self.isolation:
            logger.warning("network isolation is not possible here: %s has network", command.tree)
        tree = command.tree if self.opt_ml else None
        return self._order(command, tree, self._user, command.isolate and self.isolation)

    def root(self, tree: Path) -> str:
        """Return where a container sees its tree: /opt/ml, or the folder itself."""
        return "/opt/ml" if self.opt_ml else str(tree)

    def reap(self) -> None:
        """Kill what the ledger says an earlier instance left running."""
        for pid, started in self.ledger.processes():
            now = start_time(pid)
            if now is None or now == started:  # else the pid is someone else's by now
                for member in session_members(pid):
                    logger.warning("killing process %d, left by an earlier instance", member)
                    _kill(member)
            self.ledger.remove_process(pid)

    def _probe(self, user: bool, tree: bool, isolate: bool = False) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "probe").touch()
            command = Command(["test", "-e", "/opt/ml/probe"], {"PATH": os.defpath}, Path(folder))
            process = self._order(command, Path(folder) if tree else None, user, isolate)
            reason = list(process.lines())
            worked = process.wait() == 0
            logger.debug("namespaces (user=%s, isolate=%s): %s", user, isolate, reason or worked)
            return worked

    def _order(self, command: Command, tree: Path | None, user: bool, isolate: bool) -> Process:
        spec = {
            "argv": command.argv,
            "cwd": "/opt/ml" if tree else str(command.tree),
            "tree": str(tree) if tree else None,
            "hosts": str(command.hosts) if tree and command.hosts else None,
            "user": user,
            "isolate": isolate,
            "parent": os.getpid(),
        }
        argv = [sys.executable, "-I", "-S", str(_SUPERVISOR), json.dumps(spec)]
        done: Future[Process] = Future()
        self._orders.put((argv, command.environment, done))
        return done.result()

    def _fork(self) -> None:
        while order := self._orders.get():
            argv, environment, done = order
            try:
                popen = subprocess.Popen(
                    argv,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                done.set_exception(ContainerStartError(str(error)))
                continue
            process = Process(popen, self._ended)
            try:
                started = start_time(popen.pid)
                if started is not None:
                    self.ledger.add_process(popen.pid, started)
            except sqlite3.OperationalError as error:  # one that nobody could reap is not let run
                process.kill()
                done.set_exception(ContainerStartError(str(error)))
                continue
            self._running.add(process)
            done.set_result(process)


def start_time(pid: int) -> int | None:
    """Return when a process started (clock ticks since boot), None if there is no such process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def session_members(session: int) -> list[int]:
    """Return the processes of a session: a supervisor's own, whether or not it still lives."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (fields := _stat(pid)) and int(fields[3]) == session]


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third (state) on; see proc(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        logger.debug("process %d ended by itself", pid)
