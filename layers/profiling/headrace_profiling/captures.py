"""Captured inference records as plain files: one per side and shape, ready to be profiled.

Record: "Capture data from real-time endpoint" (SageMaker developer guide). Payloads are CSV lines,
JSON objects, arrays or scalars, in JSON lines or under `instances` and `predictions`.
"""

# Names of files cannot be bound as parameters; `literal` quotes them.
# ruff: noqa: S608

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from headrace_profiling.engine import literal

_SIDES = ("Input", "Output")
_SIDE = "STRUCT(data VARCHAR, encoding VARCHAR)"
# Lines as they are: nothing in a payload's line is a separator or a quote.
_RAW = "(FORMAT csv, HEADER false, DELIMITER '\x01', QUOTE '\x02', ESCAPE '\x02')"


@dataclass(frozen=True)
class CaptureColumns:
    """Names of the columns of payloads without names (CSV, arrays), by position.

    Those that are missing are called input.0, input.1, ... and output.0, ...
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Payloads:
    """A file with one side's rows; a CSV file has no header, `names` are its columns'."""

    path: Path
    side: Literal["input", "output"]
    file_format: Literal["csv", "jsonl"]
    names: tuple[str, ...]


def payloads(
    connection: duckdb.DuckDBPyConnection,
    paths: list[Path],
    folder: Path,
    columns: CaptureColumns,
) -> list[Payloads]:
    """Write what was captured into `folder`, inputs first. Raises duckdb.Error."""
    files = "[" + ", ".join(literal(str(path)) for path in paths) + "]"
    once = folder / "captured.parquet"
    sides = [f"{_payload(f'captureData.endpoint{side}')} AS {side.lower()}" for side in _SIDES]
    connection.execute(
        f"COPY (SELECT {', '.join(sides)} FROM read_json({files}, format = 'newline_delimited', "
        f"columns = {{captureData: 'STRUCT(endpointInput {_SIDE}, endpointOutput {_SIDE})'}})) "
        f"TO {literal(str(once))} (FORMAT parquet)"
    )
    found = []
    for side, names in (("input", columns.inputs), ("output", columns.outputs)):
        for file_format, rows in _rows(f"SELECT unnest({side}) FROM {literal(str(once))}").items():
            path = folder / f"{side}.{file_format}"
            connection.execute(f"COPY ({rows}) TO {literal(str(path))} {_RAW}")
            if path.stat().st_size:
                found.append(Payloads(path, side, file_format, names))  # type: ignore[arg-type]  # literals
    return found


def _payload(side: str) -> str:
    """Return the SQL of a struct of a side's text, and of whether it is CSV.

    A scalar in JSON is a cell of CSV as well.
    """
    text = (
        f"CASE {side}.encoding WHEN 'BASE64' THEN decode(from_base64({side}.data)) "
        f"ELSE {side}.data END"
    )
    starts = f"left(ltrim({text}), 1)"
    is_csv = f"{side}.encoding = 'CSV' OR {starts} NOT IN ('{{', '[')"
    return f"{{text: {text}, is_csv: {is_csv}}}"


def _rows(captured: str) -> dict[str, str]:
    """Return the SQL of the lines of CSV, and of the lines of JSON objects, in texts."""
    lines = (
        "SELECT rtrim(line, chr(13)) AS row FROM (SELECT unnest(CASE WHEN contains(text, chr(10)) "
        f"THEN string_split(text, chr(10)) ELSE [text] END) AS line FROM ({captured}) "
        "WHERE is_csv) WHERE line <> ''"
    )
    # A text that is no JSON document is JSON lines; lines that are none either are left out.
    documents = (
        "SELECT TRY_CAST(line AS JSON) AS document FROM (SELECT unnest(CASE WHEN json_valid(text) "
        f"THEN [text] ELSE string_split(text, chr(10)) END) AS line FROM ({captured}) "
        "WHERE NOT is_csv) WHERE json_valid(line)"
    )
    inside = "coalesce(document->'instances', document->'predictions', document)"
    # An array of scalars is one row, but under `instances` it is a row each.
    each = (
        f"SELECT unnest(CASE WHEN json_type({inside}) = 'ARRAY' AND "
        f"(json_type({inside}->0) IN ('ARRAY', 'OBJECT') OR json_type(document) = 'OBJECT') "
        f"THEN from_json({inside}, '[\"JSON\"]') ELSE [{inside}] END) AS item FROM ({documents})"
    )
    cells = (
        "SELECT array_to_string(list_transform(CASE json_type(item) WHEN 'ARRAY' "
        "THEN from_json(item, '[\"VARCHAR\"]') ELSE [item->>'$'] END, "
        "lambda field: coalesce('\"' || replace(field, '\"', '\"\"') || '\"', '')), ',') AS row "
        f"FROM ({each}) WHERE json_type(item) <> 'OBJECT'"
    )
    objects = f"SELECT item::VARCHAR AS row FROM ({each}) WHERE json_type(item) = 'OBJECT'"
    return {"csv": f"{lines} UNION ALL {cells}", "jsonl": objects}
