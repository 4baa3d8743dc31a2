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
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW captured AS SELECT captureData AS c FROM read_json({files}, "
        f"format = 'newline_delimited', columns = {{captureData: 'STRUCT(endpointInput {_SIDE}, "
        f"endpointOutput {_SIDE})'}})"
    )
    found = []
    for side, names in (("input", columns.inputs), ("output", columns.outputs)):
        for file_format, rows in _rows(side).items():
            path = folder / f"{side}.{file_format}"
            connection.execute(f"COPY ({rows}) TO {literal(str(path))} {_RAW}")
            if path.stat().st_size:
                found.append(Payloads(path, side, file_format, names))  # type: ignore[arg-type]  # literals
    return found


def _rows(side: str) -> dict[str, str]:
    """Return the SQL of a side's lines of CSV and of its lines of JSON objects."""
    captured = f"c.endpoint{side.capitalize()}"
    texts = (
        f"SELECT CASE {captured}.encoding WHEN 'BASE64' THEN decode(from_base64({captured}.data)) "
        f"ELSE {captured}.data END AS payload FROM captured"
    )
    # A payload that is no JSON document is JSON lines or CSV: each line stands for itself.
    lines = (
        "SELECT CASE WHEN json_valid(trim(line)) THEN trim(line)::JSON END AS document, "
        "rtrim(line, chr(13)) AS line FROM (SELECT unnest(CASE WHEN json_valid(payload) "
        f"THEN [payload] ELSE string_split(payload, chr(10)) END) AS line FROM ({texts}))"
    )
    inside = "coalesce(document->'instances', document->'predictions', document)"
    items = (
        f"SELECT line, CASE WHEN document IS NULL THEN [] WHEN json_type({inside}) = 'ARRAY' AND "
        f"(json_type({inside}->0) IN ('ARRAY', 'OBJECT') OR json_type(document) = 'OBJECT') "
        f"THEN from_json({inside}, '[\"JSON\"]') ELSE [{inside}] END AS items FROM ({lines})"
    )
    each = f"SELECT unnest(items) AS item FROM ({items})"
    csv = (
        "SELECT array_to_string(list_transform(CASE json_type(item) WHEN 'ARRAY' "
        "THEN from_json(item, '[\"VARCHAR\"]') ELSE [item->>'$'] END, "
        "lambda field: coalesce('\"' || replace(field, '\"', '\"\"') || '\"', '')), ',') AS row "
        f"FROM ({each}) WHERE json_type(item) <> 'OBJECT' "
        f"UNION ALL SELECT line FROM ({items}) WHERE len(items) = 0 AND trim(line) <> ''"
    )
    objects = f"SELECT item::VARCHAR AS row FROM ({each}) WHERE json_type(item) = 'OBJECT'"
    return {"csv": csv, "jsonl": objects}
