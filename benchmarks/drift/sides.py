"""One side of the benchmark, in a process and an environment of its own.

<environment>/bin/python benchmarks/drift/sides.py SIDE BASELINE CURRENT

Each side reads the two parquet files and says what changed in their columns, as its documentation
does it. Imports are not timed. Prints one line of JSON: seconds, CPU seconds, peak MB, and how many
columns it compared, so that nobody skips work unseen.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

# Two threads, as there are cores: not one per core that the host of a container has.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
TEXTS = ("few", "dozens", "hundreds", "many", "flag")
THREADS = 2
MEMORY_MB = 512
Side = Callable[[str, str], int]


def scan() -> Side:
    """The least any engine does: decode every value of both files once."""
    import duckdb

    def side(baseline: str, current: str) -> int:
        for path in (baseline, current):
            with duckdb.connect(
                config={"memory_limit": f"{MEMORY_MB}MB", "threads": THREADS}
            ) as db:
                names = [row[0] for row in db.execute(f"DESCRIBE FROM '{path}'").fetchall()]
                hashed = ", ".join(f'max(hash("{name}"))' for name in names)
                db.execute(f"SELECT {hashed} FROM '{path}'").fetchall()
        return len(names)

    return side


def headrace() -> Side:
    from headrace_profiling import Profile, compare, profile

    def side(baseline: str, current: str) -> int:
        profiles = [
            Profile.from_json(profile(path, memory_mb=MEMORY_MB).to_json())
            for path in (baseline, current)
        ]
        return sum(1 for column in compare(*profiles).columns if column.measures)

    return side


def headrace_current() -> Side:
    """A monitor's case: the baseline's profile is there already."""
    from headrace_profiling import compare, profile

    def side(_: str, current: str) -> int:
        found = profile(current, memory_mb=MEMORY_MB)
        return sum(1 for column in compare(found, found).columns if column.measures)

    return side


def pandas() -> Side:
    import pandas as pd
    from scipy import stats

    def side(baseline: str, current: str) -> int:
        one, other = pd.read_parquet(baseline), pd.read_parquet(current)
        found = {}
        for name in one.columns:
            if name in TEXTS:
                counts = [frame[name].value_counts() for frame in (one, other)]
                table = pd.concat(counts, axis=1).fillna(0)
                found[name] = stats.chi2_contingency(table.T.to_numpy()).statistic
            else:
                values = [frame[name].dropna().to_numpy() for frame in (one, other)]
                found[name] = stats.ks_2samp(*values, method="asymp").statistic
        return len(found)

    return side


def nannyml() -> Side:
    import nannyml as nml
    import pandas as pd

    def side(baseline: str, current: str) -> int:
        one, other = pd.read_parquet(baseline), pd.read_parquet(current)
        calculator = nml.UnivariateDriftCalculator(
            column_names=list(one.columns),
            treat_as_categorical=list(TEXTS),
            chunk_number=1,
        )
        calculator.fit(one)
        found = calculator.calculate(other).to_df()
        return len({column for column, *_ in found.columns if column in one.columns})

    return side


def whylogs() -> Side:
    import pandas as pd
    import whylogs as why
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    def side(baseline: str, current: str) -> int:
        one, other = (why.log(pd.read_parquet(path)).view() for path in (baseline, current))
        found = calculate_drift_scores(target_view=other, reference_view=one)
        return sum(1 for score in found.values() if score)

    return side


def evidently() -> Side:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    def side(baseline: str, current: str) -> int:
        one, other = pd.read_parquet(baseline), pd.read_parquet(current)
        definition = DataDefinition(
            numerical_columns=[name for name in one.columns if name not in TEXTS],
            categorical_columns=list(TEXTS),
        )
        sides = [Dataset.from_pandas(f, data_definition=definition) for f in (other, one)]
        found = Report([DataDriftPreset()]).run(*sides).dict()["metrics"]
        return sum(1 for metric in found if "ValueDrift" in metric["metric_name"])

    return side


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    warnings.simplefilter("ignore")
    known: tuple[Callable[[], Side], ...] = (
        scan,
        headrace,
        headrace_current,
        pandas,
        nannyml,
        whylogs,
        evidently,
    )
    sides = {f.__name__: f for f in known}
    name, baseline, current = sys.argv[1:]
    side = sides[name]()
    imported = peak_mb()
    start, cpu = time.perf_counter(), time.process_time()
    columns = side(baseline, current)
    figures: dict[str, Any] = {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "peak_mb": peak_mb(),
        "imported_mb": imported,
        "columns": columns,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
