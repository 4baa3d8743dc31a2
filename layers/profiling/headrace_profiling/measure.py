"""Profiles of what DuckDB can read: one scan, a batch in memory at a time."""

# Names of columns cannot be bound as parameters; `identifier` quotes them.
# ruff: noqa: S608

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np

from headrace_profiling.arrow import Column, batches
from headrace_profiling.columns import ColumnProfile
from headrace_profiling.engine import identifier
from headrace_profiling.parts import Numbers, Texts
from headrace_profiling.profiles import Profile

# What a column is measured as, beyond the logical types: text that may hold numbers or times.
TEXT_OF_NUMBERS = "text of numbers"
TEXT_OF_TIMES = "text of times"
TEXT_OF_BOOLEANS = "text of booleans"


@dataclass
class _Measured:
    """One column while it is read."""

    number: str | None  # SQL of a DOUBLE, null where the value is no number
    text: str | None  # SQL of a VARCHAR, null where the value is no text
    number_kind: str | None = None  # None: integers are told from numbers by their values
    text_kind: str = "string"
    rows: int = 0
    numbers: Numbers | None = None
    texts: Texts | None = None

    def selected(self) -> list[str]:
        """Return the SQL of the columns that `add` takes."""
        columns = [self.number] if self.number else []
        if self.text:
            columns += [self.text, f"hash({self.text})", f"length({self.text})"]
        return columns

    def add(self, columns: Iterator[Column], hasher: str) -> None:
        """Take the next batch from its columns."""
        if self.number:
            column = next(columns)
            self.rows += column.length
            self._add_numbers(column)
        if self.text:
            column, hashes, lengths = next(columns), next(columns), next(columns)
            self.rows += 0 if self.number else column.length
            self._add_texts(column, hashes, lengths, hasher)

    def profile(self) -> ColumnProfile:
        """Return what was found."""
        kinds: dict[str, int] = {}
        if self.numbers and self.number_kind:
            kinds = {self.number_kind: self.numbers.values}
        elif self.numbers:
            whole = self.numbers.whole
            kinds = {"integer": whole, "number": self.numbers.values - whole}
        if self.texts:
            kinds[self.text_kind] = self.texts.count
        return ColumnProfile(
            rows=self.rows,
            nulls=self.rows - sum(kinds.values()),
            kinds={kind: n for kind, n in kinds.items() if n},
            numbers=self.numbers,
            texts=self.texts,
        )

    def _add_numbers(self, column: Column) -> None:
        values = column.values(np.float64)
        values = values if column.valid is None else values[column.valid]
        if len(values):
            known = self.numbers
            found = Numbers.of(values, known.bins.shift if known else 0)
            self.numbers = known.merge(found) if known else found

    def _add_texts(self, column: Column, hashes: Column, lengths: Column, hasher: str) -> None:
        if column.valid is None:
            found = Texts.of(
                hashes.values(np.uint64), lengths.values(np.int64), column.texts, hasher
            )
        else:
            rows = np.flatnonzero(column.valid)
            found = Texts.of(
                hashes.values(np.uint64)[rows],
                lengths.values(np.int64)[rows],
                lambda chosen: column.texts(rows[chosen]),
                hasher,
            )
        if found.count:
            self.texts = self.texts.merge(found) if self.texts else found


def measure(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]
) -> Profile:
    """Return the profile of a table's or view's columns, given with their types.

    Raises duckdb.Error when the table cannot be read to its end.
    """
    measured = {name: _measured(identifier(name), type_) for name, type_ in columns.items()}
    selected = [sql for column in measured.values() for sql in column.selected()]
    rows = 0
    hasher = _hasher(connection)
    query = f"SELECT {', '.join(selected) or 'NULL::DOUBLE'} FROM {identifier(table)}"
    for batch in batches(connection, query):
        rows += batch[0].length
        values = iter(batch)
        for column in measured.values():
            column.add(values, hasher)
    return Profile(rows, {name: column.profile() for name, column in measured.items()})


def _measured(column: str, type_: str) -> _Measured:
    if type_ in {"integer", "number"}:
        return _Measured(f"{column}::DOUBLE", None, type_)
    if type_ in {"date", "timestamp"}:
        return _Measured(_seconds(column), None, type_)
    if type_ == "boolean":
        return _Measured(None, f"{column}::VARCHAR", text_kind="boolean")
    if type_ == TEXT_OF_BOOLEANS:
        return _Measured(None, f"lower({column})", text_kind="boolean")
    if type_ == TEXT_OF_NUMBERS:
        number = f"TRY_CAST({column} AS DOUBLE)"
        return _Measured(number, f"CASE WHEN {number} IS NULL THEN {column} END")
    if type_ == TEXT_OF_TIMES:
        time = f"TRY_CAST({column} AS TIMESTAMP)"
        return _Measured(_seconds(time), f"CASE WHEN {time} IS NULL THEN {column} END", "timestamp")
    return _Measured(None, f"{column}::VARCHAR")


def _seconds(column: str) -> str:
    # DuckDB has infinite times, of which it gives no seconds.
    return (
        f"CASE WHEN isfinite({column}) THEN epoch({column}) "
        f"WHEN {column} IS NOT NULL THEN 'inf'::DOUBLE END"
    )


def _hasher(connection: duckdb.DuckDBPyConnection) -> str:
    # All rows are fetched: DuckDB hands out no stream while an earlier result has more.
    ((probe,),) = connection.execute("SELECT hash('headrace')").fetchall()
    return f"duckdb:{probe}"
