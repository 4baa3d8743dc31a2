"""DuckDB within bounds, and SQL that quotes what it is given."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

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


class Engine:
    """One DuckDB for many files: opening it takes longer than looking into a small file.

    It spills to `folder` instead of passing `memory_mb`, and loads no extension.
    """

    def __init__(self, folder: Path, memory_mb: int, threads: int | None = None) -> None:
        self.memory_mb = memory_mb
        self._threads = threads
        self._folder = folder
        self._database: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def session(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection whose temporary tables and views nobody else sees."""
        if self._database is None:
            self._database = self._open()
        connection = self._database.cursor()
        try:
            yield connection
        except (duckdb.FatalException, duckdb.InternalException):
            # DuckDB gives itself up after these: the next file gets a new one.
            self.close()
            raise
        finally:
            connection.close()

    def close(self) -> None:
        """Free everything; a later session opens it again."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> duckdb.DuckDBPyConnection:
        threads = {"threads": str(self._threads)} if self._threads else {}
        return duckdb.connect(
            ":memory:",
            config={
                **threads,
                "memory_limit": f"{self.memory_mb}MB",
                "temp_directory": str(self._folder / "spill"),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )


@contextmanager
def temporary_engine(memory_mb: int) -> Iterator[Engine]:
    """Give an engine that spills to a folder of its own, and leaves nothing behind."""
    with TemporaryDirectory() as spill, closing(Engine(Path(spill), memory_mb)) as engine:
        yield engine


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
