"""Datasets as columns: captured requests, CSV, JSON lines and parquet."""

from __future__ import annotations

import csv
import importlib.util
import inspect
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from headrace_monitor.contract import Contract, MonitorError, place

Row = dict[Any, Any]  # columns without names are numbers
logger = logging.getLogger(__name__)


def read(contract: Contract, names: list[str]) -> tuple[list[str], list[Row]]:
    """Return a dataset's column names and rows.

    Columns that have no name, as in a captured CSV, take those of the baseline by position.
    """
    form, options = contract.form
    files = data_files(contract)
    handler = _handler(contract.text("record_preprocessor_script"))
    if form in ("sagemakerCaptureJson", "sagemakerMergeJson"):
        indices = options.get("captureIndexNames", ["endpointInput", "endpointOutput"])
        rows = list(_captured(files, contract, indices, handler))
    elif form == "csv":
        rows = list(_csv(files, bool(options.get("header")), handler))
    elif form == "json":
        rows = list(_json(files, handler))
    elif form == "parquet":
        rows = list(_parquet(files))
    else:
        raise MonitorError(f'The dataset_format "{form}" is not known')
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if columns and all(isinstance(column, int) for column in columns):
        given = dict(enumerate(names))
        rows = [{given.get(i, f"_c{i}"): value for i, value in row.items()} for row in rows]
        columns = list(dict.fromkeys(name for row in rows for name in row))
    return columns, rows


def data_files(contract: Contract) -> list[Path]:
    """Return the files of the dataset. Raises MonitorError if there are none."""
    source = place(contract.required("dataset_source"))
    files = [source] if source.is_file() else sorted(f for f in source.rglob("*") if f.is_file())
    if not files:
        raise MonitorError(f"There are no files at {source}")
    return files


def captured_lines(files: list[Path], contract: Contract) -> Iterator[dict[str, Any]]:
    """Yield captured records of the window; folders may hold more than the window."""
    begins, ends = contract.text("start_time"), contract.text("end_time", "9")
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                when = record["eventMetadata"].get("inferenceTime", begins)
            except (ValueError, KeyError, TypeError) as error:
                raise MonitorError(f"{file.name}:{number} is not a captured record") from error
            if begins <= when < ends:
                yield record


def table(side: dict[str, Any]) -> list[Row]:
    """Return the rows of one side of a captured record; columns without names are numbers."""
    data, encoding = side.get("data", ""), side.get("encoding", "")
    if encoding == "CSV":
        return [dict(enumerate(row)) for row in csv.reader(io.StringIO(data)) if row]
    if encoding == "JSON":
        try:
            return _flat_rows(json.loads(data))
        except ValueError as error:
            raise MonitorError("A captured record's data are not JSON") from error
    raise MonitorError(
        f"Captured data of encoding {encoding or 'none'} cannot be read: name the content type in "
        "CaptureContentTypeHeader of the endpoint's data capture, or map an image of your own."
    )


def _captured(
    files: list[Path], contract: Contract, indices: list[str], handler: Callable[[Any], Any] | None
) -> Iterator[Row]:
    for record in captured_lines(files, contract):
        if handler:
            yield from _handled(handler(_as_object(record)))
            continue
        sides = record.get("captureData", {})
        # Outputs come first, as a label does in training data ("output_columns_position": "START").
        wanted = [name for name in ("endpointOutput", "endpointInput") if name in indices]
        tables = [table(sides[name]) for name in wanted if name in sides]
        for parts in zip(*tables, strict=False):
            yield _beside(list(parts))


def _beside(parts: list[Row]) -> Row:
    """Put rows side by side; numbered columns are numbered on."""
    row: Row = {}
    numbered = all(isinstance(name, int) for part in parts for name in part)
    for part in parts:
        row.update({len(row) + i: v for i, v in enumerate(part.values())} if numbered else part)
    if not numbered:
        return {name if isinstance(name, str) else f"_c{name}": v for name, v in row.items()}
    return row


def _csv(files: list[Path], header: bool, handler: Callable[[Any], Any] | None) -> Iterator[Row]:
    for file in files:
        with file.open(newline="") as text:
            if handler:
                for line in text.readlines()[1 if header else 0 :]:
                    yield from _handled(handler(line))
                continue
            lines = csv.reader(text)
            names = next(lines, []) if header else None
            for cells in filter(None, lines):
                yield dict(zip(names or range(len(cells)), cells, strict=False))


def _json(files: list[Path], handler: Callable[[Any], Any] | None) -> Iterator[Row]:
    for file in files:
        for line in file.read_text().splitlines():
            if line.strip():
                document = json.loads(line)
                yield from _handled(handler(document)) if handler else _flat_rows(document)


def _parquet(files: list[Path]) -> Iterator[Row]:
    import duckdb

    result = duckdb.read_parquet([str(file) for file in files])
    for row in result.fetchall():
        yield dict(zip(result.columns, row, strict=True))


def _flat_rows(document: Any) -> list[Row]:
    if isinstance(document, list) and document and isinstance(document[0], list | dict):
        return [row for each in document for row in _flat_rows(each)]
    if isinstance(document, list):
        return [dict(enumerate(document))]
    return [_flat(document)] if isinstance(document, dict) else [{0: document}]


def _flat(document: dict[str, Any], prefix: str = "") -> Row:
    flat: Row = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            flat |= {f"{prefix}{name}.{number}": item for number, item in enumerate(value)}
        else:
            flat[prefix + name] = value
    return flat


def _handler(script: str) -> Callable[[Any], Any] | None:
    """Return `preprocess_handler` of a user's script ("Preprocessing and Postprocessing")."""
    if not script:
        return None
    handler: Callable[..., Any] = load(script, "preprocess_handler")
    if "logger" in inspect.signature(handler).parameters:
        return lambda record: handler(record, logger)
    return handler


def load(script: str, name: str) -> Any:
    """Return a function of a user's script. Raises MonitorError."""
    spec = importlib.util.spec_from_file_location(Path(script).stem, place(script))
    if spec is None or spec.loader is None:
        raise MonitorError(f"{script} is not a Python script")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise MonitorError(f"{Path(script).name} has no function {name}")
    return getattr(module, name)


def _handled(answer: Any) -> list[Row]:
    """Return what a handler made of a record: rows, one row, or none of it."""
    rows = answer if isinstance(answer, list) else [answer]
    return [row for row in rows if row]


def _as_object(record: dict[str, Any]) -> SimpleNamespace:
    """Return a captured record as handlers know it: `record.endpoint_input.data` and so on."""
    sides = record.get("captureData", {})
    metadata = record.get("eventMetadata", {})
    return SimpleNamespace(
        endpoint_input=SimpleNamespace(**_snake(sides.get("endpointInput", {}))),
        endpoint_output=SimpleNamespace(**_snake(sides.get("endpointOutput", {}))),
        event_metadata=SimpleNamespace(**_snake(metadata)),
        event_version=record.get("eventVersion", "0"),
    )


def _snake(members: dict[str, Any]) -> dict[str, Any]:
    return {
        "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name): value
        for name, value in members.items()
    }
