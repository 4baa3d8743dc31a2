"""Profiles of what DuckDB can read: one scan, a batch in memory at a time."""

# Names of columns cannot be bound as parameters; `identifier` quotes them.
# ruff: noqa: S608

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from headrace_profiling.arrow import Column, batches
from headrace_profiling.columns import ColumnProfile
from headrace_profiling.engine import identifier
from headrace_profiling.numbers import Numbers
from headrace_profiling.profiles import Profile
from headrace_profiling.running import MOST_SLOTS, RunningNumbers
from headrace_profiling.texts import RunningTexts

# What a column is measured as, beyond the logical types: text that may hold numbers or times.
TEXT_OF_NUMBERS = "text of numbers"
TEXT_OF_TIMES = "text of times"
TEXT_OF_BOOLEANS = "text of booleans"
_LARGE_BLOCK = 31 << 20
_ALL_SLOTS = 1 << 24  # of all columns' tables, 128 MB


@dataclass
class _Measured:
    """One column while it is read."""

    numbers: RunningNumbers
    texts: RunningTexts
    number: str | None = None  # SQL of a DOUBLE, null where the value is no number
    text: str | None = None  # SQL of a VARCHAR, null where the value is no text
    flag: str | None = None  # SQL of a BOOLEAN
    number_kind: str | None = None  # None: integers are told from numbers by their values
    text_kind: str = "string"
    rows: int = 0

    def selected(self) -> list[str]:
        """Return the SQL of the columns that `add` takes."""
        columns = [self.number] if self.number else []
        if self.text:
            columns += [self.text, f"hash({self.text})"]
        if self.flag:
            columns.append(f"{self.flag}::UTINYINT")
        return columns

    def add(self, columns: Iterator[Column]) -> None:
        """Take the next batch from its columns."""
        column = next(columns)
        self.rows += column.length
        if self.number:
            self.numbers.add(_present(column, np.float64))
            column = next(columns) if self.text else column
        if self.text:
            hashes = next(columns).values(np.uint64)
            if column.valid is None:
                self.texts.add(hashes, column.lengths, column.texts)
            else:
                rows = np.flatnonzero(column.valid)
                self.texts.add(
                    hashes[rows],
                    lambda chosen: column.lengths(rows[chosen]),
                    lambda chosen: column.texts(rows[chosen]),
                )
        if self.flag:
            flags = _present(column, np.uint8)
            true = int(np.count_nonzero(flags))
            self.texts.count({"true": true, "false": len(flags) - true})

    def profile(self) -> ColumnProfile:
        """Return what was found."""
        numbers, texts = Numbers.found(self.numbers), self.texts.found()
        if self.number_kind:
            kinds = {self.number_kind: numbers.values}
        else:
            kinds = {"integer": numbers.whole, "number": numbers.values - numbers.whole}
        kinds[self.text_kind] = texts.count
        return ColumnProfile(
            rows=self.rows,
            nulls=self.rows - sum(kinds.values()),
            kinds={kind: n for kind, n in kinds.items() if n},
            numbers=numbers if numbers.values else None,
            texts=texts if texts.count else None,
        )


def measure(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]
) -> Profile:
    """Return the profile of a table's or view's columns, given with their types.

    Raises duckdb.Error when the table cannot be read to its end.
    """
    hasher, hashes = _hashes(connection)
    slots = min(MOST_SLOTS, _ALL_SLOTS // max(1, len(columns)))
    measured = {}
    for name, type_ in columns.items():
        texts = RunningTexts(hasher, hashes if type_ == "boolean" else {})
        numbers = RunningNumbers(all_whole=type_ == "integer", slots=slots)
        measured[name] = _measured(identifier(name), type_, numbers, texts)
    selected = [sql for column in measured.values() for sql in column.selected()]
    rows = 0
    # glibc gives memory back to the system, page by page, beyond twice the largest block that was
    # ever freed: without a large one every batch would be read into new pages.
    np.empty(_LARGE_BLOCK, np.uint8)
    query = f"SELECT {', '.join(selected) or 'NULL::DOUBLE'} FROM {identifier(table)}"
    for batch in batches(connection, query):
        rows += batch[0].length
        values = iter(batch)
        for column in measured.values():
            column.add(values)
    return Profile(rows, {name: column.profile() for name, column in measured.items()})


def _measured(column: str, type_: str, numbers: RunningNumbers, texts: RunningTexts) -> _Measured:
    measured = partial(_Measured, numbers, texts)
    if type_ in {"integer", "number"}:
        return measured(f"{column}::DOUBLE", number_kind=type_)
    if type_ in {"date", "timestamp"}:
        return measured(_seconds(column), number_kind=type_)
    if type_ == "boolean":
        return measured(flag=column, text_kind="boolean")
    if type_ == TEXT_OF_BOOLEANS:
        return measured(text=f"lower({column})", text_kind="boolean")
    if type_ == TEXT_OF_NUMBERS:
        number = f"TRY_CAST({column} AS DOUBLE)"
        return measured(number, f"CASE WHEN {number} IS NULL THEN {column} END")
    if type_ == TEXT_OF_TIMES:
        time = f"TRY_CAST({column} AS TIMESTAMP)"
        rest = f"CASE WHEN {time} IS NULL THEN {column} END"
        return measured(_seconds(time), rest, number_kind="timestamp")
    return measured(text=f"{column}::VARCHAR")


def _present(column: Column, type_: npt.DTypeLike) -> npt.NDArray[Any]:
    values = column.values(type_)
    return values if column.valid is None else values[column.valid]


def _seconds(column: str) -> str:
    # DuckDB has infinite times, of which it gives no seconds.
    return (
        f"CASE WHEN isfinite({column}) THEN epoch({column}) "
        f"WHEN {column} IS NOT NULL THEN 'inf'::DOUBLE END"
    )


def _hashes(connection: duckdb.DuckDBPyConnection) -> tuple[str, dict[str, int]]:
    """Return what tells this version's hash of texts from others, and that of booleans."""
    # All rows are fetched: DuckDB hands out no stream while an earlier result has more.
    ((probe, *flags),) = connection.execute(
        "SELECT hash('headrace'), hash('true'), hash('false')"
    ).fetchall()
    return f"duckdb:{probe}", dict(zip(("true", "false"), flags, strict=True))
