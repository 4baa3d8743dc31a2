"""How long it takes to add captured traffic to its slots, and how much memory: as AddCaptures does.

python -m benchmarks.monitoring [--rows 1_000_000] [--per-request 1] [--megabytes 1024]

Writes an hour of captured records of requests with 10 columns (numbers, texts, a boolean), a file a
minute, then adds them in a process of its own that gets no more memory than the Lambda function
has. Objects are files in a folder: what S3's own network takes is not in the figures.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from headrace.aws.monitoring.captures import CapturesRequest, Collector, add_captures, read_group
from headrace.aws.storage import Location
from headrace.monitoring.layout import VersionFolder, captures_folder
from headrace.monitoring.slots import SlotDocument
from headrace.projects import archive_key, build_archive
from headrace.records import DeploymentRecord, ModelRecord
from headrace.settings import Settings
from headrace_profiling.engine import Engine

MODEL, ENDPOINT = "credit-risk", "headrace-credit-risk"
DUCKDB_MB = 400  # template.yaml, AddCapturesFunction
HOUR = datetime(2026, 11, 22, 13, tzinfo=UTC)
COLUMNS = {
    "car_value": ("number", "round(30000 + 9000 * (random() + random() - 1), 2)"),
    "salary_range": ("string", "['20K - 40K', '40K - 60K', '60K+'][1 + (3 * random())::INT % 3]"),
    "debt_to_income_ratio": ("number", "round(random(), 6)"),
    "loan_length": ("integer", "12 + (60 * random())::INT"),
    "repaid_loan_on_prev_car": ("boolean", "random() < 0.5"),
    "size_of_downpayment": ("string", "((10 * random())::INT * 10) || '%'"),
    "driver_tenure": ("number", "CASE WHEN random() < 0.1 THEN NULL ELSE 5 * random() END"),
    "region": ("string", "'region ' || (40 * random() * random())::INT"),
    "age": ("integer", "18 + (70 * random())::INT"),
    "balance": ("number", "round(exp(9 * random()), 2)"),
}


class Folder:
    """Objects as files: what AddCaptures asks of `Storage`; nobody else writes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, _bucket: str, prefix: str, after: str = "") -> Iterator[dict[str, Any]]:
        found = (path for path in (self._root / prefix).rglob("*") if path.is_file())
        keys = sorted(path.relative_to(self._root).as_posix() for path in found)
        for key in keys:
            if key > after:
                size = (self._root / key).stat().st_size
                yield {"Key": key, "Size": size, "LastModified": HOUR}

    def find_tagged(self, place: Location) -> tuple[bytes, str] | None:
        path = self._root / place.key
        return (path.read_bytes(), "") if path.is_file() else None

    def get_bytes(self, place: Location, _limit: int) -> bytes:
        return (self._root / place.key).read_bytes()

    def get_json(self, place: Location) -> Any:
        return json.loads((self._root / place.key).read_bytes())

    def replace_json(self, place: Location, content: Any, _tag: str | None) -> bool:
        path = self._root / place.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return True

    def put_json_if_absent(self, place: Location, content: Any) -> bool:
        return self.replace_json(place, content, None)

    def download(self, place: Location, path: Path) -> str:
        shutil.copy(self._root / place.key, path)
        return ""

    def upload(self, path: Path, place: Location) -> None:
        target = self._root / place.key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


class Records:
    """A model of which one version has served since long before."""

    def __init__(self, project_version: str) -> None:
        self._model = ModelRecord(
            model=MODEL,
            project_version=project_version,
            published_at="2026-11-01T00:00:00.000Z",
            endpoint=ENDPOINT,
            package_group=ENDPOINT,
            approval="manual",
        )

    def get(self, *_: Any) -> ModelRecord:
        return self._model

    def query(self, *_: Any) -> Iterator[DeploymentRecord]:
        yield DeploymentRecord(
            model=MODEL,
            deployment="v1",
            status="live",
            endpoint=ENDPOINT,
            package_arn="",
            package_version=1,
            execution_arn="",
            cause="",
            started_at="2026-11-21T00:00:00.000Z",
            moving_since="2026-11-21T00:00:00.000Z",
            ended_at="2026-11-21T00:10:00.000Z",
        )


