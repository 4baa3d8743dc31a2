"""Work items in SQLite: the objects of labeling jobs and people's answers to them.

Every write is committed before it returns; a killed emulator loses no answer that was accepted.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.sagemaker.store import open_database

WAITING, OPEN, LABELLED, FAILED, PASSED = "waiting", "open", "labelled", "failed", "passed"
"""States of an object: not yet shown, with people, done, given up, needs no person."""
CLAIMED, SUBMITTED, SKIPPED = "claimed", "submitted", "skipped"
"""States of an answer."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    job TEXT NOT NULL, number INTEGER NOT NULL, line TEXT NOT NULL, state TEXT NOT NULL,
    input TEXT, opened REAL, outcome TEXT,
    PRIMARY KEY (job, number)
);
CREATE INDEX IF NOT EXISTS objects_by_state ON objects (job, state, number);
CREATE TABLE IF NOT EXISTS answers (
    job TEXT NOT NULL, number INTEGER NOT NULL, worker TEXT NOT NULL, state TEXT NOT NULL,
    claimed REAL NOT NULL, submitted REAL, content TEXT,
    PRIMARY KEY (job, number, worker)
);
"""


class TakenError(Exception):
    """A task cannot be claimed or answered now; the message says why."""


@dataclass(frozen=True)
class Item:
    """An object of a job. `line` is its line of the manifest, `input` what people are shown.

    `outcome` is what a labelled object's line gains, or why an object failed.
    """

    job: str
    number: int
    line: dict[str, Any]
    state: str
    input: Any
    opened: float
    outcome: Any


@dataclass(frozen=True)
class Answer:
    """One person's part in an object."""

    number: int
    worker: str
    state: str
    claimed: float
    submitted: float
    content: Any


