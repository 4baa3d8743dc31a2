"""Profiles of whole tables: columns by name, merging, JSON."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_profiling.columns import ColumnProfile
from headrace_profiling.errors import FormatError

VERSION = 1


@dataclass(frozen=True)
class Profile:
    """A table: its rows and its columns. `one + other` and `merge` profile both's rows together."""

    rows: int
    columns: Mapping[str, ColumnProfile]

    def merge(self, other: "Profile") -> "Profile":
        """Return the profile of both tables' rows together; a column may be in one of them only."""
        return Profile(self.rows + other.rows, merge_columns([self.columns, other.columns]))

    def __add__(self, other: "Profile") -> "Profile":
        return self.merge(other)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values: a few KB per column."""
        columns = {name: column.as_dict() for name, column in self.columns.items()}
        return {"version": VERSION, "rows": self.rows, "columns": columns}

    def to_json(self) -> str:
        """Return `as_dict` as text."""
        return json.dumps(
            self.as_dict(), allow_nan=False, separators=(",", ":"), ensure_ascii=False
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> "Profile":
        """Read what `to_json` wrote. Raises FormatError for anything else."""
        try:
            return cls.from_dict(json.loads(text))
        except ValueError as error:
            raise FormatError(f"This is no profile in JSON: {error!r}.") from error

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Profile":
        """Read what `as_dict` wrote. Raises FormatError for anything else."""
        try:
            if document["version"] != VERSION:
                raise FormatError(
                    f"The profile has version {document['version']}, this library reads {VERSION}; "
                    "profile the data again, or install the library that wrote it."
                )
            columns = {n: ColumnProfile.from_dict(c) for n, c in document["columns"].items()}
            return cls(document["rows"], columns)
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"This is no profile in JSON: {error!r}.") from error


def merge_columns(
    parts: Iterable[Mapping[str, ColumnProfile]],
) -> dict[str, ColumnProfile]:
    """Return the columns of several tables' rows together."""
    merged: dict[str, ColumnProfile] = {}
    for columns in parts:
        for name, column in columns.items():
            merged[name] = merged[name].merge(column) if name in merged else column
    return merged
