"""How long a profile takes, and how much memory: beside DuckDB's own SUMMARIZE in the same run.

python -m benchmarks.profiling [--rows 10_000_000] [--records 1_000_000]

Writes a synthetic parquet file of 20 columns (floats, integers, ids, times, decimals, nulls, texts
of 10, 10,000 and as many values as rows) and a file of captured inference records. Each task is a
process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import duckdb

from headrace_profiling import CaptureColumns, compare, profile
from headrace_profiling.engine import Engine, identifier, logical_type
from headrace_profiling.measure import measure

MEMORY_MB = 512
NORMAL = "(random() + random() + random() + random() - 2)"
COLUMNS = [
    *(f"{NORMAL} * {i + 1} + {i * 100} AS normal_{i}" for i in range(8)),
    *(f"exp(6 * random())::FLOAT AS skewed_{i}" for i in range(2)),
    "CASE WHEN random() < 0.1 THEN NULL ELSE random() END AS holes",
    "(random() * 100)::INTEGER AS small",
    "(random() * 1e6)::BIGINT AS large",
    "i AS id",
    "(random() * 1000)::DECIMAL(9, 2) AS price",
    "TIMESTAMP '2026-01-01' + INTERVAL (i % 3000000) SECOND AS at",
    "random() < 0.2 AS flag",
    "'c' || (10 * random() * random())::INT AS few",
    "'m' || (10000 * random() * random())::INT AS many",
    "'u' || i AS name",
]


def write_table(path: Path, rows: int) -> None:
    with duckdb.connect(config={"memory_limit": "2GB", "preserve_insertion_order": "false"}) as db:
        db.execute(f"COPY (SELECT {', '.join(COLUMNS)} FROM range({rows}) t(i)) TO '{path}'")


def write_capture(path: Path, records: int) -> None:
    side = "{{data: {}, encoding: 'CSV', mode: '{}', observedContentType: 'text/csv'}}"
    given = "concat_ws(',', random(), (random() * 100)::INT, 'c' || i % 7, random() * i)"
    sides = f"{{endpointInput: {side.format(given, 'INPUT')}, "
    sides += f"endpointOutput: {side.format('random()::VARCHAR', 'OUTPUT')}}}"
    duckdb.execute(
        f"COPY (SELECT {sides} AS captureData, {{eventId: i, inferenceTime: now()}} AS "
        f"eventMetadata, '0' AS eventVersion FROM range({records}) t(i)) TO '{path}' (FORMAT json)"
    )


def scan(path: Path) -> None:
    """The least any engine does: decode every value once."""
    with duckdb.connect(config={"memory_limit": f"{MEMORY_MB}MB"}) as db:
        names = [row[0] for row in db.execute(f"DESCRIBE FROM '{path}'").fetchall()]
        hashed = ", ".join(f"max(hash({identifier(name)}))" for name in names)
        db.execute(f"SELECT {hashed} FROM '{path}'").fetchall()


def summarize(path: Path) -> None:
    with duckdb.connect(config={"memory_limit": f"{MEMORY_MB}MB"}) as db:
        db.execute(f"SUMMARIZE FROM '{path}'").fetchall()


def ours(path: Path) -> None:
    found = profile(path, memory_mb=MEMORY_MB)
    text = found.to_json()
    print(f"{len(text) / len(found.columns) / 1024:.1f} KB of JSON a column")
    start = time.perf_counter()
    compare(found, found + found)
    print(f"comparing and merging: {time.perf_counter() - start:.2f} s")


def columns(path: Path) -> None:
    """Each column on its own, to find the slowest."""
    taken: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Engine(Path(folder), MEMORY_MB)) as engine,
        engine.session() as db,
    ):
        db.execute(f"CREATE TEMP VIEW t AS FROM '{path}'")
        types = {r[0]: logical_type(r[1]) or "string" for r in db.execute("DESCRIBE t").fetchall()}
        for name, type_ in types.items():
            start = time.process_time()
            measure(db, "t", {name: type_})
            taken[name] = time.process_time() - start
    slowest = max(taken, key=taken.__getitem__)
    share = taken[slowest] / sum(taken.values())
    print(f"slowest column: {slowest}, {share:.0%} of the CPU seconds of all")


def bare_read(path: Path) -> None:
    duckdb.execute(f"SELECT max(hash(captureData)) FROM read_json('{path}')").fetchall()


def captured(path: Path) -> None:
    profile(path, file_format="capture", capture=CaptureColumns(("a", "b", "c", "d"), ("score",)))


TASKS = {f.__name__: f for f in (scan, ours, summarize, columns, bare_read, captured)}


def timed(task: str, path: Path) -> float:
    """Run a task in a process of its own; print its figures, return its seconds."""
    command = [sys.executable, "-m", "benchmarks.profiling", "--task", task, "--path", str(path)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    seconds, cpu, megabytes = map(float, out[-1].split())
    print(f"{task:10} {seconds:7.2f} s {cpu:7.2f} CPU s {megabytes:6.0f} MB")
    for line in out[:-1]:
        print(f"{'':10} {line}")
    return seconds


def run(task: str, path: Path) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    TASKS[task](path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(time.perf_counter() - start, time.process_time() - cpu, peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--path", type=Path)
    arguments = parser.parse_args()
    if arguments.task:
        run(arguments.task, arguments.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        table, capture = Path(folder) / "table.parquet", Path(folder) / "capture.jsonl"
        write_table(table, arguments.rows)
        print(f"{arguments.rows:,} rows x {len(COLUMNS)} columns, {MEMORY_MB} MB for DuckDB")
        least, mine, theirs = (timed(task, table) for task in ("scan", "ours", "summarize"))
        print(f"ours / scan {mine / least:.1f}, SUMMARIZE / ours {theirs / mine:.1f}")
        timed("columns", table)
        write_capture(capture, arguments.records)
        print(f"{arguments.records:,} captured records")
        bare, mine = timed("bare_read", capture), timed("captured", capture)
        rate = arguments.records / mine
        print(f"{rate:,.0f} records a second; {mine / bare:.1f} times a bare read")


if __name__ == "__main__":
    main()
