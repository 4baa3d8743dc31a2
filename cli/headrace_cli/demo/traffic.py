"""Live traffic: a few callers that ask an endpoint without pause, and count who answered what."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from headrace_cli.inference import Row, batches

_CALLERS = 4
_PACE = 0.1  # seconds between two requests of one caller: the machine is needed for the rest


class Traffic:
    """What callers have seen so far: answers by the run whose model gave them, and failures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._slowest = 0.0

    @property
    def requests(self) -> int:
        """How many requests have ended."""
        with self._lock:
            return self._answers.total() + self._failures.total()

    @property
    def failed(self) -> int:
        """How many requests have failed."""
        with self._lock:
            return self._failures.total()

    @property
    def slowest(self) -> float:
        """Seconds of the slowest request."""
        with self._lock:
            return self._slowest

    @property
    def failures(self) -> list[str]:
        """What callers were told, the most frequent first."""
        with self._lock:
            return [text for text, _ in self._failures.most_common()]

    def answered_by(self, run: str) -> int:
        """Return how many requests the model of a run has answered."""
        with self._lock:
            return self._answers[run]

    def ask(self, runtime: Any, endpoint: str, body: bytes) -> None:
        """Send one request and count how it ends; whatever is no answer is a failure."""
        began = time.monotonic()
        try:
            reply = runtime.invoke_endpoint(
                EndpointName=endpoint,
                ContentType="application/json",
                Accept="application/json",
                Body=body,
            )
            run = str(json.loads(reply["Body"].read())["model"]["run"])
        except (BotoCoreError, ClientError) as error:
            self._note(time.monotonic() - began, failure=str(error))
        else:
            self._note(time.monotonic() - began, run=run)

    def _note(self, seconds: float, *, run: str = "", failure: str = "") -> None:
        with self._lock:
            self._slowest = max(self._slowest, seconds)
            if failure:
                self._failures[failure] += 1
            else:
                self._answers[run] += 1


@contextmanager
def live_traffic(runtime: Any, endpoint: str, rows: Sequence[Row]) -> Iterator[Traffic]:
    """Ask an endpoint about one row after the other, round and round, while the block runs.

    A client that tries again would hide what callers see, so `runtime` must not.
    """
    bodies = [body for row in rows for body in batches([row])]
    traffic, numbers, ended = Traffic(), count(), threading.Event()

    def call() -> None:
        while not ended.wait(_PACE):
            traffic.ask(runtime, endpoint, bodies[next(numbers) % len(bodies)])

    with ThreadPoolExecutor(_CALLERS, thread_name_prefix="traffic") as pool:
        callers = [pool.submit(call) for _ in range(_CALLERS)]
        try:
            yield traffic
        finally:
            ended.set()
    for caller in callers:
        caller.result()
