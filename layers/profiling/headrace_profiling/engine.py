"""DuckDB within bounds, and SQL that quotes what it is given."""

from pathlib import Path

import duckdb

# DuckDB's own type, by the logical type a model.yaml speaks of.
PHYSICAL = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}
_INTEGERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "HUGEINT",
    "UHUGEINT",
}


def connect(folder: Path, memory_mb: int) -> duckdb.DuckDBPyConnection:
    """Open an engine that spills to `folder` instead of passing `memory_mb`, and loads nothing.

    Tables spill too, so a file of data may be larger than memory.
    """
    return duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )


def identifier(name: str) -> str:
    """Quote the name of a column or table."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text value."""
    return "'" + text.replace("'", "''") + "'"


def logical_type(physical: str) -> str | None:
    """Return the logical type of a DuckDB type (`null`: a column of nulls), None if it has none."""
    name = physical.strip('"')
    if name in _INTEGERS:
        return "integer"
    if name in {"FLOAT", "DOUBLE"} or name.startswith("DECIMAL"):
        return "number"
    if name.startswith("TIMESTAMP"):
        return "timestamp"
    if name.startswith("ENUM") or name == "UUID":
        return "string"
    return {"VARCHAR": "string", "BOOLEAN": "boolean", "DATE": "date", "NULL": "null"}.get(name)
