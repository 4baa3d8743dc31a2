"""A model whose predictions and outcomes arrive as one likes, on an S3 and a ledger in memory."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from headrace.aws.monitoring.joining import JoinAnswer, JoinRequest, join_outcomes
from headrace.aws.monitoring.outcomes import OutcomesSettings, Recorder
from headrace.aws.storage import Location
from headrace.monitoring.feedback import QualityDocument
from headrace.monitoring.layout import Slot, VersionFolder, outcome_part_key
from headrace.monitoring.slots import SlotDocument
from headrace.projects import archive_key, build_archive
from headrace.records import OutcomesRecord
from headrace_profiling.engine import Engine
from tests.unit import world
from tests.unit.world import MODEL

HOUR = 3600
PREDICTION = {"id": "VARCHAR", "row": "INTEGER", "at": "TIMESTAMP", "score": "DOUBLE"}
PREDICTION |= {"label": "VARCHAR", "loan": "VARCHAR", "region": "VARCHAR"}
OUTCOME = {"id": "VARCHAR", "entity": "VARCHAR", "row": "INTEGER", "outcome": "VARCHAR"}
OUTCOME |= {"at": "TIMESTAMP", "received_at": "TIMESTAMP"}
START = datetime(2026, 11, 22, 6, tzinfo=UTC)
WAIT = 2 * HOUR


class Prediction(NamedTuple):
    """A prediction: minutes after START, of a version."""

    minute: int
    version: int
    id: str
    row: int
    entity: str
    score: float
    label: str | None = None

    @property
    def at(self) -> datetime:
        return START + timedelta(minutes=self.minute)

    @property
    def answer(self) -> tuple[str]:
        return (self.label or str(int(self.score >= 0.5)),)

    @property
    def region(self) -> str:
        return "north" if self.row else "south"


class Outcome(NamedTuple):
    """A row of outcomes: received minutes after START; `at` is when it turned out."""

    received: int
    id: str | None
    row: int | None
    entity: str | None
    value: int
    minute: int

    @property
    def at(self) -> datetime:
        return START + timedelta(minutes=self.minute)

    @property
    def received_at(self) -> datetime:
        return START + timedelta(minutes=self.received)


class Memory:
    """S3 without S3: what `Storage` does, in a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.read: list[str] = []

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[dict[str, Any]]:
        for key, content in sorted(self.objects.items()):
            if key.startswith(f"{bucket}/{prefix}"):
                yield {"Key": key.removeprefix(f"{bucket}/"), "ETag": _tag(content), "Size": 1}

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        start = f"{bucket}/{prefix}"
        found = {k.removeprefix(start).split("/")[0] for k in self.objects if k.startswith(start)}
        yield from sorted(found)

    def find_tagged(self, location: Location, limit: int = 0) -> tuple[bytes, str] | None:
        content = self.objects.get(f"{location.bucket}/{location.key}")
        return None if content is None else (content, _tag(content))

    def get_bytes(self, location: Location, limit: int = 0) -> bytes:
        return self.objects[f"{location.bucket}/{location.key}"]

    def replace_json(self, location: Location, content: Any, tag: str | None) -> bool:
        found = self.find_tagged(location)
        if (found and found[1]) != tag:
            return False
        self.objects[f"{location.bucket}/{location.key}"] = json.dumps(content).encode()
        return True

    def upload(self, path: Path, location: Location) -> None:
        self.objects[f"{location.bucket}/{location.key}"] = path.read_bytes()

    def download(self, location: Location, path: Path) -> str:
        self.read.append(location.key)
        path.write_bytes(self.objects[f"{location.bucket}/{location.key}"])
        return ""


