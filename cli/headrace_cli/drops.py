"""Sends a drop to S3 and reads from the ledger what became of it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from headrace.datasets.arrivals import CONTROL_FILES, MANIFEST, PREFIX, place
from headrace.datasets.completeness import Manifest, ManifestFile
from headrace.records import DropRecord, Key, ObjectRecord, model_partition
from headrace_cli.errors import UsageError
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for

_ENDED = {"accepted", "quarantined", "incomplete", "failed"}


def drop_name() -> str:
    """Return a name for a drop made now; names sort by time."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")[:18] + "Z"


def collect(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the files of a drop by their names in it: files as they are, folders with all inside.

    Raises:
        UsageError: something does not exist, two files have one name, or there is no file.
    """
    files: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            found = {str(p.relative_to(path)): p for p in sorted(path.rglob("*")) if p.is_file()}
        elif path.is_file():
            found = {path.name: path}
        else:
            raise UsageError(f"There is no file or folder {path}.", "Check the path.")
        twice = found.keys() & files.keys()
        if twice:
            raise UsageError(f"Two files are called {min(twice)}.", "Drop a folder instead.")
        files |= found
    if not files.keys() - CONTROL_FILES:
        raise UsageError("There is nothing to drop in what was named.", "Name data files.")
    return files


def manifest_of(files: Mapping[str, Path]) -> Manifest:
    """Return the manifest that lets the receiver check every file: size, hash, and rows if known.

    Rows are counted for parquet files only, whose footer tells; a file that cannot be read is
    listed without, for the receiver to judge.
    """
    return Manifest(files=tuple(_promise(name, path) for name, path in files.items()))


def send_drop(
    session: Session,
    model: str,
    drop: str,
    files: Mapping[str, Path],
    *,
    manifest: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Upload a drop: data first, then `_SUCCESS` if there is one, the manifest last of all.

    A `_manifest.json` among the files is sent as it is; without one it is made if asked for.

    Raises:
        UsageError: the model is unknown, or the drop has ended already.
        DropError: the drop or a file cannot be called so.
    """
    session.model(model)
    keys = {name: f"{PREFIX}{model}/{drop}/{name}" for name in [*files, MANIFEST]}
    for key in keys.values():
        place(key)
    existing = read_drop(session, model, drop)
    if existing and existing.state != "open":
        raise UsageError(
            f"Drop '{drop}' of '{model}' has ended already: {existing.state}.",
            "Choose another --name; a drop is never changed afterwards.",
        )
    s3, bucket = session.client("s3"), session.stack.data_bucket
    data = {n: p for n, p in files.items() if n not in CONTROL_FILES}
    made = manifest_of(data) if manifest and MANIFEST not in files else None

    def upload(name: str) -> str:
        s3.upload_file(str(files[name]), bucket, keys[name])
        return name

    with ThreadPoolExecutor(max_workers=4) as pool:
        for sent, name in enumerate(pool.map(upload, data), start=1):
            progress(f"{sent} of {len(data)} files: {name}")
    # The manifest says that all is there, so it is the last.
    for name in sorted(files.keys() & CONTROL_FILES, key=lambda n: n == MANIFEST):
        upload(name)
    if made:
        s3.put_object(
            Bucket=bucket,
            Key=keys[MANIFEST],
            Body=made.model_dump_json(exclude_none=True).encode(),
            ContentType="application/json",
        )


def read_drop(session: Session, model: str, drop: str) -> DropRecord | None:
    """Return a drop's record, or None while the ledger does not know it."""
    return session.ledger.get(DropRecord, Key(pk=model_partition(model), sk=f"drop#{drop}"))


def read_objects(session: Session, model: str, drop: str) -> list[ObjectRecord]:
    """Return what became of every object of a drop, strays that came too late included."""
    partition = f"drop#{model}/{drop}"
    return [
        record
        for prefix in ("object#", "stray#")
        for record in session.ledger.query(ObjectRecord, partition, prefix)
    ]


def wait_for_drop(session: Session, model: str, drop: str, timeout: float) -> DropRecord:
    """Wait for a drop's verdict.

    Raises:
        TimedOutError: none came in time.
    """

    def look() -> DropRecord | None:
        record = read_drop(session, model, drop)
        return record if record and record.state in _ENDED else None

    return wait_for(
        look,
        f"the verdict on drop '{drop}' of '{model}'",
        timeout=timeout,
        interval=session.environment.poll_seconds,
        hint=f"headrace watch {model}, or headrace logs {model} --stage datasets",
    )


def _promise(name: str, path: Path) -> ManifestFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ManifestFile(
        path=name, size=path.stat().st_size, sha256=digest, rows=_parquet_rows(path)
    )


def _parquet_rows(path: Path) -> int | None:
    if path.suffix != ".parquet":
        return None
    import duckdb  # late, because it takes 0.2 s that most commands need not spend

    try:
        found = duckdb.execute("select num_rows from parquet_file_metadata(?)", [str(path)])
        return int(found.fetchall()[0][0])
    except duckdb.Error:
        return None
