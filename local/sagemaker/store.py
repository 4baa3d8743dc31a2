"""Resources kept in SQLite: a record is a JSON document named by kind and name.

Members of a record that begin with `_` are ours; output shapes never show them. Every write is
committed before it returns, so that killing the process loses nothing that was answered.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    kind TEXT NOT NULL, name TEXT NOT NULL, arn TEXT NOT NULL UNIQUE, record TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE TABLE IF NOT EXISTS processes (pid INTEGER PRIMARY KEY, started INTEGER NOT NULL);
"""


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """Open a database that any thread may use, one at a time, and make its tables.

    What is committed survives the death of the process; a power cut may lose the last transactions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    database.executescript(schema)
    return database


class DuplicateError(Exception):
    """A resource of that kind and name exists."""


class Store:
    """Thread-safe: hold `lock` around several calls that must be seen as one."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self._database = open_database(path, _SCHEMA)

    def insert(self, kind: str, name: str, arn: str, record: Record) -> None:
        """Add a resource. Raises DuplicateError if its name is taken."""
        with self.lock:
            try:
                self._database.execute(
                    "INSERT INTO resources VALUES (?, ?, ?, ?)",
                    (kind, name, arn, json.dumps(record)),
                )
            except sqlite3.IntegrityError as error:
                raise DuplicateError(name) from error

    def differs_by_case(self, kind: str, name: str) -> bool:
        """Whether another resource of the kind has that name in other letters' case."""
        with self.lock:
            row = self._database.execute(
                "SELECT 1 FROM resources WHERE kind = ? AND name = ? COLLATE NOCASE AND name != ?",
                (kind, name, name),
            ).fetchone()
        return row is not None

    def get(self, kind: str, name: str) -> Record | None:
        """Return a copy of a record, or None."""
        with self.lock:
            row = self._database.execute(
                "SELECT record FROM resources WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def find(self, arn: str) -> tuple[str, str] | None:
        """Return the kind and name of the resource with that ARN."""
        with self.lock:
            row = self._database.execute(
                "SELECT kind, name FROM resources WHERE arn = ?", (arn,)
            ).fetchone()
        return (row[0], row[1]) if row else None

    def all(self, kind: str) -> list[Record]:
        """Return a copy of every record of a kind, oldest first."""
        with self.lock:
            rows = self._database.execute(
                "SELECT record FROM resources WHERE kind = ? ORDER BY rowid", (kind,)
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def update(self, kind: str, name: str, change: Callable[[Record], None]) -> Record | None:
        """Apply `change` to a record at once; return what it became, None if it is gone."""
        with self.lock:
            record = self.get(kind, name)
            if record is None:
                return None
            change(record)
            self._database.execute(
                "UPDATE resources SET record = ? WHERE kind = ? AND name = ?",
                (json.dumps(record), kind, name),
            )
        return record

    def delete(self, kind: str, name: str) -> None:
        """Remove a record, if it is there."""
        with self.lock:
            self._database.execute(
                "DELETE FROM resources WHERE kind = ? AND name = ?", (kind, name)
            )

    def add_process(self, pid: int, started: int) -> None:
        """Note a process of ours, with its start time (clock ticks since boot)."""
        with self.lock:
            self._database.execute("INSERT OR REPLACE INTO processes VALUES (?, ?)", (pid, started))

    def remove_process(self, pid: int) -> None:
        """Forget a process that ended."""
        with self.lock:
            self._database.execute("DELETE FROM processes WHERE pid = ?", (pid,))

    def processes(self) -> list[tuple[int, int]]:
        """Return pid and start time of every process not known to have ended."""
        with self.lock:
            return self._database.execute("SELECT pid, started FROM processes").fetchall()