def _tag(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Records(dict[Any, Any]):
    """The ledger: records by key."""

    def get(self, kind: Any, key: Any) -> Any:  # type: ignore[override]
        return dict.get(self, (key.pk, key.sk))

    def query(self, kind: Any, pk: str, sk_prefix: str = "") -> Iterator[Any]:
        yield from (
            record for (p, sk), record in self.items() if p == pk and sk.startswith(sk_prefix)
        )

    def put(self, record: Any) -> None:
        key = record.key()
        self[key.pk, key.sk] = record


class Monitored:
    """A model whose predictions and outcomes arrive as one likes."""

    def __init__(self, engine: Engine, folder: Path, project: Mapping[str, Any]) -> None:
        self.storage, self.ledger, self.folder = Memory(), Records(), folder
        self.now = START
        more = {"DUCKDB_MEMORY_MB": "256", "MAX_FILE_BYTES": "4096"}
        here = OutcomesSettings.model_validate({**world.settings().model_dump(), **more})
        self.aws = Recorder(here, self.storage, self.ledger, None, engine)  # type: ignore[arg-type]
        (folder / "model.yaml").write_text(json.dumps(project))
        archive = build_archive(folder)
        key = archive_key(MODEL, archive.version)
        self.storage.objects[f"headrace-data/{key}"] = archive.content
        self.ledger.put(world.model_record(project_version=archive.version))

    def predict(self, predictions: list[Prediction]) -> None:
        """Add a part to each slot that these predictions are in."""
        for version, slot in sorted({(p.version, Slot.at(p.at, HOUR)) for p in predictions}):
            of = [p for p in predictions if (p.version, Slot.at(p.at, HOUR)) == (version, slot)]
            folder = VersionFolder(MODEL, version)
            rows = [(p.id, p.row, _naive(p.at), p.score, *p.answer, p.entity, p.region) for p in of]
            part = folder.predictions_key(slot.name, _tag(repr(rows).encode()))
            self._write(part, rows, PREDICTION)
            place = Location("headrace-artifacts", folder.slot_key(slot.name))
            found = self.storage.find_tagged(place)
            uri = f"s3://headrace-artifacts/{part}"
            document = SlotDocument(
                slot=slot.name, seconds=HOUR, files=[part], parts=[uri], rows=len(rows)
            )
            if found:
                known = SlotDocument.from_json(found[0])
                document = document if part in known.files else known.adding(document)
                document = known if part in known.files else document
            self.storage.replace_json(place, document.model_dump(mode="json"), found and found[1])

    def tell(self, outcomes: list[Outcome]) -> None:
        """Record a part for each time of receipt."""
        for received in sorted({o.received for o in outcomes}):
            of = [o for o in outcomes if o.received == received]
            rows = [
                (o.id, o.entity, o.row, o.value, *(_naive(t) for t in (o.at, o.received_at)))
                for o in of
            ]
            digest = _tag(repr(rows).encode())
            key = outcome_part_key(MODEL, digest)
            self._write(key, rows, OUTCOME)
            told = of[0].received_at.isoformat()
            self.ledger.put(
                OutcomesRecord(
                    model=MODEL,
                    digest=digest,
                    status="accepted",
                    object_key=digest,
                    version_id="1",
                    received_at=told,
                    recorded_at=told,
                    rows=len(rows),
                    by_entity=sum(o.id is None for o in of),
                    uri=f"s3://headrace-artifacts/{key}",
                )
            )

    def join(self) -> JoinAnswer:
        self.storage.read.clear()
        return join_outcomes(JoinRequest(model=MODEL), self.aws, self.now, lambda: 300.0)

    def documents(self) -> dict[str, QualityDocument]:
        return {
            key.partition("/")[2]: QualityDocument.model_validate_json(content)
            for key, content in self.storage.objects.items()
            if "/quality/" in key
        }

    def _write(self, key: str, rows: list[tuple[Any, ...]], columns: Mapping[str, str]) -> None:
        path = self.folder / "made.parquet"
        values = ", ".join(f"({', '.join(map(_sql, row))})" for row in rows)
        typed = ", ".join(f'"{name}"::{type_} AS "{name}"' for name, type_ in columns.items())
        names = ", ".join(f'"{name}"' for name in columns)
        with self.aws.engine.session() as connection:
            connection.execute(
                f"COPY (SELECT {typed} FROM (VALUES {values}) AS made({names})) TO '{path}' "
                "(FORMAT parquet)"
            )
        self.storage.objects[f"headrace-artifacts/{key}"] = path.read_bytes()


def _naive(time: datetime) -> datetime:
    return time.replace(tzinfo=None)


def _sql(value: Any) -> str:
    return "NULL" if value is None else f"'{value}'"


PROJECT: dict[str, Any] = {
    "name": MODEL,
    "data": {
        "label": "defaulted",
        "entity": "loan",
        "schema": {"defaulted": "integer", "loan": "string", "region": "string"},
    },
    "monitoring": {
        "quality": {"wait": WAIT},
        "bias": {"facets": {"region": ["north"]}},
    },
}
