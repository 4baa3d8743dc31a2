"""The quarantine: refused objects and rows, each beside the reason why."""

from collections.abc import Sequence
from pathlib import Path

from headrace.aws.storage import Location, Storage
from headrace.records import now


class Quarantine:
    """Keeps what was refused. Doing it again changes nothing but a time."""

    def __init__(self, storage: Storage, bucket: str) -> None:
        self._storage = storage
        self._bucket = bucket

    def keep(self, source: Location, key: str, reasons: Sequence[str]) -> str:
        """Copy an object, in its pinned version, with its reasons; return where it is now."""
        target = Location(self._bucket, key)
        self._storage.copy(source, target)
        self._explain(target, source, reasons)
        return target.uri

    def keep_rows(self, rows: Path, source: Location, key: str, reasons: Sequence[str]) -> str:
        """Upload the bad rows of a file (parquet, with a `_reason` column); return where."""
        target = Location(self._bucket, f"{key}.rows.parquet")
        self._storage.upload(rows, target)
        self._explain(target, source, reasons)
        return target.uri

    def _explain(self, target: Location, source: Location, reasons: Sequence[str]) -> None:
        self._storage.put_json(
            Location(target.bucket, f"{target.key}.reason.json"),
            {
                "source": source.uri,
                "version_id": source.version_id,
                "reasons": list(reasons),
                "quarantined_at": now(),
            },
        )
