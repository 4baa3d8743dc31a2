"""Which files of a sealed drop are looked at, in which batches, and what each came to.

Plans and findings travel by S3 (`inspections/<model>/<drop>/`), never in a state machine's payload.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from headrace.datasets.arrivals import CONTROL_FILES, place
from headrace.datasets.completeness import Manifest, ManifestFile
from headrace.definition import Column, ModelDefinition
from headrace.records import ObjectRecord

# A batch is one Lambda invocation: a usual drop is one batch, 500 small files are ten. A core was
# measured to inspect 11 MB of parquet or 4 MB of CSV a second: 512 MiB stay within Lambda's 15 min.
BATCH_FILES = 50
BATCH_BYTES = 512 << 20
# An inline Map's whole execution may have 25,000 history events, about 10 per batch.
MAX_FILES = 50_000


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileTask(_Value):
    """One object to look at, or to quarantine at once when there is a `refusal`."""

    key: str
    path: str
    version_id: str
    size: int
    promise: ManifestFile | None = None
    refusal: str | None = None


class InspectionPlan(_Value):
    """All that the inspection of one drop needs to know."""

    model: str
    drop: str
    project_version: str
    file_format: Literal["parquet", "csv", "jsonl"]
    label: str
    columns: dict[str, Column]
    batches: tuple[tuple[FileTask, ...], ...]


class Findings(_Value):
    """What the inspection of one file's contents found; `problem` refuses all of it."""

    problem: str | None = None
    rows: int = 0
    bad_rows: int = 0
    reasons: list[str] = []
    columns: dict[str, str] = {}
    excluded: str = ""
    profile: dict[str, Any] = {}


class FileVerdict(_Value):
    """What became of one file.

    `content_uri` is what goes into the dataset version, `quarantine_uri` where a refused file is
    kept, `rows_uri` where the bad rows of an accepted one are.
    """

    key: str
    version_id: str
    accepted: bool
    reasons: list[str] = []
    sha256: str | None = None
    content_hash: str | None = None
    content_uri: str | None = None
    content_version_id: str | None = None
    content_bytes: int | None = None
    rows: int = 0
    quarantined_rows: int = 0
    quarantine_uri: str | None = None
    rows_uri: str | None = None
    columns: dict[str, str] = {}
    profile: dict[str, Any] = {}


def plan_inspection(
    model: str,
    drop: str,
    project_version: str,
    definition: ModelDefinition,
    objects: Sequence[ObjectRecord],
    manifest: Manifest | str | None,
    known_columns: Mapping[str, str],
    max_file_bytes: int,
) -> InspectionPlan:
    """Plan the inspection of a sealed drop.

    `manifest` is a text when it cannot be read: the reason to refuse every file.
    `known_columns` are those of the model's first dataset version, for a model without a schema.
    """
    data = definition.data
    declared = {name: column for name in data.columns if (column := data.column(name))}
    tasks: list[FileTask] = []
    for record in sorted(objects, key=lambda o: o.object_key):
        path = place(record.object_key).path
        if path in CONTROL_FILES:
            continue
        promise = manifest.by_path.get(path) if isinstance(manifest, Manifest) else None
        task = FileTask(
            key=record.object_key,
            path=path,
            version_id=record.version_id,
            size=record.size,
            promise=promise,
        )
        refusal = _refusal(task, manifest, max_file_bytes)
        if refusal is None and len(tasks) >= MAX_FILES:
            refusal = f"The drop has more than {MAX_FILES} files; split it into several drops."
        tasks.append(task.model_copy(update={"refusal": refusal}))
    return InspectionPlan(
        model=model,
        drop=drop,
        project_version=project_version,
        file_format=data.format,
        label=data.label,
        columns=declared
        or {name: Column.model_validate({"type": type_}) for name, type_ in known_columns.items()},
        batches=_batches(tasks),
    )


def broken_promise(promise: ManifestFile | None, size: int, sha256: str) -> str | None:
    """Return how a file differs from what the manifest promised, or None."""
    if promise is None:
        return None
    if promise.size is not None and promise.size != size:
        return f"The manifest promises {promise.size} bytes, the file has {size}: it was cut."
    if promise.sha256 is not None and promise.sha256 != sha256:
        return (
            f"The manifest promises sha256 {promise.sha256[:12]}…, the file has {sha256[:12]}…: "
            "its content is not what was sent."
        )
    return None


def judge_findings(promise: ManifestFile | None, findings: Findings) -> str | None:
    """Return why a file as a whole is refused, or None."""
    if findings.problem:
        return findings.problem
    if promise and promise.rows is not None and promise.rows != findings.rows:
        return f"The manifest promises {promise.rows} rows, the file has {findings.rows}."
    return None


def content_hash(sha256: str, file_format: str, findings: Findings) -> str:
    """Return the hash of what a file gives to a dataset version.

    It is the file's own when all of it is taken as it is. Else it follows from the file, what was
    left out and the types it was read as, never from the bytes some version of a writer made.
    """
    if file_format == "parquet" and not findings.excluded:
        return sha256
    types = ",".join(f"{name}:{type_}" for name, type_ in sorted(findings.columns.items()))
    text = "\n".join((sha256, findings.excluded, "" if file_format == "parquet" else types))
    return hashlib.sha256(text.encode()).hexdigest()


def _refusal(task: FileTask, manifest: Manifest | str | None, max_file_bytes: int) -> str | None:
    if isinstance(manifest, str):
        return manifest
    if manifest is not None and task.promise is None:
        return "The manifest does not name this file; drop it again in a drop that does."
    if task.size > max_file_bytes:
        return (
            f"The file has {task.size} bytes, larger than the {max_file_bytes} one file may have; "
            "split it."
        )
    if task.promise and task.promise.size is not None and task.promise.size != task.size:
        return broken_promise(task.promise, task.size, "")
    return None


def _batches(tasks: Sequence[FileTask]) -> tuple[tuple[FileTask, ...], ...]:
    batches: list[list[FileTask]] = []
    room = 0
    for task in tasks:
        size = 0 if task.refusal else task.size
        if not batches or len(batches[-1]) == BATCH_FILES or size > room:
            batches.append([])
            room = BATCH_BYTES
        batches[-1].append(task)
        room -= size
    return tuple(tuple(batch) for batch in batches)
