"""A model that serves, and captured traffic of it: S3 and the ledger in memory, for many runs."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from headrace.aws.monitoring.captures import CapturesAnswer, CapturesRequest, Collector, Reading
from headrace.aws.monitoring.captures import add_captures as add
from headrace.aws.storage import Location
from headrace.monitoring.layout import VersionFolder, captures_folder
from headrace.monitoring.slots import SlotDocument
from headrace.projects import Archive, archive_key, build_archive
from headrace.records import DeploymentRecord, Key
from headrace_profiling import Profile
from headrace_profiling.served import Served
from tests.unit import world

ENDPOINT = "headrace-credit-risk"
ARTIFACTS = "headrace-artifacts"
BASE = datetime(2026, 11, 22, 13, 0, 0, tzinfo=UTC)


def told(at: datetime) -> str:
    """A time as the ledger writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record(rows: Any, at: datetime, answers: Any = None, **metadata: str) -> dict[str, Any]:
    """Return a captured record of JSON: of a request for some rows."""
    predictions = answers or [{"score": 0.25, "label": 0} for _ in rows]
    sides = {"endpointInput": {"instances": rows}, "endpointOutput": {"predictions": predictions}}
    return {
        "captureData": {
            side: {"data": json.dumps(content), "encoding": "JSON"}
            for side, content in sides.items()
        },
        "eventMetadata": {"eventId": "e", "inferenceTime": f"{at:%Y-%m-%dT%H:%M:%SZ}", **metadata},
        "eventVersion": "0",
    }


def key_of(at: datetime, number: int = 0) -> str:
    """Return the key of a capture file of a time."""
    return f"{captures_folder(ENDPOINT)}{at:%Y/%m/%d/%H/%M-%S}-{number:03d}-0f3c.jsonl"


def deployment(version: int, since: datetime, until: datetime | None, **changes: Any) -> Any:
    """Return the record of a deployment that moved traffic from a time until another."""
    values: dict[str, Any] = {
        "model": world.MODEL,
        "deployment": f"v{version}-{told(since)}",
        "status": "live" if until else "deploying",
        "endpoint": ENDPOINT,
        "package_arn": f"arn:{version}",
        "package_version": version,
        "execution_arn": "",
        "cause": "",
        "run": f"run-{version}",
        "started_at": told(since - timedelta(minutes=1)),
        "moving_since": told(since),
        "ended_at": told(until) if until else None,
    }
    return DeploymentRecord.model_validate(values | changes)


class Bucket:
    """S3 as `Storage` shows it; `before_write` is called before every conditional write."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.before_write: Callable[[], None] = lambda: None
        self.listed: list[str] = []

    def list(self, _bucket: str, prefix: str, after: str = "") -> Iterator[dict[str, Any]]:
        for key in sorted(self.objects):
            if key.startswith(prefix) and key > after:
                self.listed.append(key)
                yield {"Key": key, "LastModified": BASE, "Size": len(self.objects[key])}

    def find_tagged(self, place: Location) -> tuple[bytes, str] | None:
        content = self.objects.get(place.key)
        return None if content is None else (content, hashlib.md5(content).hexdigest())

    def get_bytes(self, place: Location, _limit: int) -> bytes:
        return self.objects[place.key]

    def get_json(self, place: Location) -> Any:
        return json.loads(self.objects[place.key])

    def replace_json(self, place: Location, content: Any, tag: str | None) -> bool:
        self.before_write()
        found = self.find_tagged(place)
        if (found and found[1]) != tag:
            return False
        self.objects[place.key] = json.dumps(content).encode()
        return True

    def put_json(self, place: Location, content: Any) -> None:
        self.objects[place.key] = json.dumps(content).encode()

    def put_json_if_absent(self, place: Location, content: Any) -> bool:
        return self.replace_json(place, content, None)

    def download(self, place: Location, path: Path) -> str:
        path.write_bytes(self.objects[place.key])
        return ""

    def upload(self, path: Path, place: Location) -> None:
        self.objects[place.key] = path.read_bytes()


class Records:
    """The ledger: one model, and deployments as they are by now."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.deployments: dict[str, DeploymentRecord] = {}

    def get(self, _kind: Any, _key: Key) -> Any:
        return self.model

    def query(self, _kind: Any, _pk: str, _sk: str) -> Iterator[DeploymentRecord]:
        return iter(list(self.deployments.values()))

    def put(self, each: DeploymentRecord) -> None:
        self.deployments[each.deployment] = each


class Traffic:
    """What is captured, and runs that add it."""

    def __init__(self, archive: Archive, read: Callable[..., Reading]) -> None:
        self.bucket = Bucket()
        self.bucket.objects[archive_key(world.MODEL, archive.version)] = archive.content
        self.ledger = Records(world.model_record(project_version=archive.version))
        self.remaining = 300.0
        self._read = read

    def capture(self, at: datetime, *records: Any, number: int = 0) -> None:
        """Deliver a file, whose name tells `at`."""
        lines = [each if isinstance(each, str) else json.dumps(each) for each in records]
        self.bucket.objects[key_of(at, number)] = "\n".join(lines).encode()

    def run(self, now: datetime) -> CapturesAnswer:
        """Run AddCaptures once."""
        aws: Any = (world.settings(), self.ledger, self.bucket, self._read, lambda: self.remaining)
        return add(CapturesRequest(model=world.MODEL, at=told(now)), Collector(*aws), now)

    def slots(self) -> dict[tuple[int, str], SlotDocument]:
        """Return the documents by version and slot."""
        found = {}
        for version in range(1, 4):
            folder = VersionFolder(world.MODEL, version).slots
            for key in [key for key in self.bucket.objects if key.startswith(folder)]:
                document = SlotDocument.from_json(self.bucket.objects[key])
                found[version, document.slot] = document
        return found


def project(folder: Path, schedule: str = "1h") -> Archive:
    """Pack a project whose slots are so wide."""
    schema = {"id": "integer", "amount": "number", "sound": "boolean", "defaulted": "integer"}
    content = {
        "name": world.MODEL,
        "data": {"label": "defaulted", "entity": "id", "schema": schema},
        "monitoring": {"schedule": schedule},
    }
    (folder / "model.yaml").write_text(json.dumps(content))
    return build_archive(folder)


def count(files: Any, target: Path, wanted: Any, _segments: Any) -> Reading:
    """Read as DuckDB would, but records alone: what matters is which are counted, how often."""
    found: dict[str, int] = defaultdict(int)
    rows = []
    for path in files:
        for line in path.read_text().splitlines():
            content = json.loads(line)
            at = datetime.fromisoformat(content["eventMetadata"]["inferenceTime"])
            for name, spans in (("rows", wanted.within), ("left_out", wanted.left_out)):
                if any(start <= at and (end is None or at < end) for start, end in spans):
                    found[name] += 1
                    rows += [line] if name == "rows" else []
    target.write_text("\n".join(rows))
    served = Served(target, found["rows"], found["left_out"], {}, {})
    return Reading(served, Profile(found["rows"], {}), Profile(found["rows"], {}), {})
