"""`profile`: what is in a file, a folder or captured traffic, in bounded memory.

Parquet and typed tables are measured as their types say. In text formats (CSV, JSON lines) each
value is what it reads as, so that a column of numbers with a few words in it is just that.
"""

# Names of files and columns cannot be bound as parameters; `identifier` and `literal` quote them.
# ruff: noqa: S608

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import duckdb

from headrace_profiling.captures import CaptureColumns, payloads
from headrace_profiling.engine import PHYSICAL, Engine, identifier, literal, logical_type
from headrace_profiling.errors import SourceError
from headrace_profiling.measure import (
    TEXT_OF_BOOLEANS,
    TEXT_OF_NUMBERS,
    TEXT_OF_TIMES,
    measure,
)
from headrace_profiling.profiles import Profile

Format = Literal["parquet", "csv", "jsonl", "capture"]
_SUFFIXES: Mapping[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_VIEW = "profiled"
_RFC_4180 = """, delim = ',', quote = '"', escape = '"', null_padding = true"""
_SAMPLE_ROWS = 20_480  # of a text file, looked at for dates and booleans
# How the texts of a text format are read, by the type that was recognised or told.
_READ_AS = {"date": TEXT_OF_TIMES, "timestamp": TEXT_OF_TIMES, "boolean": TEXT_OF_BOOLEANS}


def profile(
    source: str | Path | Iterable[str | Path],
    *,
    file_format: Format | None = None,
    types: Mapping[str, str] | None = None,
    header: bool = True,
    capture: CaptureColumns | None = None,
    memory_mb: int = 512,
    threads: int | None = None,
) -> Profile:
    """Return the profile of a file, of a folder's files, or of several files.

    `file_format` is told from the files' suffix if None; captured inference records of a SageMaker
    endpoint are `capture`. `types` fixes the types of columns (string, integer, number, boolean,
    date, timestamp) of text formats, where dates and booleans are otherwise recognised in the first
    20,480 rows, and where a code like 007 would be a number. `header` says whether CSV files begin
    with names; `capture` names the columns of captured CSV payloads. DuckDB stays below `memory_mb`
    MB and the arrays of two batches of rows are beside it. `threads` are those that read: one for
    parquet if None, as it keeps pace with the one that counts, else as many as there are cores.

    Raises SourceError for what is not there, is not of the format, or for an unknown type.
    """
    paths = _paths(source)
    unknown = sorted(set((types or {}).values()) - set(PHYSICAL))
    if unknown:
        raise SourceError(f"There is no type {unknown[0]}; the types are {', '.join(PHYSICAL)}.")
    kind = file_format or _SUFFIXES.get(paths[0].suffix.lower())
    if kind is None:
        raise SourceError(f"The suffix of {paths[0].name} says no format; pass file_format.")
    with TemporaryDirectory() as folder:
        reading = threads or (1 if kind == "parquet" else None)
        engine = Engine(Path(folder), memory_mb, reading)
        try:
            with engine.session() as connection:
                if kind == "capture":
                    return _captured(connection, paths, Path(folder), types or {}, capture)
                return _plain(connection, kind, paths, types or {}, header=header)
        except duckdb.OutOfMemoryException as error:
            raise SourceError(
                f"{paths[0]} takes more than {memory_mb} MB to read; pass a larger memory_mb."
            ) from error
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise SourceError(f"{paths[0]} is not readable as {kind}: {reason}") from error
        finally:
            engine.close()


def _paths(source: str | Path | Iterable[str | Path]) -> list[Path]:
    given = [source] if isinstance(source, str | Path) else list(source)
    found: list[Path] = []
    for path in map(Path, given):
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        found += [p for p in inside if not p.name.startswith((".", "_"))]
    if not found or not all(path.is_file() for path in found):
        missing = next((path for path in found if not path.is_file()), None)
        raise SourceError(f"There is no file {missing or given}.")
    return found


def _plain(
    connection: duckdb.DuckDBPyConnection,
    kind: Format,
    paths: list[Path],
    types: Mapping[str, str],
    *,
    header: bool,
) -> Profile:
    if kind == "parquet":
        _view(connection, f"read_parquet({_list(paths)}, union_by_name = true)")
        return measure(connection, _VIEW, _described(connection, _VIEW))
    if kind == "csv":
        return _text(connection, _csv(paths, header=header), types)
    return _text(connection, _jsonl(connection, paths), types)


def _captured(
    connection: duckdb.DuckDBPyConnection,
    paths: list[Path],
    folder: Path,
    types: Mapping[str, str],
    columns: CaptureColumns | None,
) -> Profile:
    """Profile both sides; rows are those that went in, or that came out if only they are there."""
    sides: dict[str, Profile] = {}
    for found in payloads(connection, paths, folder, columns or CaptureColumns()):
        if found.file_format == "csv":
            table = _csv([found.path], header=False, dialect=_RFC_4180)
            side = _text(connection, table, types, found.names, f"{found.side}.")
        else:
            side = _text(connection, _jsonl(connection, [found.path]), types)
        sides[found.side] = sides[found.side] + side if found.side in sides else side
    if not sides:
        raise SourceError(f"{paths[0]} has no captured payload.")
    rows = next(iter(sides.values())).rows
    inputs = dict(sides["input"].columns) if "input" in sides else {}
    outputs = sides["output"].columns if "output" in sides else {}
    named = {f"output.{n}" if n in inputs else n: column for n, column in outputs.items()}
    return Profile(rows, inputs | named)


def _list(paths: list[Path]) -> str:
    return "[" + ", ".join(literal(str(path)) for path in paths) + "]"


def _csv(paths: list[Path], *, header: bool, dialect: str = "") -> dict[str, str]:
    """Return the SQL of a table of texts, and of one whose types DuckDB recognises."""
    options = f"header = {str(header).lower()}, sample_size = {_SAMPLE_ROWS}"
    options += dialect or ", union_by_name = true"
    typed = f"read_csv({_list(paths)}, {options})"
    return {"typed": typed, "texts": f"read_csv({_list(paths)}, {options}, all_varchar = true)"}


def _jsonl(connection: duckdb.DuckDBPyConnection, paths: list[Path]) -> dict[str, str]:
    read = f"read_json({_list(paths)}, format = 'newline_delimited'"
    typed = f"{read}, sample_size = {_SAMPLE_ROWS}, union_by_name = true)"
    _view(connection, typed)
    columns = ", ".join(f"{literal(n)}: 'VARCHAR'" for n in _described(connection, _VIEW))
    return {"typed": typed, "texts": f"{read}, columns = {{{columns}}})"}


def _text(
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[str, str],
    types: Mapping[str, str],
    names: tuple[str, ...] = (),
    prefix: str = "",
) -> Profile:
    """Measure texts as what they read as; with a `prefix` columns are named by position."""
    _view(connection, tables["typed"])
    sniffed = _described(connection, _VIEW)
    _view(connection, tables["texts"])
    renamed = {name: name for name in sniffed}
    if prefix:
        renamed = {
            name: names[i] if i < len(names) else f"{prefix}{i}" for i, name in enumerate(sniffed)
        }
        selected = ", ".join(f"{identifier(n)} AS {identifier(to)}" for n, to in renamed.items())
        _view(connection, f"(SELECT {selected} FROM {tables['texts']})")
    read_as = {}
    for name, recognised in sniffed.items():
        told = types.get(renamed[name])
        kind = _READ_AS.get(told or recognised, TEXT_OF_NUMBERS)
        read_as[renamed[name]] = "string" if told == "string" else kind
    return measure(connection, _VIEW, read_as)


def _view(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {_VIEW} AS SELECT * FROM {table}")


def _described(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE {identifier(table)}").fetchall()
    return {name: logical_type(type_) or "string" for name, type_, *_ in rows}
