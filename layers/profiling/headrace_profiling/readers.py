"""Files as the table or view `source` (with a row number) and the table `rejects`.

Parquet is read where it lies. Text formats become a table of text, so that a value that is not what
it should be spoils its row and not the file; lines that cannot be taken apart are in `rejects`
(line, raw, reason).
"""

# Names of columns cannot be bound as parameters; `identifier` and `literal` quote them.
# ruff: noqa: S608

import csv
import json
from pathlib import Path

import duckdb

from headrace_profiling.engine import literal

ROW = "_row"
MAX_COLUMNS = 5000
MAX_LINE_BYTES = 1 << 20


class Unreadable(Exception):  # noqa: N818 — a finding about a file, never a fault of ours
    """The file cannot be read at all; the message says why."""


def open_parquet(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Make view `source` of a parquet file."""
    connection.execute(
        f"CREATE TEMP VIEW source AS SELECT * EXCLUDE (file_row_number), file_row_number AS {ROW} "
        f"FROM read_parquet({literal(str(path))}, file_row_number = true)"
    )
    _create_rejects(connection)


def read_csv(connection: duckdb.DuckDBPyConnection, path: Path, _folder: Path) -> None:
    """Read a comma-separated file with a header (RFC 4180); an empty field is null."""
    columns = _csv_header(path)
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns)
    connection.execute(
        f"CREATE TEMP TABLE source AS SELECT *, row_number() OVER () AS {ROW} FROM "
        f"read_csv({literal(str(path))}, header = true, auto_detect = false, delim = ',', "
        f"quote = '\"', escape = '\"', columns = {{{types}}}, store_rejects = true, "
        "rejects_limit = 0)"
    )
    _create_rejects(connection)
    connection.execute(
        "INSERT INTO rejects SELECT line, any_value(csv_line), "
        "'the line is broken (' || lower(first(error_type::VARCHAR)) || ')' "
        "FROM reject_errors GROUP BY line"
    )


def read_jsonl(connection: duckdb.DuckDBPyConnection, path: Path, folder: Path) -> None:
    """Read one JSON object per line; a key that is absent is null."""
    _create_rejects(connection)
    clean = folder / "clean.jsonl"
    columns: dict[str, None] = {}
    rejects: list[tuple[int, str, str]] = []
    with path.open("rb") as lines, clean.open("wb") as good:
        number = 0
        while line := lines.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise Unreadable(f"Line {number} is longer than {MAX_LINE_BYTES} bytes.")
            if not line.strip():
                continue
            content = _json_object(line)
            if content is None:
                raw = line.decode("utf-8", errors="replace").rstrip("\n")
                rejects.append((number, raw, "the line is no JSON object"))
                continue
            columns.update(dict.fromkeys(content))
            if len(columns) > MAX_COLUMNS:
                raise Unreadable(f"The file has more than {MAX_COLUMNS} columns.")
            good.write(line.rstrip(b"\r\n") + b"\n")
    if not columns:
        raise Unreadable("The file is not readable as jsonl: no line is a JSON object.")
    if rejects:
        connection.executemany("INSERT INTO rejects VALUES (?, ?, ?)", rejects)
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns)
    connection.execute(
        f"CREATE TEMP TABLE source AS SELECT *, row_number() OVER () AS {ROW} FROM "
        f"read_json({literal(str(clean))}, format = 'newline_delimited', columns = {{{types}}})"
    )


def _create_rejects(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TEMP TABLE rejects (line BIGINT, raw VARCHAR, reason VARCHAR)")


def _csv_header(path: Path) -> list[str]:
    with path.open("rb") as file:
        line = file.readline(MAX_LINE_BYTES + 1)
    try:
        columns = [n.strip() for n in next(csv.reader([line.decode("utf-8-sig")]), [])]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(
            f"The file is not readable as csv: its header is broken: {error}"
        ) from error
    if not columns or not all(columns) or any("\x00" in name for name in columns):
        raise Unreadable("The file is not readable as csv: its first line names no columns.")
    folded = [name.casefold() for name in columns]  # DuckDB's names know no case
    twice = sorted({name for name in columns if folded.count(name.casefold()) > 1})
    if twice:
        raise Unreadable(f"The header names column {twice[0]} twice.")
    if len(columns) > MAX_COLUMNS:
        raise Unreadable(f"The file has more than {MAX_COLUMNS} columns.")
    return columns


def _json_object(line: bytes) -> dict[str, object] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content else None
