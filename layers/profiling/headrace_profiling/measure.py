"""Profiles taken from a table or view in DuckDB: all columns in one scan."""

# Names of columns cannot be bound as parameters; `identifier` quotes them.
# ruff: noqa: S608

from collections.abc import Mapping
from typing import Any

import duckdb

from headrace_profiling.engine import identifier
from headrace_profiling.profile import (
    BIN_OFFSET,
    BINS_PER_OCTAVE,
    HASH_SPACE,
    SMALLEST_HASHES,
    TOP_CATEGORIES,
    ColumnProfile,
    Profile,
)

_NUMERIC = {"integer", "number"}
_TEMPORAL = {"timestamp", "date"}
# Beyond these rows only a sample of the hashes is looked at first, so that the distinct ones of a
# column of ids fit into memory: 64 times as many as are kept.
_ALL_HASHES_ROWS = 1_000_000
_SAMPLED_HASHES = 64 * SMALLEST_HASHES


def measure(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str], rows: int
) -> Profile:
    """Return the profile of a table's columns, given with their logical types."""
    if not columns:
        return {}
    share = 1.0 if rows <= _ALL_HASHES_ROWS else _SAMPLED_HASHES / rows
    measured = [_aggregates(name, type_, share) for name, type_ in columns.items()]
    row = connection.execute(f"SELECT {', '.join(measured)} FROM {identifier(table)}").fetchone()
    values = iter(row or ())
    return {
        name: _profile(connection, table, name, type_, next(values), share)
        for name, type_ in columns.items()
    }


def _aggregates(name: str, type_: str, share: float) -> str:
    """Return SQL for a struct of everything one scan can tell of a column."""
    column = identifier(name)
    numeric = type_ in _NUMERIC
    value = f"{column}::DOUBLE" if numeric else column
    usable = _usable(name, type_)
    sampled = f" AND hash({column}) < {int(HASH_SPACE * share)}" if share < 1 else ""
    fields = {
        "rows": "count(*)",
        "nulls": f"count(*) FILTER ({column} IS NULL)",
        "hashes": f"min(DISTINCT hash({column}), {SMALLEST_HASHES}) FILTER ({usable}{sampled})",
    }
    if numeric:
        fields |= {
            "nans": f"count(*) FILTER (isnan({value}))",
            "infinities": f"count(*) FILTER (isinf({value}))",
            "minimum": f"min({value}) FILTER ({usable})",
            "maximum": f"max({value}) FILTER ({usable})",
            "mean": f"avg({value}) FILTER ({usable})",
            "variance": f"var_pop({value}) FILTER ({usable})",
            "bins": f"histogram({_bin(value)}) FILTER ({usable})",
        }
    elif type_ in _TEMPORAL:
        fields |= {"minimum": f"min({column})::VARCHAR", "maximum": f"max({column})::VARCHAR"}
    return "{" + ", ".join(f"'{field}': {sql}" for field, sql in fields.items()) + "}"


def _usable(name: str, type_: str) -> str:
    column = identifier(name)
    return f"{column} IS NOT NULL" + (
        f" AND isfinite({column}::DOUBLE)" if type_ in _NUMERIC else ""
    )


def _bin(value: str) -> str:
    # TRY_CAST, because DuckDB computes it for infinities too, which the filter then leaves out.
    return (
        f"CASE WHEN {value} = 0 THEN 0 ELSE sign({value}) * "
        f"(TRY_CAST(ceil(log2(abs({value})) * {BINS_PER_OCTAVE}) AS BIGINT) + {BIN_OFFSET}) "
        "END::BIGINT"
    )


def _profile(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    name: str,
    type_: str,
    found: dict[str, Any],
    share: float,
) -> ColumnProfile:
    source, column = identifier(table), identifier(name)
    nans, infinities = found.get("nans", 0), found.get("infinities", 0)
    usable = found["rows"] - found["nulls"] - nans - infinities
    hashes = found["hashes"] or []
    if share < 1 and len(hashes) < SMALLEST_HASHES:
        # Few in the sample means few at all, so all of them fit.
        found_hashes = connection.execute(
            f"SELECT DISTINCT hash({column}) AS h FROM {source} WHERE {_usable(name, type_)} "
            f"ORDER BY h LIMIT {SMALLEST_HASHES}"
        ).fetchall()
        hashes = [h for (h,) in found_hashes]
    return ColumnProfile(
        type=type_,
        rows=found["rows"],
        nulls=found["nulls"],
        nans=nans,
        infinities=infinities,
        minimum=found.get("minimum"),
        maximum=found.get("maximum"),
        mean=found.get("mean"),
        squares=(found.get("variance") or 0.0) * usable,
        bins=found.get("bins") or {},
        categories=_categories(connection, source, column)
        if type_ in {"string", "boolean"}
        else {},
        hashes=tuple(hashes),
    )


def _categories(connection: duckdb.DuckDBPyConnection, source: str, column: str) -> dict[str, int]:
    return dict(
        connection.execute(
            f"SELECT {column}::VARCHAR AS value, count(*) AS n FROM {source} "
            f"WHERE {column} IS NOT NULL GROUP BY value ORDER BY n DESC, value "
            f"LIMIT {TOP_CATEGORIES}"
        ).fetchall()
    )
