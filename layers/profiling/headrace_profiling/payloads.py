"""Payloads of captured requests and answers as JSON: one document each, whatever they were.

What most requests are is turned round in SQL, a few microseconds a row; the rest, such as CSV with
quotes or a header, is left to Python.
"""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import duckdb

from headrace_profiling.engine import literal

_FUNCTION = "headrace_rows"
_BLANK = "' ' || chr(9) || chr(10) || chr(13)"


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the function that `document` calls for unusual payloads, once in a database."""
    ((known,),) = connection.execute(
        "SELECT count(*) FROM duckdb_functions() WHERE function_name = ?", [_FUNCTION]
    ).fetchall()
    if known:
        return
    connection.create_function(
        _FUNCTION,
        rows_of,
        ["VARCHAR", "VARCHAR[]"],
        "VARCHAR",
        exception_handling="return_null",
    )


def text(side: str) -> str:
    """Return the SQL of a side's text; null where that is binary."""
    return (
        f"CASE {side}.encoding WHEN 'BASE64' THEN try(decode(from_base64({side}.data))) "
        f"ELSE {side}.data END"
    )


def document(text: str, encoding: str, names: Sequence[str]) -> str:
    """Return the SQL of a payload as JSON, null where it is none.

    `text` and `encoding` are columns; `names` are the columns a header may have. Rows are objects,
    or arrays where nothing names their cells; an empty cell of CSV is null.
    """
    known = "[" + ", ".join(map(literal, names)) + "]::VARCHAR[]"
    unusual = f"{_FUNCTION}({text}, {known})"
    lines = f"'[' || regexp_replace(trim({text}, {_BLANK}), '[\\r\\n]+', ',', 'g') || ']'"
    of_json = (
        f"CASE WHEN contains({text}, '\"columns\"') THEN TRY_CAST({unusual} AS JSON) "
        f"ELSE coalesce(TRY_CAST({text} AS JSON), TRY_CAST({lines} AS JSON)) END"
    )
    first = f"string_split(split_part({text}, chr(10), 1), ',')"
    has_header = f"2 * len(list_intersect({first}, {known})) >= len({first})" if names else "false"
    cells = (
        "'[[\"' || replace(replace(replace(replace("
        f"rtrim({text}, chr(13) || chr(10)), '\\', '\\\\'), chr(13), ''), "
        "',', '\",\"'), chr(10), '\"],[\"') || '\"]]'"
    )
    of_csv = (
        f"CASE WHEN contains({text}, '\"') OR contains({text}, chr(10) || chr(10)) OR {has_header} "
        f"THEN TRY_CAST({unusual} AS JSON) ELSE coalesce(TRY_CAST(replace({cells}, '\"\"', 'null') "
        f"AS JSON), TRY_CAST({unusual} AS JSON)) END"
    )
    is_json = f"{encoding} <> 'CSV' AND left(ltrim({text}, {_BLANK}), 1) IN ('{{', '[')"
    return f"CASE WHEN {is_json} THEN {of_json} ELSE {of_csv} END"


def rows(document: str, name: str) -> str:
    """Return the SQL of a document's rows, a list of JSON; they may be under a name.

    An array of scalars is one row, but under the name it is a row each.
    """
    inside = f"coalesce({document}->{literal(name)}, {document})"
    found = (
        f"CASE WHEN json_type({inside}) <> 'ARRAY' THEN [{inside}] "
        f"WHEN json_type({document}) = 'OBJECT' OR json_array_length({inside}) = 0 "
        f"OR json_type({inside}->0) IN ('ARRAY', 'OBJECT') THEN {inside}->'$[*]' "
        f"ELSE [{inside}] END"
    )
    # The usual one, in one look.
    under = f"nullif({document}->'$.{name}[*]', []::JSON[])"
    usual = f"starts_with({document}, '{{\"{name}\":')"
    return f"CASE WHEN {usual} THEN coalesce({under}, {found}) ELSE {found} END"


def rows_of(payload: str, names: Sequence[str]) -> str:
    """Return the rows of an unusual payload: JSON columns, or CSV with quotes or a header.

    Raises ValueError or csv.Error for what is neither.
    """
    if payload.lstrip()[:1] in ("{", "["):
        content = json.loads(payload)
        return json.dumps(_transposed(content)) if _has_columns(content) else payload
    return json.dumps(csv_rows(payload, names))


def csv_rows(payload: str, names: Sequence[str]) -> list[Any]:
    """Return the rows of CSV: objects if it has a header, else arrays.

    As in the tabular image, a first line of which half or more are column names is a header. Raises
    csv.Error or ValueError for what is no CSV.
    """
    lines = [line for line in csv.reader(io.StringIO(payload, newline=""), strict=True) if line]
    values = [[cell if cell != "" else None for cell in line] for line in lines]
    if lines and names and 2 * sum(cell in names for cell in lines[0]) >= len(lines[0]):
        return [dict(zip(lines[0], row, strict=True)) for row in values[1:]]
    return values


def rows_in(payload: str, name: str) -> list[Any]:
    """Return the rows of JSON or JSON lines, as `document` and `rows` do. Raises ValueError."""
    try:
        content = json.loads(payload)
    except ValueError:
        content = [json.loads(line) for line in payload.splitlines() if line.strip()]
    if _has_columns(content):
        return _transposed(content)
    is_object = isinstance(content, dict)
    inside = content.get(name, content) if is_object else content
    if not isinstance(inside, list):
        return [inside]
    return inside if is_object or not inside or isinstance(inside[0], list | dict) else [inside]


def _has_columns(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("columns"), dict)


def _transposed(content: dict[str, Any]) -> list[Any]:
    columns = content["columns"]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
