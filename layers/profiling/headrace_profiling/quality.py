"""One file of data: can it be read, does it have the columns, and which rows are good.

Bad rows are parted from good ones with a reason each; a file that cannot be used at all is refused
with a reason. Neither is an error.
"""

# Names of columns cannot be bound as parameters; `identifier` and `literal` quote them.
# ruff: noqa: S608

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import duckdb

from headrace_profiling.columns import ColumnProfile
from headrace_profiling.engine import PHYSICAL, Engine, identifier, literal, logical_type
from headrace_profiling.measure import measure
from headrace_profiling.readers import ROW, Unreadable, open_parquet, read_csv, read_jsonl

Format = Literal["parquet", "csv", "jsonl"]
REASON = "_reason"
RAW = "_raw"
_RESERVED = {ROW, REASON, RAW}
_SPELLING = {"integer": "[+-]?[0-9]+", "date": "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"}
MAX_BAD_SHARE = 0.5  # beyond it the file is not what it claims to be


@dataclass(frozen=True)
class Rule:
    """What a column must be."""

    type: str
    nullable: bool = True
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] | None = None


@dataclass(frozen=True)
class FileCheck:
    """What was found. With a `problem` nothing of the file can be used.

    `good_file` is None when the file itself, as it is, has only good rows. `excluded` stands for
    which rows were left out; it is empty when none was.
    """

    problem: str | None = None
    rows: int = 0
    bad_rows: int = 0
    reasons: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    excluded: str = ""
    good_file: Path | None = None
    bad_file: Path | None = None
    profile: Mapping[str, ColumnProfile] = field(default_factory=dict)


def check_file(
    path: Path,
    file_format: Format,
    folder: Path,
    rules: Mapping[str, Rule],
    label: str,
    engine: Engine,
) -> FileCheck:
    """Check one file. `folder` is empty and takes results; `rules` may be empty.

    Without rules any columns will do as long as the label is among them.
    """
    if path.stat().st_size == 0:
        return FileCheck(problem="The file is empty (0 bytes).")
    try:
        with engine.session() as connection:
            return _Check(connection, path, file_format, folder, rules, label).run()
    except Unreadable as error:
        return FileCheck(problem=str(error))
    except duckdb.OutOfMemoryException:
        return FileCheck(
            problem=f"The file cannot be checked within {engine.memory_mb} MB of memory; split it."
        )
    except duckdb.Error as error:
        # Broken parquet surfaces as almost any class of DuckDB's errors, the base included.
        first_line = str(error).splitlines()[0].replace(str(path), "the file")
        return FileCheck(problem=f"The file is not readable as {file_format}: {first_line}")


