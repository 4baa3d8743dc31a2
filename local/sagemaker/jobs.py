"""Jobs in line: so many at a time, each with a way to stop it and a time limit."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from enum import Enum

from local.sagemaker.logs import LogStream
from local.sagemaker.processes import Process

logger = logging.getLogger(__name__)


class ShutdownError(Exception):
    """The emulator is closing: the job's record stays as it is, for the next start to settle."""


class End(Enum):
    """Why a job's process ended."""

    EXITED = "exited"
    STOPPED = "stopped"
    TIMED_OUT = "timed out"


class Job:
    """One job's handle: asked to stop from any thread, obeyed by the thread that runs it."""

    def __init__(self, arn: str, work: Callable[[Job], None], grace: float) -> None:
        self.arn = arn
        self.work = work
        self.stopping = False
        self.closing = False
        self._grace = grace
        self._wake = threading.Event()

    def stop(self) -> None:
        """Ask the job to stop."""
        self.stopping = True
        self._wake.set()

    def close(self) -> None:
        """Abandon the job: its process is killed and its record is not written any more."""
        self.closing = True
        self._wake.set()

    def check(self) -> None:
        """Raise ShutdownError if the job was abandoned: its record is not to be written."""
        if self.closing:
            raise ShutdownError

    def pause(self, seconds: float | None = None) -> bool:
        """Wait until a stop or the shutdown, or for a time; return whether one of them came."""
        self._wake.wait(seconds)
        return self.stopping or self.closing

    def watch(
        self,
        process: Process,
        log: LogStream,
        limit: float,
        on_limit: Callable[[], None],
        on_line: Callable[[str], None] | None = None,
    ) -> tuple[int, End]:
        """Follow a process to its end; return its exit code and why it ended.

        After a stop, or `limit` seconds, it gets SIGTERM, and SIGKILL when the grace is over.
        """
        ended = threading.Event()

        def read() -> None:
            for line in process.lines():
                log.write(line)
                if on_line:
                    on_line(line)
            process.wait()
            ended.set()
            self._wake.set()

        threading.Thread(target=read, name="sagemaker-job-output", daemon=True).start()
        end = self._await(ended, limit, process)
        if end is not End.EXITED:
            if end is End.TIMED_OUT:
                on_limit()
            process.terminate()
            if not ended.wait(self._grace):
                process.kill()
                ended.wait()
        self.check()
        return process.wait(), end

    def _await(self, ended: threading.Event, limit: float, process: Process) -> End:
        """Wait for whichever comes first: the process's end, a stop, the limit, the shutdown."""
        deadline = time.monotonic() + limit
        while not ended.is_set():
            if self.closing:
                process.kill()
                raise ShutdownError
            if self.stopping:
                return End.STOPPED
            if time.monotonic() >= deadline:
                return End.TIMED_OUT
            self._wake.wait(deadline - time.monotonic())
            self._wake.clear()
        return End.EXITED


class Jobs:
    """Runs jobs first come, first served, `slots` at a time."""

    def __init__(self, slots: int, grace: float) -> None:
        self._grace = grace
        self._slots = slots
        self._line: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the workers."""
        for number in range(self._slots):
            name = f"sagemaker-job-{number}"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, arn: str, work: Callable[[Job], None]) -> None:
        """Queue a job; `work` records its own outcome."""
        job = Job(arn, work, self._grace)
        with self._lock:
            self._jobs[arn] = job
        self._line.put(job)

    def stop(self, arn: str) -> None:
        """Ask a job to stop, if it has not ended."""
        with self._lock:
            job = self._jobs.get(arn)
        if job:
            job.stop()

    def close(self) -> None:
        """Abandon every job."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.close()

    def _run(self) -> None:
        while True:
            job = self._line.get()
            try:
                if not job.closing:
                    job.work(job)
            except ShutdownError:
                logger.info("%s was abandoned by the shutdown", job.arn)
            except Exception:  # a worker's boundary: it takes the next job
                logger.exception("%s", job.arn)
            finally:
                with self._lock:
                    self._jobs.pop(job.arn, None)
