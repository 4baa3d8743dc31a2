"""Captured traffic as one table of predictions, and its profile: a row for each row asked about.

Record: "Capture data from real-time endpoint" (SageMaker developer guide). Inputs are JSON
(`{"instances": [...]}`, `{"columns": {...}}`, a list, one object), JSON lines or CSV with or
without a header; answers are JSON (`{"predictions": [...]}` too), JSON lines or CSV. A record that
cannot be read is counted with its reason.
"""

# Names of files and columns cannot be bound as parameters; `identifier` and `literal` quote them.
# ruff: noqa: S608

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from headrace_profiling import payloads
from headrace_profiling.engine import identifier, literal
from headrace_profiling.measure import TEXT_OF_BOOLEANS, TEXT_OF_NUMBERS, TEXT_OF_TIMES, measure
from headrace_profiling.pieces import LONGEST, in_pieces
from headrace_profiling.profiles import Profile

Span = tuple[datetime, datetime | None]
"""From a time until before another; None: until now."""

_ROW_GROUP_BYTES = 8 << 20  # of records, which are JSON still
_MOST_COLUMNS = 1000
_SIDE = "STRUCT(data VARCHAR, encoding VARCHAR)"
_COLUMNS = (
    f"{{captureData: 'STRUCT(endpointInput {_SIDE}, endpointOutput {_SIDE})', "
    "eventMetadata: 'STRUCT(eventId VARCHAR, inferenceTime VARCHAR, inferenceId VARCHAR)', "
    "firstRow: 'BIGINT', problem: 'VARCHAR'}"
)
_READ_AS = {
    "string": "string",
    "boolean": TEXT_OF_BOOLEANS,
    "date": TEXT_OF_TIMES,
    "timestamp": TEXT_OF_TIMES,
}


@dataclass(frozen=True)
class Wanted:
    """What to take of captured traffic, and how to name it.

    `inputs` are the input columns with the types they are known by, in the order of payloads
    without names; columns they lack are found. `within` are the times that count, `left_out` those
    whose rows are only counted; other records are skipped, and so are those whose inference id
    starts with one of `own`. Columns `aside` are in the table but not in profiles. `column` gives
    the name an input has in the table.
    """

    inputs: Mapping[str, str]
    within: Sequence[Span]
    left_out: Sequence[Span] = ()
    own: Sequence[str] = ()
    aside: Collection[str] = ()
    label: str = "null"
    column: Callable[[str], str] = str


@dataclass(frozen=True)
class Served:
    """What was found: rows in the table, rows that were only counted, records by what is wrong.

    `names` are the inputs in the table, each with its column's name.
    """

    table: Path
    rows: int
    left_out: int
    unreadable: Mapping[str, int]
    names: Mapping[str, str]


def read_served(
    connection: duckdb.DuckDBPyConnection,
    files: Mapping[Path, datetime],
    target: Path,
    wanted: Wanted,
) -> Served:
    """Write `target`, a parquet of id, row, at, score, label and the inputs, from captured files.

    `files` are JSON lines with the time of each, for records that do not tell theirs. `row` is the
    position in the request, `at` the time in UTC, `score` a double; label and inputs are texts, as
    they were sent. Files of large records are cut, in place, so that they take no more memory.

    Raises duckdb.Error when a file cannot be read, or the engine's memory does not suffice.
    """
    payloads.register(connection)
    # An order nobody needs would cost memory.
    connection.execute("SET preserve_insertion_order = false")
    once = target.with_suffix(".records")
    pieces = {
        piece: time for path, time in files.items() for piece in in_pieces(path, [*wanted.inputs])
    }
    connection.execute(
        f"COPY ({_records(pieces, wanted)}) TO {literal(str(once))} "
        f"(FORMAT parquet, ROW_GROUP_SIZE_BYTES {_ROW_GROUP_BYTES})"
    )
    records = f"read_parquet({literal(str(once))})"
    try:
        good = f"FROM {records} WHERE problem IS NULL"
        ((rows, left_out),) = connection.execute(
            f"SELECT {_sum('kept')}, {_sum('NOT kept')} {good}"
        ).fetchall()
        unreadable = connection.execute(
            f"SELECT problem, count(*) FROM {records} WHERE problem IS NOT NULL GROUP BY ALL"
        ).fetchall()
        items = f"(SELECT unnest(ins) AS item {good} AND kept)"
        names, paths = _named(connection, items, wanted)
        connection.execute(
            f"COPY ({_rows(f'{good} AND kept', names, paths)}) TO {literal(str(target))} "
            "(FORMAT parquet, COMPRESSION zstd)"
        )
    finally:
        once.unlink(missing_ok=True)
    return Served(target, rows, left_out, dict(unreadable), names)


