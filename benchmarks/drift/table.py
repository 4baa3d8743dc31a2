"""The table: 20 columns as of a scoring service, in a later file a little moved."""

from __future__ import annotations

from pathlib import Path

import duckdb

NORMAL = "(random() + random() + random() + random() - 2)"
MOVED = 0.1  # of a column's spread, from one file to the next


def columns(seed: int) -> list[str]:
    moved = seed * MOVED
    return [
        *(f"({NORMAL} + {moved * i / 4}) * {i + 1} + {i * 100} AS normal_{i}" for i in range(6)),
        *(f"exp({6 + moved} * random())::FLOAT AS skewed_{i}" for i in range(2)),
        "CASE WHEN random() < 0.1 THEN NULL ELSE random() END AS holes",
        f"(random() * {100 + 10 * seed})::INTEGER AS small",
        "(random() * 1e6)::BIGINT AS large",
        "i AS id",
        "round(random() * 1000, 2) AS price",
        "1.76e9 + i % 3000000 AS epoch",
        "least(floor(-3 * ln(random())), 20) AS count",
        "'c' || (10 * random() * random())::INT AS few",
        "'d' || (40 * random() * random())::INT AS dozens",
        "'h' || (200 * random() * random())::INT AS hundreds",
        "'m' || (5000 * random() * random())::INT AS many",
        f"CASE WHEN random() < {0.2 + moved} THEN 'yes' ELSE 'no' END AS flag",
    ]


def write_table(path: Path, rows: int, seed: int) -> None:
    """Write rows that are the same each time, but for the threads' order."""
    config = {"memory_limit": "2GB", "preserve_insertion_order": "false"}
    with duckdb.connect(config=config) as db:
        db.execute(f"SELECT setseed(0.{seed + 1})")
        selected = ", ".join(columns(seed))
        db.execute(f"COPY (SELECT {selected} FROM range({rows}) t(i)) TO '{path}'")
