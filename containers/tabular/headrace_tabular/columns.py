"""Columns of values, the one shape data has between a file, the user's code and a model.

A column is a one-dimensional numpy array, and its kind decides its form, at training and at
serving alike, so that the same value never has two types:

- `number` and `boolean`: float64; null is NaN, true is 1.0
- `text`: object array of str; null is None
- `time`: datetime64[us] in UTC; null is NaT
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.errors import DataError

Kind = Literal["number", "boolean", "text", "time"]
Columns = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
NUMBERS = {*INTEGERS, *(f"U{name}" for name in INTEGERS), "FLOAT", "DOUBLE", "DECIMAL"}


@dataclass(frozen=True)
class Table:
    """Rows of one or more parquet files.

    `columns` and `kinds` have the same keys, in the files' order; `types` are DuckDB's names.
    `source` says which of the files (their position) a row came from.
    """

    columns: Columns
    kinds: dict[str, Kind]
    types: dict[str, str]
    source: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.source)


def kind_of_type(duckdb_type: str) -> Kind | None:
    """Return the kind of a DuckDB type, or None where a value is not one of the four kinds."""
    name = duckdb_type.partition("(")[0]
    if duckdb_type.endswith("]"):
        return None
    if name in NUMBERS:
        return "number"
    if name == "BOOLEAN":
        return "boolean"
    if name == "DATE" or name.startswith("TIMESTAMP"):
        return "time"
    if name in ("VARCHAR", "ENUM", "UUID"):
        return "text"
    return None


EXPRESSIONS: dict[Kind, str] = {
    "number": "{0}::double",
    "boolean": "{0}::integer::double",
    "text": "{0}::varchar",
    "time": "epoch_us({0})",
}


def read_parquet(
    files: Sequence[Path], ignore: Sequence[str] = (), max_rows: int | None = None
) -> Table:
    """Read parquet files whose columns are matched by name; `ignore` names columns to leave.

    A column that some files lack is null there. Raises DataError when a file cannot be read, the
    files disagree on a column's type, a column holds what no model here can learn from, or there
    are more than `max_rows` (a small file can hold very many equal rows).
    """
    import duckdb  # a server that is sent JSON never needs it

    names = [str(file) for file in files]
    source = "read_parquet($files, union_by_name = true, filename = '__headrace_file')"
    try:
        with duckdb.connect() as connection:
            counted = "select sum(num_rows) from parquet_file_metadata($files)"
            (rows,) = connection.execute(counted, {"files": names}).fetchall()[0]
            if max_rows is not None and rows > max_rows:
                raise DataError(f"{rows:,} rows are more than {max_rows:,}: send fewer")
            described = connection.execute(f"describe from {source}", {"files": names})
            types = {name: kind for name, kind, *_ in described.fetchall()}
            del types["__headrace_file"]
            types = {name: kind for name, kind in types.items() if name not in ignore}
            kinds = check_kinds(types)
            chosen = [
                f"{EXPRESSIONS[kind].format(quote(name))} as {quote(name)}"
                for name, kind in kinds.items()
            ]
            chosen.append("list_position($files, __headrace_file) - 1 as __headrace_file")
            query = f"select {', '.join(chosen)} from {source}"  # noqa: S608 — names are quoted
            arrays = connection.execute(query, {"files": names}).fetchnumpy()
    except duckdb.Error as error:
        raise DataError(f"the parquet files cannot be read together: {error}") from error
    position = np.asarray(arrays.pop("__headrace_file"), dtype=np.int64)
    columns = {name: normal(arrays[name], kind) for name, kind in kinds.items()}
    return Table(columns, kinds, types, position)


def check_kinds(types: Mapping[str, str]) -> dict[str, Kind]:
    """Return every column's kind; raise DataError for a column of no kind."""
    kinds: dict[str, Kind] = {}
    for name, duckdb_type in types.items():
        kind = kind_of_type(duckdb_type)
        if kind is None:
            raise DataError(
                f"column '{name}' is a {duckdb_type}, which is neither a number, a boolean, text"
                " nor a time: convert it before the drop, or name it in `data.exclude`"
            )
        kinds[name] = kind
    return kinds


def normal(values: Any, kind: Kind) -> NDArray[Any]:
    """Bring one of DuckDB's or the user's arrays into the form of its kind."""
    missing = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    plain = np.ma.getdata(values) if missing is not None else np.asarray(values)
    if kind == "text":
        result: NDArray[Any] = plain.astype(object)
    elif kind == "time":
        result = plain.astype("datetime64[us]")
    else:
        result = plain.astype(np.float64)
    if missing is not None and missing.any():
        result[missing] = {"text": None, "time": np.datetime64("NaT")}.get(kind, np.nan)
    return result


def kind_of_array(values: NDArray[Any]) -> Kind | None:
    """Return the kind of an array that the user's code made."""
    by_letter: dict[str, Kind] = {"b": "boolean", "i": "number", "u": "number", "f": "number"}
    by_letter |= {"U": "text", "O": "text", "M": "time"}
    return by_letter.get(values.dtype.kind)


def take(columns: Columns, rows: NDArray[Any]) -> Columns:
    """Return some rows (a mask or positions) of every column."""
    return {name: values[rows] for name, values in columns.items()}


def is_null(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say where a column in its normal form is null."""
    if values.dtype.kind == "O":
        return np.fromiter((value is None for value in values), dtype=bool, count=len(values))
    return np.asarray(np.isnat(values) if values.dtype.kind == "M" else np.isnan(values))


def texts(values: NDArray[Any]) -> list[str]:
    """Return each value of a column in its normal form as one canonical text; null is empty.

    An integer reads the same whether its file stored it as an integer or, because the column also
    has nulls, as a float.
    """
    null = is_null(values)
    if values.dtype.kind == "O":
        return ["" if value is None else value for value in values]
    if values.dtype.kind == "M":
        plain: list[Any] = values.astype(np.int64).tolist()
    else:
        plain = [int(value) if value.is_integer() else value for value in values.tolist()]
    return ["" if missing else repr(value) for value, missing in zip(plain, null, strict=True)]


def quote(name: str) -> str:
    """Quote a column's name for SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