def profile_served(
    connection: duckdb.DuckDBPyConnection,
    served: Served,
    wanted: Wanted,
    where: tuple[str, str] | None = None,
) -> tuple[Profile, Profile]:
    """Return the profiles of the inputs, by their own names, and of score and label.

    `where` is an input and a value as text: of the rows that have it alone.
    """
    chosen = f"SELECT * FROM read_parquet({literal(str(served.table))})"
    known = wanted.inputs
    if where:
        name, value = where
        chosen += f" WHERE {_equals(served.names.get(name), known.get(name, ''), value)}"
    profiled = {n: column for n, column in served.names.items() if n not in wanted.aside}
    selected = [
        f"{_value(column, known.get(name, ''))} AS {identifier(name)}"
        for name, column in profiled.items()
    ]
    for view, columns in (("inputs", selected or ["NULL AS nothing"]), ("answers", ["*"])):
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {view} AS SELECT {', '.join(columns)} FROM ({chosen})"
        )
    read_as = {n: _READ_AS.get(known.get(n, ""), TEXT_OF_NUMBERS) for n in profiled}
    label = _READ_AS.get(wanted.label, TEXT_OF_NUMBERS)
    return (
        measure(connection, "inputs", read_as),
        measure(connection, "answers", {"score": "number", "label": label}),
    )


def _records(files: Mapping[Path, datetime], wanted: Wanted) -> str:
    """Return the SQL of all records: id, moment, kept, problem, ins and outs (lists).

    What does not count has nulls. Nothing is filtered or joined here: DuckDB would put what is left
    of many batches into one, and JSON of a large batch takes too much memory.
    """
    paths = "[" + ", ".join(literal(str(path)) for path in files) + "]"
    times = " ".join(f"WHEN {literal(str(path))} THEN {_time(at)}" for path, at in files.items())
    own = [f"coalesce(starts_with(m.inferenceId, {literal(start)}), false)" for start in wanted.own]
    captured = (
        "SELECT captureData AS c, eventMetadata AS m, problem AS found, "
        "coalesce(firstRow, 0) AS first_row, "
        "TRY_CAST(eventMetadata.inferenceTime AS TIMESTAMP) AS told, "
        f"coalesce(told, CASE filename {times} END) AS moment "
        f"FROM read_json({paths}, format = 'newline_delimited', ignore_errors = true, "
        f"filename = true, maximum_object_size = {2 * LONGEST}, columns = {_COLUMNS})"
    )
    placed = (
        f"SELECT *, NOT ({' OR '.join(own) or 'false'}) AND "
        f"{_inside('moment', [*wanted.within, *wanted.left_out])} AS counts, "
        f"CASE WHEN counts THEN {_inside('moment', wanted.within)} END AS kept, "
        "CASE WHEN counts THEN c.endpointInput END AS request, "
        f"CASE WHEN counts THEN c.endpointOutput END AS answer FROM ({captured})"
    )
    texts = (
        f"SELECT *, {payloads.text('request')} AS asked, {payloads.text('answer')} AS told_back "
        f"FROM ({placed})"
    )
    asked = payloads.document("asked", "request.encoding", list(wanted.inputs))
    read = (
        f"SELECT *, {asked} AS input, "
        f"{payloads.document('told_back', 'answer.encoding', ())} AS output FROM ({texts})"
    )
    # A header may come before answers in CSV.
    listed = (
        f"SELECT *, {payloads.rows('input', 'instances')} AS ins, "
        f"{payloads.rows('output', 'predictions')} AS raw, CASE WHEN len(raw) = len(ins) + 1 "
        "AND json_type(raw[1]) = 'ARRAY' AND TRY_CAST(raw[1]->>'/0' AS DOUBLE) IS NULL "
        "THEN raw[2:] ELSE raw END AS outs "
        f"FROM ({read})"
    )
    return (
        f"SELECT coalesce(m.inferenceId, m.eventId) AS id, moment, kept, {_PROBLEM} AS problem, "
        f"first_row, ins, outs FROM ({listed})"
    )


_PROBLEM = """CASE
    WHEN NOT counts THEN NULL
    WHEN found IS NOT NULL THEN found
    WHEN c IS NULL OR m IS NULL OR coalesce(m.inferenceId, m.eventId) IS NULL
        THEN 'it is no captured record'
    WHEN told IS NULL THEN 'it tells no time'
    WHEN request.data IS NULL THEN 'its request was not captured'
    WHEN answer.data IS NULL THEN 'its answer was not captured'
    WHEN asked IS NULL THEN 'its request is binary'
    WHEN told_back IS NULL THEN 'its answer is binary'
    WHEN input IS NULL THEN 'its request is neither JSON, JSON lines nor CSV'
    WHEN output IS NULL THEN 'its answer is neither JSON, JSON lines nor CSV'
    WHEN len(ins) = 0 THEN 'its request has no rows'
    WHEN len(ins) <> len(outs) THEN 'its answer has another number of rows than its request'
END"""


