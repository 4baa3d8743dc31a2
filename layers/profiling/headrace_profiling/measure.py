"""Profiles taken from a table or view in DuckDB."""

# Names of columns cannot be bound as parameters; `identifier` and `literal` quote them.
# ruff: noqa: S608

from typing import Any

import duckdb

from headrace_profiling.engine import identifier
from headrace_profiling.profile import (
    BIN_OFFSET,
    BINS_PER_OCTAVE,
    SMALLEST_HASHES,
    TOP_CATEGORIES,
    ColumnProfile,
    Profile,
)


def measure(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str]) -> Profile:
    """Return the profile of a table's columns, given with their logical types."""
    return {name: _column(connection, table, name, type_) for name, type_ in columns.items()}


def _column(
    connection: duckdb.DuckDBPyConnection, table: str, name: str, type_: str
) -> ColumnProfile:
    column, source = identifier(name), identifier(table)
    numeric = type_ in {"integer", "number"}
    value = f"{column}::DOUBLE" if numeric else column
    usable = f"{column} IS NOT NULL" + (f" AND isfinite({value})" if numeric else "")
    rows, nulls, nans, infinities = _row(
        connection,
        f"SELECT count(*), count(*) FILTER ({column} IS NULL), "
        + (
            f"count(*) FILTER (isnan({value})), count(*) FILTER (isinf({value}))"
            if numeric
            else "0, 0"
        )
        + f" FROM {source}",
    )
    minimum = maximum = mean = None
    squares = 0.0
    if numeric:
        minimum, maximum, mean, squares = _row(
            connection,
            f"SELECT min({value}), max({value}), avg({value}), "
            f"coalesce(var_pop({value}) * count(*), 0) FROM {source} WHERE {usable}",
        )
    elif type_ in {"timestamp", "date"}:
        minimum, maximum = _row(
            connection, f"SELECT min({column})::VARCHAR, max({column})::VARCHAR FROM {source}"
        )
    return ColumnProfile(
        type=type_,
        rows=rows,
        nulls=nulls,
        nans=nans,
        infinities=infinities,
        minimum=minimum,
        maximum=maximum,
        mean=mean,
        squares=squares,
        bins=_bins(connection, source, value, usable) if numeric else {},
        categories=_categories(connection, source, column)
        if type_ in {"string", "boolean"}
        else {},
        hashes=_hashes(connection, source, column, usable),
    )


def _bins(
    connection: duckdb.DuckDBPyConnection, source: str, value: str, usable: str
) -> dict[int, int]:
    return dict(
        connection.execute(
            f"SELECT CASE WHEN {value} = 0 THEN 0 ELSE sign({value}) * "
            f"(ceil(log2(abs({value})) * {BINS_PER_OCTAVE})::BIGINT + {BIN_OFFSET}) END::BIGINT, "
            f"count(*) FROM {source} WHERE {usable} GROUP BY ALL"
        ).fetchall()
    )


def _categories(connection: duckdb.DuckDBPyConnection, source: str, column: str) -> dict[str, int]:
    return dict(
        connection.execute(
            f"SELECT {column}::VARCHAR AS value, count(*) AS n FROM {source} "
            f"WHERE {column} IS NOT NULL GROUP BY value ORDER BY n DESC, value "
            f"LIMIT {TOP_CATEGORIES}"
        ).fetchall()
    )


def _hashes(
    connection: duckdb.DuckDBPyConnection, source: str, column: str, usable: str
) -> tuple[int, ...]:
    rows = connection.execute(
        f"SELECT DISTINCT hash({column}) AS h FROM {source} WHERE {usable} "
        f"ORDER BY h LIMIT {SMALLEST_HASHES}"
    ).fetchall()
    return tuple(h for (h,) in rows)


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    if row is None:
        raise AssertionError("an aggregate always gives a row")
    return row