def write_captures(root: Path, rows: int, per_request: int) -> int:
    """Write an hour of captured records, a file a minute; return how many bytes."""
    row = "{" + ", ".join(f"{name}: {sql}" for name, (_, sql) in COLUMNS.items()) + "}"
    side = "{{data: {}::VARCHAR, encoding: 'JSON', mode: '{}', observedContentType: '{}'}}"
    kind = "application/json"
    asked = f"to_json({{instances: list({row})}})"
    told = "to_json({predictions: list({score: random(), label: (random() < 0.2)::INT})})"
    sides = f"{{endpointInput: {side.format(asked, 'INPUT', kind)}, "
    sides += f"endpointOutput: {side.format(told, 'OUTPUT', kind)}}}"
    total = 0
    with duckdb.connect(config={"memory_limit": "2GB"}) as db:
        for minute in range(60):
            at = HOUR + timedelta(minutes=minute)
            path = root / captures_folder(ENDPOINT) / f"{at:%Y/%m/%d/%H/%M}-30-000-0f3c.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            db.execute(
                f"COPY (SELECT {sides} AS captureData, {{eventId: uuid()::VARCHAR, inferenceTime: "
                f"'{at:%Y-%m-%dT%H:%M}:00Z', inferenceId: uuid()::VARCHAR}} AS eventMetadata, "
                f"'0' AS eventVersion FROM range({rows // 60}) t(i) GROUP BY i // {per_request}) "
                f"TO '{path}' (FORMAT json)"
            )
            total += path.stat().st_size
    return total


def publish(root: Path) -> str:
    """Write the project's archive; return its version."""
    with tempfile.TemporaryDirectory() as name:
        schema = {column: type_ for column, (type_, _) in COLUMNS.items()} | {"label": "integer"}
        content = {"name": MODEL, "data": {"label": "label", "schema": schema}}
        Path(name, "model.yaml").write_text(json.dumps(content))
        archive = build_archive(Path(name))
    path = root / archive_key(MODEL, archive.version)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive.content)
    return archive.version


def monitor(root: Path, project_version: str, megabytes: int) -> None:
    """Add everything, within so much memory of our own; print what it took."""
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))
    variables = dict.fromkeys(("AWS_REGION", "ACCOUNT_ID", "DATA_BUCKET", "BUS_NAME"), "")
    variables |= dict.fromkeys(("ARTIFACTS_BUCKET", "QUARANTINE_BUCKET", "LEDGER_TABLE"), "")
    variables |= dict.fromkeys(("JOB_ROLE_ARN", "SERVING_ROLE_ARN", "TABULAR_REPOSITORY"), "")
    variables |= dict.fromkeys(("KMS_KEY_ARN", "SUBNET_IDS", "SECURITY_GROUP_IDS"), "")
    variables |= {"MINUTE_SECONDS": "60", "ALARM_PERIOD_SECONDS": "60", "STACK_NAME": "headrace"}
    variables |= {"ENVIRONMENT": "dev", "NETWORK_ISOLATION": "false"}
    settings = Settings.from_mapping(variables)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as spill, closing(Engine(Path(spill), DUCKDB_MB)) as engine:
        read = partial(read_group, engine)
        world: Any = (settings, Records(project_version), Folder(root), read, lambda: 300.0)
        request = CapturesRequest(model=MODEL, at=HOUR.isoformat())
        answer = add_captures(request, Collector(*world), HOUR + timedelta(hours=1))
    took = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = used.ru_maxrss / 1024
    cpu = used.ru_utime + used.ru_stime
    print(f"{answer.rows:,} rows: {took:.1f} s, {cpu:.1f} CPU s, {peak:.0f} MB at most")
    folder = root / VersionFolder(MODEL, 1).slots
    for path in sorted(folder.iterdir()):
        document = SlotDocument.from_json(path.read_bytes())
        parts = sum((root / part.split("/", 3)[3]).stat().st_size for part in document.parts)
        print(
            f"{document.slot}: {len(document.files)} files, {len(document.parts)} parts of "
            f"{parts / 1e6:.0f} MB together, document of {path.stat().st_size / 1024:.0f} KB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--per-request", type=int, default=1)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--add", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.add:
        monitor(Path(given.add[0]), given.add[1], given.megabytes)
        return
    with tempfile.TemporaryDirectory() as name:
        size = write_captures(Path(name), given.rows, given.per_request)
        print(f"{given.rows:,} rows, {given.per_request} a request: {size / 1e6:.0f} MB of JSONL")
        version = publish(Path(name))
        again = [sys.executable, "-m", "benchmarks.monitoring", "--add", name, version]
        subprocess.run([*again, "--megabytes", str(given.megabytes)], check=True)


if __name__ == "__main__":
    main()
