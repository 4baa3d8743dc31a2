"""What was refused and why: whole objects, and the rows of files that were otherwise accepted."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headrace.aws.storage import Location, Storage
from headrace.records import DatasetRecord, DropRecord, ObjectRecord, model_partition
from headrace_cli.drops import read_objects
from headrace_cli.errors import UsageError
from headrace_cli.inference import read_rows
from headrace_cli.session import Session

_TEXT_BYTES = 4096


@dataclass(frozen=True)
class Quarantined:
    """An object in quarantine: its content or the head of it, as rows or as text."""

    uri: str
    rows: list[dict[str, Any]]
    text: str


def quarantined(session: Session, model: str, drop: str | None) -> list[ObjectRecord]:
    """Return the objects of one drop, or of all, of which all or some rows are in quarantine."""
    session.model(model)
    drops = (
        [drop]
        if drop
        else [d.drop for d in session.ledger.query(DropRecord, model_partition(model), "drop#")]
    )
    return [
        o
        for name in drops
        for o in read_objects(session, model, name)
        if o.verdict == "quarantined" or o.quarantined_rows
    ]


def find_dataset(session: Session, model: str, version: str) -> DatasetRecord:
    """Return the one dataset version that begins with `version`.

    Raises:
        UsageError: none does, or several do.
    """
    session.model(model)
    known = list(session.ledger.query(DatasetRecord, model_partition(model), "dataset#"))
    found = [d for d in known if d.dataset_version.startswith(version)]
    if len(found) != 1:
        names = ", ".join(d.dataset_version for d in found or known) or "none"
        raise UsageError(f"'{version}' is not one dataset of '{model}'; there are: {names}.")
    return found[0]


def set_aside(session: Session, dataset: DatasetRecord, reason: str | None) -> None:
    """Have later runs leave a dataset out, for a reason; without one, have them use it again."""
    session.ledger.update(dataset.key(), {"set_aside": reason})


def datasets_set_aside(session: Session, model: str) -> list[DatasetRecord]:
    """Return the datasets that later runs leave out."""
    found = session.ledger.query(DatasetRecord, model_partition(model), "dataset#")
    return [d for d in found if d.set_aside]


def show(session: Session, objects: list[ObjectRecord], key: str, limit: int) -> Quarantined:
    """Return what stands in quarantine for a key: full, or the file's name if only one has it.

    Raises:
        UsageError: no such object, or more than one.
    """
    named = [o for o in objects if key in (o.object_key, o.object_key.rpartition("/")[2])]
    if len(named) != 1 or not named[0].quarantine_uri:
        known = ", ".join(o.object_key for o in named or objects) or "nothing"
        raise UsageError(f"'{key}' names no single object in quarantine; there are: {known}.")
    location = Location.of(named[0].quarantine_uri)
    with TemporaryDirectory() as folder:
        path = Path(folder) / location.key.rpartition("/")[2]
        Storage(session.client("s3")).download(location, path)
        try:
            return Quarantined(location.uri, read_rows(path)[:limit], "")
        except UsageError:
            # Not rows at all: that may be why it is here.
            with path.open("rb") as file:
                head = file.read(_TEXT_BYTES).decode(errors="replace")
            return Quarantined(location.uri, [], head)
