"""Request bodies to columns, predictions to response bodies."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.columns import Columns, Kind, read_parquet
from headrace_tabular.errors import DataError, RequestError
from headrace_tabular.model import Input

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
PARQUET = "application/x-parquet"
MAX_ROWS = 1_000_000
TRUE, FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")


@dataclass(frozen=True)
class Expected:
    """The columns a request must have, and those it may have, which are ignored."""

    inputs: Sequence[Input]
    ignored: Sequence[str]

    @property
    def names(self) -> list[str]:
        """The names of the columns a request must have, in the model's order."""
        return [item.name for item in self.inputs]

    def check(self, given: Sequence[str]) -> None:
        """Raise RequestError unless exactly the columns that are needed are given."""
        missing = [name for name in self.names if name not in given]
        unknown = [name for name in given if name not in self.names and name not in self.ignored]
        if missing or unknown:
            said = [f"missing columns {missing}"] if missing else []
            said += [f"unknown columns {unknown}"] if unknown else []
            raise RequestError(f"{' and '.join(said)}: send {self.names}; null is allowed")


def parse(body: bytes, content_type: str, expected: Expected) -> Columns:
    """Return the columns of a request's body; raise RequestError saying what, where and why."""
    media, parameters = split_type(content_type or JSON)
    readers: dict[str, Callable[[], Columns]] = {
        JSON: lambda: from_json(load_json(body, "the body"), expected),
        LINES: lambda: from_lines(body, expected),
        "application/jsonl": lambda: from_lines(body, expected),
        "application/x-jsonlines": lambda: from_lines(body, expected),
        CSV: lambda: from_csv(body, parameters.get("header"), expected),
        PARQUET: lambda: from_parquet(body, expected),
    }
    if media not in readers:
        raise RequestError(
            f"content type '{media}' is not understood: send {', '.join(readers)}", status=415
        )
    if not body.strip():
        raise RequestError("the body is empty: send at least one row")
    columns = readers[media]()
    rows = len(next(iter(columns.values())))
    if rows == 0:
        raise RequestError("there are no rows: send at least one")
    if rows > MAX_ROWS:
        raise RequestError(f"{rows:,} rows are more than {MAX_ROWS:,}: send fewer", status=413)
    return columns


def split_type(content_type: str) -> tuple[str, dict[str, str]]:
    """Split `text/csv; header=present` into the media type and its parameters."""
    media, *rest = content_type.lower().split(";")
    pairs = [item.partition("=") for item in rest]
    return media.strip(), {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def load_json(text: bytes, where: str) -> Any:
    """Parse JSON strictly: NaN and Infinity are not JSON."""

    def refuse(token: str) -> NoReturn:
        raise RequestError(f"{where} has {token}, which is not JSON: send null")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{where} is not JSON: {error}") from error


def from_json(document: Any, expected: Expected) -> Columns:
    """Read {"instances": [{…}]}, {"columns": {…}}, a list of objects, or one object."""
    if isinstance(document, dict) and "columns" in document:
        return from_columns(document["columns"], expected)
    if isinstance(document, dict):
        document = document.get("instances", [document])
    if not isinstance(document, list):
        raise RequestError('send {"instances": [{…}, …]}, {"columns": {…}} or a list of objects')
    return from_objects(document, expected)


def from_objects(objects: Sequence[Any], expected: Expected) -> Columns:
    """Read rows that are objects; a row's name in messages is its position, from 1."""
    names = expected.names
    wanted = set(names)
    for row, item in enumerate(objects, start=1):
        if not isinstance(item, dict):
            raise RequestError(f"row {row} is not an object of column: value pairs")
        if item.keys() != wanted:
            try:
                expected.check(list(item))
            except RequestError as error:
                raise RequestError(f"row {row}: {error}") from error
    return {item.name: typed([row[item.name] for row in objects], item) for item in expected.inputs}


def from_columns(columns: Any, expected: Expected) -> Columns:
    """Read an object of lists, one list for each column."""
    if not isinstance(columns, dict) or not all(isinstance(v, list) for v in columns.values()):
        raise RequestError('"columns" must be an object of lists: {"name": [value, …], …}')
    expected.check(list(columns))
    lengths = {name: len(columns[name]) for name in expected.names}
    if len(set(lengths.values())) > 1:
        raise RequestError(f"the columns have different numbers of values: {lengths}")
    return {item.name: typed(columns[item.name], item) for item in expected.inputs}


def from_lines(body: bytes, expected: Expected) -> Columns:
    """Read JSON lines: one object a line."""
    lines = [line for line in body.splitlines() if line.strip()]
    return from_objects(
        [load_json(line, f"line {number}") for number, line in enumerate(lines, start=1)], expected
    )


def from_csv(body: bytes, header: str | None, expected: Expected) -> Columns:
    """Read CSV; without a header the columns are the model's, in the model's order.

    A first line of which half or more are column names is a header, unless the content type says
    `header=present` or `header=absent`.
    An empty cell is null.
    """
    try:
        text = body.decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"the body is not CSV in UTF-8: {error}") from error
    if not lines:
        raise RequestError("the body is empty: send at least one row")
    known = {*expected.names, *expected.ignored}
    names = expected.names
    looks_named = 2 * sum(cell in known for cell in lines[0]) >= len(lines[0])
    named = header == "present" or (header != "absent" and looks_named)
    if named:
        names = lines.pop(0)
        if len(set(names)) < len(names):
            raise RequestError(f"the header names a column twice: {names}")
        expected.check(names)
    for row, line in enumerate(lines, start=1):
        if len(line) != len(names):
            raise RequestError(
                f"row {row} has {len(line)} values for {len(names)} columns: {names}"
            )
    place = {name: position for position, name in enumerate(names)}
    return {
        item.name: typed([read_cell(line[place[item.name]], item.kind) for line in lines], item)
        for item in expected.inputs
    }