class _Check:
    """The steps of one check, which share a connection and the names of its tables."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        file_format: Format,
        folder: Path,
        rules: Mapping[str, Rule],
        label: str,
    ) -> None:
        self.connection = connection
        self.path = path
        self.file_format = file_format
        self.folder = folder
        self.rules = rules
        self.label = label

    def run(self) -> FileCheck:
        if self.file_format == "parquet":
            open_parquet(self.connection, self.path)
        else:
            read = read_csv if self.file_format == "csv" else read_jsonl
            read(self.connection, self.path, self.folder)
        physical = self._physical_types()
        problem = self._schema_problem(physical)
        if problem:
            return FileCheck(problem=problem, rows=self._count("source") + self._count("rejects"))
        columns = self._logical_types(physical)
        self._part_rows(columns)
        broken = self._count("rejects")
        rows, bad_rows = self._count("source") + broken, self._count("bad") + broken
        reasons = self._summary(rows) if bad_rows else []
        bad_file = self._write_bad() if bad_rows else None
        if rows == 0 or bad_rows > rows * MAX_BAD_SHARE:
            problem = (
                f"{bad_rows} of {rows} rows are bad: {'; '.join(reasons)}"
                if rows
                else "The file has no rows."
            )
            return FileCheck(
                problem=problem, rows=rows, bad_rows=bad_rows, columns=columns, bad_file=bad_file
            )
        rewrite = bad_rows or self.file_format != "parquet"
        return FileCheck(
            rows=rows,
            bad_rows=bad_rows,
            reasons=reasons,
            columns=columns,
            excluded=self._excluded() if bad_rows else "",
            good_file=self._write_good() if rewrite else None,
            bad_file=bad_file,
            profile=measure(self.connection, "good", columns).columns,
        )

    def _physical_types(self) -> dict[str, str]:
        rows = self.connection.execute("DESCRIBE source").fetchall()
        return {name: type_ for name, type_, *_ in rows if name != ROW}

    def _schema_problem(self, physical: Mapping[str, str]) -> str | None:
        """Say what is wrong with the columns. Types of text formats are checked row by row."""
        problems = [f"column {name} is reserved" for name in physical if name in _RESERVED]
        if self.label not in physical:
            problems.append(f"the label column {self.label} is missing")
        problems += [
            f"column {name} is missing"
            for name in self.rules
            if name not in physical and name != self.label
        ]
        for name, type_ in physical.items():
            expected = self.rules.get(name)
            found = logical_type(type_)
            if self.rules and expected is None:
                problems.append(f"column {name} is not in the schema")
            elif found is None:
                problems.append(f"column {name} is {type_}, which is no type for a model")
            elif expected and self.file_format == "parquet" and not _fits(found, expected.type):
                problems.append(f"column {name} is {type_}, expected {expected.type}")
        if not problems:
            return None
        return f"The schema {'drifted' if self.rules else 'is wrong'}: {'; '.join(problems)}."

    def _logical_types(self, physical: Mapping[str, str]) -> dict[str, str]:
        if self.file_format == "parquet":
            return {
                name: self.rules[name].type if name in self.rules else str(logical_type(type_))
                for name, type_ in physical.items()
            }
        unknown = [name for name in physical if name not in self.rules]
        guessed = self._guess_types(unknown)
        return {
            name: self.rules[name].type if name in self.rules else guessed[name]
            for name in physical
        }

    def _guess_types(self, names: list[str]) -> dict[str, str]:
        """Return the narrowest type that every value of a text column fits."""
        candidates = ("integer", "number", "boolean", "date", "timestamp")
        if not names:
            return {}
        failures = ", ".join(
            f"count(*) FILTER ({identifier(name)} IS NOT NULL AND {_cast(name, type_)} IS NULL)"
            for name in names
            for type_ in candidates
        )
        values = ", ".join(f"count({identifier(name)})" for name in names)
        row = self.connection.execute(f"SELECT {values}, {failures} FROM source").fetchone() or ()
        counts, misfits = row[: len(names)], row[len(names) :]
        return {
            name: next(
                (
                    type_
                    for j, type_ in enumerate(candidates)
                    if counts[i] and misfits[i * len(candidates) + j] == 0
                ),
                "string",
            )
            for i, name in enumerate(names)
        }

    def _part_rows(self, columns: Mapping[str, str]) -> None:
        """Make `bad` (row, reasons) and `good` (row, typed columns)."""
        faults = [fault for name, type_ in columns.items() for fault in self._faults(name, type_)]
        self.connection.execute(
            f"CREATE TEMP TABLE bad AS SELECT {ROW}, faults FROM (SELECT {ROW}, "
            f"list_filter([{', '.join(faults)}], lambda fault: fault IS NOT NULL) AS faults "
            "FROM source) WHERE len(faults) > 0"
        )
        typed = ", ".join(
            f"{self._typed(name, type_)} AS {identifier(name)}" for name, type_ in columns.items()
        )
        only_good = f"WHERE {ROW} NOT IN (SELECT {ROW} FROM bad)" if self._count("bad") else ""
        self.connection.execute(
            # Text is read as its types once; parquet is read where it lies.
            f"CREATE TEMP {'VIEW' if self.file_format == 'parquet' else 'TABLE'} good AS "
            f"SELECT {typed}, {ROW} FROM source {only_good}"
        )

    def _typed(self, name: str, type_: str) -> str:
        return identifier(name) if self.file_format == "parquet" else _cast(name, type_)

    def _faults(self, name: str, type_: str) -> list[str]:
        """Return one SQL expression per check of a column: its reason, or null."""
        raw, value = identifier(name), self._typed(name, type_)
        rule = self.rules.get(name)
        conditions: list[tuple[str, str]] = []
        if self.file_format != "parquet":
            conditions.append(
                (f"{raw} IS NOT NULL AND {value} IS NULL", f"does not read as {type_}")
            )
        if name == self.label or (rule and not rule.nullable):
            conditions.append((f"{raw} IS NULL", "is null"))
            if type_ == "number":
                conditions.append((f"isnan({value})", "is NaN"))
        if rule and rule.minimum is not None:
            conditions.append((f"{value} < {rule.minimum!r}", f"is below {rule.minimum:g}"))
        if rule and rule.maximum is not None:
            conditions.append((f"{value} > {rule.maximum!r}", f"is above {rule.maximum:g}"))
        if rule and rule.values is not None:
            allowed = ", ".join(literal(v) for v in rule.values)
            conditions.append(
                (f"{raw}::VARCHAR NOT IN ({allowed})", "is none of the allowed values")
            )
        return [
            f"CASE WHEN {condition} THEN {literal(f'{name} {reason}')} END"
            for condition, reason in conditions
        ]

    def _summary(self, rows: int) -> list[str]:
        counted = self.connection.execute(
            "SELECT reason, count(*) AS n FROM (SELECT unnest(faults) AS reason FROM bad "
            "UNION ALL SELECT reason FROM rejects) GROUP BY reason ORDER BY n DESC, reason LIMIT 20"
        ).fetchall()
        return [f"{reason} in {n} of {rows} rows" for reason, n in counted]

    def _write_bad(self) -> Path:
        """Write bad rows as they are, and lines that could not be taken apart, reasons last."""
        query = (
            f"SELECT source.*, array_to_string(faults, '; ') AS {REASON} "
            f"FROM source JOIN bad USING ({ROW})"
        )
        if self.file_format != "parquet":
            query += (
                f" UNION ALL BY NAME SELECT line AS {ROW}, raw AS {RAW}, reason AS {REASON} "
                "FROM rejects"
            )
        target = self.folder / "bad.parquet"
        self._copy(f"SELECT * EXCLUDE ({REASON}), {REASON} FROM ({query}) ORDER BY {ROW}", target)
        return target

    def _write_good(self) -> Path:
        target = self.folder / "good.parquet"
        self._copy(f"SELECT * EXCLUDE ({ROW}) FROM good ORDER BY {ROW}", target)
        return target

    def _copy(self, query: str, target: Path) -> None:
        self.connection.execute(
            f"COPY ({query}) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd)"
        )

    def _excluded(self) -> str:
        digest = hashlib.sha256()
        cursor = self.connection.execute(
            f"SELECT {ROW}, 'row' FROM bad UNION ALL SELECT line, 'line' FROM rejects ORDER BY ALL"
        )
        while batch := cursor.fetchmany(10_000):
            digest.update(repr(batch).encode())
        return digest.hexdigest()

    def _count(self, table: str) -> int:
        row: Any = self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(row[0])


def _fits(found: str, expected: str) -> bool:
    return found in {expected, "null"} or (found == "integer" and expected == "number")


def _cast(name: str, type_: str) -> str:
    """Return SQL that reads text as a type, null where it is none.

    DuckDB would round '3.5' to an integer and cut the time from a date: those are spelt out.
    """
    column = identifier(name)
    cast = f"TRY_CAST({column} AS {PHYSICAL[type_]})"
    spelling = _SPELLING.get(type_)
    if spelling is None:
        return cast
    return f"CASE WHEN regexp_full_match(trim({column}), {literal(spelling)}) THEN {cast} END"
