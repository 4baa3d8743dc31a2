"""Records of feature groups in SQLite: the online store, and rows on their way to the offline one.

Both live in one database, so that a record reaches both stores or neither, and every call is
committed before it returns: killing the process loses nothing that was answered. A group is known
by its folder name in the offline store ("name-epoch"), which no two groups ever share.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.sagemaker.store import open_database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS groups (folder TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS online (
    folder TEXT NOT NULL, identifier TEXT NOT NULL, event REAL NOT NULL, expires REAL,
    deleted INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (folder, identifier)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiry ON online (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS pending (
    id INTEGER PRIMARY KEY, folder TEXT NOT NULL, event REAL NOT NULL, row TEXT NOT NULL, file TEXT
);
CREATE INDEX IF NOT EXISTS files ON pending (folder, file);
"""


@dataclass(frozen=True)
class Online:
    """A record of the online store; times are epoch seconds, `values` what the caller gave."""

    identifier: str
    event: float
    expires: float | None
    deleted: bool
    values: list[dict[str, Any]]


class RecordStore:
    """Thread-safe; `transaction` makes several calls one."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._database = open_database(path, _SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what happens inside one change, undone if it raises; calls do not nest."""
        with self._lock, self._database:
            self._database.execute("BEGIN")
            yield

    def claim(self, name: str, epoch: int) -> str:
        """Return a folder name for a new group: its own for ever."""
        with self._lock:
            while True:
                folder = f"{name}-{epoch}"
                added = self._database.execute("INSERT OR IGNORE INTO groups VALUES (?)", (folder,))
                if added.rowcount:
                    return folder
                epoch += 1

    # The online store

    def get(self, folder: str, identifier: str, now: float) -> Online | None:
        """Return a record, soft-deleted or not, unless it has expired."""
        with self._lock:
            row = self._database.execute(
                "SELECT event, expires, deleted, record FROM online"
                " WHERE folder = ? AND identifier = ?",
                (folder, identifier),
            ).fetchone()
        if row is None or (row[1] is not None and row[1] <= now):
            return None
        return Online(identifier, row[0], row[1], bool(row[2]), json.loads(row[3]))

    def put(self, folder: str, record: Online) -> None:
        """Write a record over whatever there is."""
        with self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO online VALUES (?, ?, ?, ?, ?, ?)",
                (
                    folder,
                    record.identifier,
                    record.event,
                    record.expires,
                    record.deleted,
                    json.dumps(record.values),
                ),
            )

    def remove(self, folder: str, identifier: str) -> None:
        """Remove a record, if it is there."""
        with self._lock:
            self._database.execute(
                "DELETE FROM online WHERE folder = ? AND identifier = ?", (folder, identifier)
            )

    def clear(self, folder: str) -> None:
        """Remove every online record of a group."""
        with self._lock:
            self._database.execute("DELETE FROM online WHERE folder = ?", (folder,))

    def identifiers(
        self, folder: str, after: str, limit: int, now: float, deleted: bool
    ) -> list[str]:
        """Return identifiers in order, those after one; soft-deleted ones only if asked for."""
        with self._lock:
            rows = self._database.execute(
                "SELECT identifier FROM online WHERE folder = ? AND identifier > ?"
                " AND deleted <= ? AND (expires IS NULL OR expires > ?) ORDER BY identifier"
                " LIMIT ?",
                (folder, after, deleted, now, limit),
            ).fetchall()
        return [row[0] for row in rows]

    def expired(self, now: float, limit: int) -> list[tuple[str, str, float]]:
        """Return folder, identifier and expiry of records whose time is over."""
        with self._lock:
            return self._database.execute(
                "SELECT folder, identifier, expires FROM online WHERE expires <= ? LIMIT ?",
                (now, limit),
            ).fetchall()

    # Rows for the offline store

    def append(self, folder: str, event: float, row: dict[str, Any]) -> None:
        """Add a row to deliver."""
        with self._lock:
            self._database.execute(
                "INSERT INTO pending (folder, event, row) VALUES (?, ?, ?)",
                (folder, event, json.dumps(row)),
            )

    def pending(self) -> list[str]:
        """Return the folders that have rows to deliver."""
        with self._lock:
            rows = self._database.execute("SELECT DISTINCT folder FROM pending").fetchall()
        return [row[0] for row in rows]

    def unassigned(self, folder: str, limit: int) -> list[tuple[int, float]]:
        """Return id and event time of rows that no file holds yet, oldest first."""
        with self._lock:
            return self._database.execute(
                "SELECT id, event FROM pending WHERE folder = ? AND file IS NULL"
                " ORDER BY id LIMIT ?",
                (folder, limit),
            ).fetchall()

    def assign(self, files: dict[str, list[int]]) -> None:
        """Note which file holds which rows, before it is written."""
        with self.transaction():
            for file, ids in files.items():
                self._database.executemany(
                    "UPDATE pending SET file = ? WHERE id = ?", [(file, number) for number in ids]
                )

    def files(self, folder: str) -> list[str]:
        """Return the files that are assigned and not yet delivered."""
        with self._lock:
            rows = self._database.execute(
                "SELECT DISTINCT file FROM pending WHERE folder = ? AND file IS NOT NULL", (folder,)
            ).fetchall()
        return [row[0] for row in rows]

    def rows(self, folder: str, file: str) -> list[str]:
        """Return a file's rows as JSON, in the order they came."""
        with self._lock:
            rows = self._database.execute(
                "SELECT row FROM pending WHERE folder = ? AND file = ? ORDER BY id", (folder, file)
            ).fetchall()
        return [row[0] for row in rows]

    def delivered(self, folder: str, file: str) -> None:
        """Forget a file's rows: they are in S3."""
        with self._lock:
            self._database.execute(
                "DELETE FROM pending WHERE folder = ? AND file = ?", (folder, file)
            )

    def discard(self, folder: str) -> None:
        """Forget every row of a group."""
        with self._lock:
            self._database.execute("DELETE FROM pending WHERE folder = ?", (folder,))