def read_cell(cell: str, kind: Kind) -> Any:
    """Return what a cell of CSV means; one that means nothing stays text and is refused later."""
    if cell == "":
        return None
    if kind == "number":
        try:
            number = float(cell)
        except ValueError:
            return cell
        return cell if math.isnan(number) else number
    if kind == "boolean":
        lower = cell.strip().lower()
        return True if lower in TRUE else False if lower in FALSE else cell
    return cell


def from_parquet(body: bytes, expected: Expected) -> Columns:
    """Read a parquet file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "request.parquet")
        path.write_bytes(body)
        try:
            table = read_parquet([path], ignore=expected.ignored, max_rows=MAX_ROWS)
        except DataError as error:
            raise RequestError(str(error).replace(folder, "")) from error
    expected.check(list(table.columns))
    for item in expected.inputs:
        found = table.kinds[item.name]
        if found != item.kind and {found, item.kind} != {"number", "boolean"}:
            kind = table.types[item.name]
            raise RequestError(f"column '{item.name}' is {kind}: the model needs {item.kind}")
    return {item.name: table.columns[item.name] for item in expected.inputs}


def typed(values: Sequence[Any], item: Input) -> NDArray[Any]:
    """Return values of JSON in the normal form of the column's kind, or raise RequestError."""
    if item.kind == "text":
        allowed: tuple[type, ...] = (str,)
    elif item.kind == "number":
        allowed = (int, float)
    elif item.kind == "boolean":
        allowed = (bool, int, float)
    else:
        return times(values, item)
    if not set(map(type, values)) <= {*allowed, type(None)}:
        row = next(i for i, v in enumerate(values) if v is not None and type(v) not in allowed)
        raise wrong(values[row], row + 1, item)
    if item.kind == "text":
        column: NDArray[Any] = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError as error:
        raise RequestError(f"column '{item.name}' has a number too large for a double") from error
    bad = np.isinf(numbers)
    if item.kind == "boolean":
        bad |= ~(np.isnan(numbers) | (numbers == 0) | (numbers == 1))
    if bad.any():
        row = int(np.argmax(bad))
        raise wrong(values[row], row + 1, item)
    return numbers


def times(values: Sequence[Any], item: Input) -> NDArray[Any]:
    """Return ISO 8601 texts as times in UTC."""
    column = np.empty(len(values), dtype="datetime64[us]")
    for row, value in enumerate(values):
        if value is None:
            column[row] = np.datetime64("NaT")
            continue
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
        except (TypeError, ValueError, OverflowError) as error:
            raise wrong(value, row + 1, item) from error
        column[row] = np.datetime64(moment, "us")
    return column


def wrong(value: Any, row: int, item: Input) -> RequestError:
    """Return the error for a value of another kind than its column."""
    wanted = {
        "number": "a finite number",
        "boolean": "true or false",
        "text": "text",
        "time": "a time in ISO 8601, such as 2026-01-31T12:00:00Z",
    }[item.kind]
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}…"
    return RequestError(f"row {row}, column '{item.name}': {shown} is not {wanted}, nor null")


def choose_accept(accept: str) -> tuple[str, dict[str, str]]:
    """Return the first media type of an Accept header that can be answered with."""
    for choice in (accept or JSON).split(","):
        media, parameters = split_type(choice)
        if media in (JSON, LINES, CSV):
            return media, parameters
        if media in ("*/*", "application/*"):
            return JSON, parameters
        if media == "text/*":
            return CSV, parameters
    raise RequestError(f"cannot answer with '{accept}': accept {JSON}, {LINES} or {CSV}", 406)


def render(
    predictions: Sequence[Mapping[str, Any]], accept: str, model: Mapping[str, Any]
) -> tuple[bytes, str]:
    """Return the response's body and content type; one line for each row in CSV and JSON lines.

    CSV has no header (a batch transform joins its lines with the input's) unless the accept type
    is `text/csv; header=present`; its columns are score and label, without all classes' scores.
    """
    media, parameters = choose_accept(accept)
    if media == JSON:
        return compact({"predictions": predictions, "model": model}), JSON
    if media == LINES:
        return b"".join(compact(one) + b"\n" for one in predictions), LINES
    if "contributions" in predictions[0]:
        raise RequestError(f"CSV has no place for contributions: accept {JSON} or {LINES}", 406)
    names = [name for name in ("score", "label") if name in predictions[0]]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if parameters.get("header") == "present":
        writer.writerow(names)
    writer.writerows([one[name] for name in names] for one in predictions)
    return out.getvalue().encode(), CSV


def compact(document: Any) -> bytes:
    """Return JSON without spaces and without NaN."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