def _named(
    connection: duckdb.DuckDBPyConnection, items: str, wanted: Wanted
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the table's column of each input, and where it is in an object and in an array.

    First those that are known, then others that objects have, then nameless ones of arrays.
    """
    kinds = connection.execute(
        "SELECT DISTINCT CASE json_type(item) WHEN 'OBJECT' THEN json_keys(item) END AS keys, "
        "CASE json_type(item) WHEN 'OBJECT' THEN 0 WHEN 'ARRAY' THEN json_array_length(item) "
        f"ELSE 1 END AS cells FROM {items}"
    ).fetchall()
    found = sorted({name for keys, _ in kinds for name in keys or ()})
    longest = max((cells for _, cells in kinds), default=0)
    known = list(wanted.inputs)
    nameless = [f"input.{n}" for n in range(len(known), longest)]
    names: dict[str, str] = {}
    paths = []
    taken = set()
    for place, name in enumerate([*known, *nameless, *found]):
        # DuckDB's names know no case, and have no NUL.
        column = wanted.column(name)
        if not name or "\0" in name or column.casefold() in taken or len(names) == _MOST_COLUMNS:
            continue
        taken.add(column.casefold())
        names[name] = column
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        paths.append((pointer, f"/{place}"))
    return names, paths


def _rows(good: str, names: Mapping[str, str], paths: Sequence[tuple[str, str]]) -> str:
    """Return the SQL of the table."""
    by_name, by_place = (
        "[" + ", ".join(literal(path[n]) for path in paths) + "]::VARCHAR[]" for n in (0, 1)
    )
    cells = ", ".join(
        f"cells[{place}] AS {identifier(column)}"
        for place, column in enumerate(names.values(), start=1)
    )
    return (
        'SELECT id, row::INTEGER AS row, moment AS "at", TRY_CAST(answer[1] AS DOUBLE) AS score, '
        f"answer[2] AS label{', ' if cells else ''}{cells} FROM ("
        "SELECT id, moment, row, CASE json_type(item) "
        f"WHEN 'OBJECT' THEN json_extract_string(item, {by_name}) "
        f"WHEN 'ARRAY' THEN json_extract_string(item, {by_place}) "
        f"ELSE json_extract_string('[' || item || ']', {by_place}) END AS cells, "
        "CASE json_type(out) WHEN 'OBJECT' THEN json_extract_string(out, ['/score', '/label']) "
        "WHEN 'ARRAY' THEN json_extract_string(out, ['/0', '/1']) "
        "ELSE [out->>'$', NULL] END AS answer FROM ("
        "SELECT id, moment, unnest(ins) AS item, unnest(outs) AS out, "
        f"first_row + generate_subscripts(ins, 1) - 1 AS row {good}))"
    )


def _sum(condition: str) -> str:
    return f"coalesce(sum(len(ins)) FILTER ({condition}), 0)::BIGINT"


def _inside(time: str, spans: Sequence[Span]) -> str:
    parts = [
        f"({time} >= {_time(start)}" + (f" AND {time} < {_time(end)})" if end else ")")
        for start, end in spans
    ]
    return f"({' OR '.join(parts) or 'false'})"


def _time(at: datetime) -> str:
    return f"TIMESTAMP '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"


def _value(column: str, type_: str) -> str:
    """Return the SQL of a value to be measured; a boolean as it is in typed tables."""
    text = identifier(column)
    if type_ != "boolean":
        return text
    return (
        f"CASE WHEN lower({text}) IN ('true', '1', '1.0', 'yes') THEN 'true' "
        f"WHEN lower({text}) IN ('false', '0', '0.0', 'no') THEN 'false' ELSE {text} END"
    )


def _equals(column: str | None, type_: str, value: str) -> str:
    if column is None:
        return "false"
    text, wanted = _value(column, type_), literal(value)
    if type_ in {"integer", "number"}:
        return f"TRY_CAST({text} AS DOUBLE) = TRY_CAST({wanted} AS DOUBLE)"
    if type_ in {"date", "timestamp"}:
        return f"TRY_CAST({text} AS TIMESTAMP) = TRY_CAST({wanted} AS TIMESTAMP)"
    return f"{text} = {wanted}"
