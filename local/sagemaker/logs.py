"""Containers' output on its way to CloudWatch Logs, in batches and off everyone's path."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

from local.sagemaker.cloud import Cloud

_BATCH = 1000  # PutLogEvents takes 10,000 events and 1 MiB
_LINE = 8 * 1024
logger = logging.getLogger(__name__)


class LogStream:
    """One stream of a group. `write` never blocks on the delivery."""

    def __init__(self, logs: Logs, group: str, stream: str) -> None:
        self.group, self.stream = group, stream
        self.tail: deque[str] = deque(maxlen=5)
        """The last lines, for the reasons of failures."""
        self._logs = logs

    def write(self, line: str) -> None:
        """Add a line."""
        if line.strip():
            self.tail.append(line.strip())
        event = {"timestamp": int(time.time() * 1000), "message": line[:_LINE] or " "}
        self._logs.add(self.group, self.stream, event)


class Logs:
    """Delivers what streams wrote, every half second and at the close."""

    def __init__(self, cloud: Cloud, interval: float = 0.5) -> None:
        self._cloud = cloud
        self._interval = interval
        self._pending: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._delivery = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sagemaker-logs", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self) -> None:
        """Deliver what is left."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self.flush()

    def stream(self, group: str, stream: str) -> LogStream:
        """Return a stream to write to."""
        return LogStream(self, group, stream)

    def add(self, group: str, stream: str, event: dict[str, Any]) -> None:
        """Queue an event."""
        with self._lock:
            self._pending.setdefault((group, stream), []).append(event)

    def flush(self) -> None:
        """Deliver everything queued, in order."""
        with self._delivery:
            with self._lock:
                pending, self._pending = self._pending, {}
            for (group, stream), events in pending.items():
                for start in range(0, len(events), _BATCH):
                    self._deliver(group, stream, events[start : start + _BATCH])

    def _deliver(self, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        try:
            self._cloud.put_log_events(group, stream, events)
        except Exception:  # a delivery's boundary: a lost batch fails no job
            logger.exception("%d log events of %s %s were lost", len(events), group, stream)

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            self.flush()
