"""The clock of monitoring schedules: a thread that wakes at each hour and when a run is due."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

_LONGEST = 60.0  # seconds asleep: a machine that slept itself is noticed
logger = logging.getLogger(__name__)


class Clock:
    """Calls `on_tick(hour number, when it began)` at least once in every hour.

    Hours that pass while nothing runs are not made up for: the hour that is under way at the start
    is told as having begun at minus infinity, before any schedule was made.
    """

    def __init__(
        self, hour: float, on_tick: Callable[[int, float], None], next_due: Callable[[], float]
    ) -> None:
        self._hour = hour
        self._on_tick = on_tick
        self._next_due = next_due
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="sagemaker-monitoring", daemon=True)

    def start(self) -> None:
        """Begin to tick."""
        self._thread.start()

    def close(self) -> None:
        """Tick no more."""
        self._closing = True
        self._wake.set()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def _run(self) -> None:
        started = time.time()
        while not self._closing:
            tick = int(time.time() // self._hour)
            begun = tick * self._hour
            try:
                self._on_tick(tick, begun if begun >= started else -math.inf)
            except Exception:  # the clock's boundary: one odd schedule must not stop it
                logger.exception("monitoring")
            until = min((tick + 1) * self._hour, self._next_due())
            self._wake.wait(min(max(until - time.time(), 0.02), _LONGEST))
            self._wake.clear()
