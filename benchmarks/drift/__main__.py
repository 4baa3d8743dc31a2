"""Drift of 20 columns between two parquet files: the scan, ours, and what else there is.

python -m benchmarks.drift [--rows 1_000_000 10_000_000] [--repeat 3] [--side NAME ...]

Makes the environment of each side under .venv/bench-* the first time (some minutes and 3 GB), from
pins with hashes in requirements/. Sides take turns, and the least seconds of each count, as other
work on the machine only adds. On a busy machine compare CPU seconds, and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.drift.table import write_table
from benchmarks.environments import install, python

ENVIRONMENTS = {
    "scan": "dev",
    "headrace": "dev",
    "headrace_current": "dev",
    "pandas": "bench-pandas",
    "nannyml": "bench-nannyml",
    "whylogs": "bench-whylogs",
    "evidently": "bench-evidently",
}
SIDE_SECONDS = 1800
MOST_CPU_SECONDS = 20  # a side that took more is not asked again, nor at more rows
MEMORY_GB = 12


@dataclass(frozen=True)
class Figures:
    """What a side took, or why there are no figures."""

    seconds: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0
    columns: int = 0
    problem: str = ""

    def least(self, other: Figures) -> Figures:
        if self.problem or other.problem:
            return self if self.problem else other
        return Figures(
            min(self.seconds, other.seconds),
            min(self.cpu, other.cpu),
            max(self.peak_mb, other.peak_mb),
            self.columns,
        )


def run(side: str, baseline: Path, current: Path) -> Figures:
    """Run a side once, in its own process."""
    command = [
        python(ENVIRONMENTS[side]),
        Path(__file__).parent / "sides.py",
        side,
        baseline,
        current,
    ]
    most = MEMORY_GB << 30
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=SIDE_SECONDS,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most)),
        )
    except subprocess.TimeoutExpired:
        return Figures(problem=f"not done after {SIDE_SECONDS} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        memory = "MemoryError" in done.stderr or done.returncode < 0
        return Figures(problem=f"more than {MEMORY_GB} GB" if memory else last[:80])
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    return Figures(**{name: figures[name] for name in ("seconds", "cpu", "peak_mb", "columns")})


def compete(sides: Iterable[str], rows: int, repeat: int) -> dict[str, Figures]:
    """Let the sides take turns on one pair of files."""
    best: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.parquet" for name in ("baseline", "current")]
        for seed, path in enumerate(files):
            write_table(path, rows, seed)
        for turn in range(repeat):
            for side in sides:
                if turn and (best[side].problem or best[side].cpu > MOST_CPU_SECONDS):
                    continue
                found = run(side, *files)
                best[side] = best[side].least(found) if side in best else found
                print(f"  {side}: {found}", file=sys.stderr)
    return best


def show(best: dict[str, Figures], rows: int) -> None:
    """Print a table for benchmarks/README.md."""
    scan = best["scan"]
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"\n| {rows:,} rows, load {load} | s | x scan | CPU s | x scan | peak MB | columns |")
    print("|---|---|---|---|---|---|---|")
    for side, figures in best.items():
        if figures.problem:
            print(f"| {side} | {figures.problem} | | | | | |")
            continue
        print(
            f"| {side} | {figures.seconds:.2f} | {figures.seconds / scan.seconds:.1f} "
            f"| {figures.cpu:.2f} | {figures.cpu / scan.cpu:.1f} | {figures.peak_mb:.0f} "
            f"| {figures.columns} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--side", nargs="+", choices=ENVIRONMENTS, default=list(ENVIRONMENTS))
    arguments = parser.parse_args()
    sides = list(dict.fromkeys(["scan", *arguments.side]))
    absent = {}
    for name in {ENVIRONMENTS[side] for side in sides} - {"dev"}:
        absent[name] = install(name)
    slow: dict[str, Figures] = {
        side: Figures(problem=why) for side in sides if (why := absent.get(ENVIRONMENTS[side]))
    }
    for rows in arguments.rows:
        able = [side for side in sides if side not in slow]
        best = compete(able, rows, arguments.repeat)
        show(best | slow, rows)
        for side, figures in best.items():
            if figures.problem or figures.cpu > MOST_CPU_SECONDS:
                why = figures.problem or f"{figures.cpu:.0f} CPU s"
                slow[side] = Figures(problem=f"not asked: {why} for {rows:,} rows")


if __name__ == "__main__":
    main()
