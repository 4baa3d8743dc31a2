"""Jobs in line: so many at a time, each with a way to stop it and a time limit."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from local.sagemaker.logs import LogStream
from local.sagemaker.processes import Process

_ALARM_SECONDS = 1.0
_SHORT_GRACE = 5.0  # for the other hosts of a job that has failed
logger = logging.getLogger(__name__)


class ShutdownError(Exception):
    """The emulator is closing: the job's record stays as it is, for the next start to settle."""


class End(Enum):
    """Why a job's processes ended."""

    EXITED = "exited"
    FAILED = "one exited with another code than 0"
    ALARMED = "the alarm rang"
    STOPPED = "stopped"
    TIMED_OUT = "timed out"
    WAITED_OUT = "waited too long for spot capacity"
    INTERRUPTED = "the spot instance was taken away"


@dataclass(frozen=True)
class Watched:
    """A process, the log that takes its output, and who else hears each line."""

    process: Process
    log: LogStream
    on_line: Callable[[str], None] | None = None


@dataclass(frozen=True)
class Outcome:
    """How processes ended; `failed` is the first that failed, by its place, `code` its exit code.

    `reason` is what the alarm said.
    """

    end: End
    failed: int = 0
    code: int = 0
    reason: str = ""


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
        watched: list[Watched],
        deadlines: dict[End, float],
        on_end: Callable[[End], None],
        alarm: Callable[[], str] = lambda: "",
    ) -> Outcome:
        """Follow processes until all have ended; return why they did.

        After a stop, or a deadline (in seconds from now), they get SIGTERM, and SIGKILL when the
        grace is over. `on_end` is told the end before that. When one fails, or `alarm` (asked every
        second) says a reason, the others have a shorter grace.
        """
        codes: dict[int, int] = {}
        for place, member in enumerate(watched):
            target = partial(self._read, place, member, codes)
            threading.Thread(target=target, name="sagemaker-job-output", daemon=True).start()
        outcome = self._await(watched, codes, deadlines, alarm)
        on_end(outcome.end)
        early = outcome.end in (End.FAILED, End.ALARMED)
        self._end_all(watched, codes, min(self._grace, _SHORT_GRACE) if early else self._grace)
        self.check()
        return outcome

    def _read(self, place: int, member: Watched, codes: dict[int, int]) -> None:
        """Pass a process's output on until it ends, and note its exit code."""
        for line in member.process.lines():
            member.log.write(line)
            if member.on_line:
                member.on_line(line)
        codes[place] = member.process.wait()
        self._wake.set()

    def _await(
        self,
        watched: list[Watched],
        codes: dict[int, int],
        deadlines: dict[End, float],
        alarm: Callable[[], str],
    ) -> Outcome:
        """Wait for whichever comes first: the processes' end, a stop, a deadline, the shutdown."""
        began = time.monotonic()
        due = sorted((began + seconds, end.value, end) for end, seconds in deadlines.items())
        while True:
            if self.closing:
                for member in watched:
                    member.process.kill()
                raise ShutdownError
            for place, code in list(codes.items()):
                if code != 0:
                    return Outcome(End.FAILED, place, code)
            if len(codes) == len(watched):
                return Outcome(End.EXITED)
            if self.stopping:
                return Outcome(End.STOPPED)
            now = time.monotonic()
            if due and now >= due[0][0]:
                return Outcome(due[0][2])
            if reason := alarm():
                return Outcome(End.ALARMED, reason=reason)
            self._wake.wait(min([_ALARM_SECONDS, *(when - now for when, _, _ in due[:1])]))
            self._wake.clear()

    def _end_all(self, watched: list[Watched], codes: dict[int, int], grace: float) -> None:
        """End the processes that still run: SIGTERM, and SIGKILL when the grace is over."""
        deadline = time.monotonic() + grace
        for place, member in enumerate(watched):
            if place not in codes:
                member.process.terminate()
        killed = False
        while len(codes) < len(watched):
            left = deadline - time.monotonic()
            if (left <= 0 or self.closing) and not killed:
                for place, member in enumerate(watched):
                    if place not in codes:
                        member.process.kill()
                killed = True
            self._wake.wait(_ALARM_SECONDS if killed else max(0.0, left))
            self._wake.clear()


class Jobs:
    """Runs jobs first come, first served, `slots` at a time."""

    def __init__(self, slots: int, grace: float) -> None:
        self._grace = grace
        self._slots = slots
        self._line: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._waiting: dict[str, Job] = {}
        self._running: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the workers."""
        for number in range(self._slots):
            name = f"sagemaker-job-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, arn: str, work: Callable[[Job], None]) -> None:
        """Queue a job; `work` records its own outcome."""
        job = Job(arn, work, self._grace)
        with self._lock:
            self._waiting[arn] = job
        self._line.put(job)

    def stop(self, arn: str) -> None:
        """Ask a job to stop, if it has not ended. One that waits in line need not wait for that."""
        with self._lock:
            job = self._waiting.get(arn) or self._running.get(arn)
            waits = arn in self._waiting
        if job:
            job.stop()
        if job and waits:
            name = "sagemaker-job-stopped"
            threading.Thread(target=self._run, args=(job,), name=name, daemon=True).start()

    def close(self) -> None:
        """Abandon every job."""
        with self._lock:
            jobs = [*self._waiting.values(), *self._running.values()]
        for job in jobs:
            job.close()

    def _work(self) -> None:
        while True:
            self._run(self._line.get())

    def _run(self, job: Job) -> None:
        """Run a job, unless it was taken from the line before."""
        with self._lock:
            if self._waiting.get(job.arn) is not job:
                return
            self._running[job.arn] = self._waiting.pop(job.arn)
        try:
            if not job.closing:
                job.work(job)
        except ShutdownError:
            logger.info("%s was abandoned by the shutdown", job.arn)
        except Exception:  # a worker's boundary: it takes the next job
            logger.exception("%s", job.arn)
        finally:
            with self._lock:
                self._running.pop(job.arn, None)