class Items:
    """The items of all jobs. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._database = open_database(path, _SCHEMA)

    def add(self, job: str, lines: Iterable[dict[str, Any]]) -> None:
        """Add a job's objects, all or none."""
        rows = [(job, number, json.dumps(line), WAITING) for number, line in enumerate(lines)]
        with self._lock:
            self._database.execute("BEGIN")
            self._database.execute("DELETE FROM objects WHERE job = ?", (job,))
            self._database.execute("DELETE FROM answers WHERE job = ?", (job,))
            self._database.executemany(
                "INSERT INTO objects (job, number, line, state) VALUES (?, ?, ?, ?)", rows
            )
            self._database.execute("COMMIT")

    def get(self, job: str, number: int) -> Item | None:
        """Return an object."""
        found = self._items(job, number=number)
        return found[0] if found else None

    def of(self, job: str, state: str | None = None, limit: int = -1) -> list[Item]:
        """Return a job's objects, in order; those of a state, and so many."""
        return self._items(job, state=state, limit=limit)

    def counts(self, job: str) -> dict[str, int]:
        """Return how many objects are in each state."""
        sql = "SELECT state, count(*) FROM objects WHERE job = ? GROUP BY state"
        return dict(self._rows(sql, (job,)))

    def open(self, job: str, number: int, given: Any, now: float) -> None:
        """Show an object to people."""
        self._write(
            "UPDATE objects SET state = ?, input = ?, opened = ? WHERE job = ? AND number = ?",
            (OPEN, json.dumps(given), now, job, number),
        )

    def settle(self, job: str, number: int, state: str, outcome: Any) -> None:
        """Note what became of an object."""
        self._write(
            "UPDATE objects SET state = ?, outcome = ? WHERE job = ? AND number = ?",
            (state, json.dumps(outcome), job, number),
        )

    def answers(self, job: str, number: int | None = None) -> list[Answer]:
        """Return the answers of a job or of one object, whatever their state."""
        rows = self._rows(
            "SELECT number, worker, state, claimed, submitted, content FROM answers "
            "WHERE job = ?1 AND (?2 IS NULL OR number = ?2) ORDER BY number, submitted, claimed",
            (job, number),
        )
        return [
            Answer(number, worker, state, claimed, submitted or 0.0, json.loads(content or "null"))
            for number, worker, state, claimed, submitted, content in rows
        ]

    def claim(
        self, job: str, number: int, worker: str, workers: int, expired: float, now: float
    ) -> None:
        """Give an object to a worker. Claims made before `expired` hold no more.

        Raises TakenError if enough others have it, or the worker is done with it.
        """
        with self._lock:
            item = self.get(job, number)
            if item is None or item.state != OPEN:
                raise TakenError("The task is not available any more.")
            answers = self.answers(job, number)
            own = next((answer for answer in answers if answer.worker == worker), None)
            if own and own.state != CLAIMED:
                raise TakenError(f"The worker has {own.state} this task.")
            held = [
                answer
                for answer in answers
                if answer.state == SUBMITTED
                or (answer.state == CLAIMED and answer.claimed > expired)
            ]
            if sum(answer.worker != worker for answer in held) >= workers:
                raise TakenError("Enough workers have taken this task.")
            if own and own.claimed > expired:
                return
            self._write(
                "INSERT OR REPLACE INTO answers (job, number, worker, state, claimed) "
                "VALUES (?, ?, ?, ?, ?)",
                (job, number, worker, CLAIMED, now),
            )

    def submit(
        self, job: str, number: int, worker: str, content: Any, expired: float, now: float
    ) -> None:
        """Keep a worker's answer. Raises TakenError if the worker does not hold the object."""
        with self._lock:
            self._require_claim(job, number, worker, expired)
            self._write(
                "UPDATE answers SET state = ?, submitted = ?, content = ? "
                "WHERE job = ? AND number = ? AND worker = ?",
                (SUBMITTED, now, json.dumps(content), job, number, worker),
            )

    def skip(self, job: str, number: int, worker: str, now: float) -> None:
        """Show an object to a worker no more. Raises TakenError if it was answered."""
        with self._lock:
            for answer in self.answers(job, number):
                if answer.worker == worker and answer.state == SUBMITTED:
                    raise TakenError("The worker has submitted this task.")
            self._write(
                "INSERT OR REPLACE INTO answers (job, number, worker, state, claimed) "
                "VALUES (?, ?, ?, ?, ?)",
                (job, number, worker, SKIPPED, now),
            )

    def release(self, job: str, expired: float) -> list[Answer]:
        """Take back the objects that workers claimed before `expired`; return the claims."""
        with self._lock:
            late = [
                answer
                for answer in self.answers(job)
                if answer.state == CLAIMED and answer.claimed <= expired
            ]
            for answer in late:
                self._write(
                    "DELETE FROM answers WHERE job = ? AND number = ? AND worker = ?",
                    (job, answer.number, answer.worker),
                )
        return late

    def _require_claim(self, job: str, number: int, worker: str, expired: float) -> None:
        item = self.get(job, number)
        if item is None or item.state != OPEN:
            raise TakenError("The task is not available any more.")
        for answer in self.answers(job, number):
            if answer.worker == worker and answer.state == CLAIMED and answer.claimed > expired:
                return
        raise TakenError("The worker has not claimed this task, or its time is over.")

    def _items(
        self, job: str, number: int | None = None, state: str | None = None, limit: int = -1
    ) -> list[Item]:
        rows = self._rows(
            "SELECT job, number, line, state, input, opened, outcome FROM objects WHERE job = ?1 "
            "AND (?2 IS NULL OR number = ?2) AND (?3 IS NULL OR state = ?3) "
            "ORDER BY number LIMIT ?4",
            (job, number, state, limit),
        )
        return [
            Item(
                job,
                number,
                json.loads(line),
                state,
                json.loads(given or "null"),
                opened or 0.0,
                json.loads(outcome or "null"),
            )
            for job, number, line, state, given, opened, outcome in rows
        ]

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(sql, values).fetchall()

    def _write(self, sql: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._database.execute(sql, values)
