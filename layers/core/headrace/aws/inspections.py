"""The inspection of a sealed drop: planned, done in batches, assembled; by reference through S3."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from headrace.aws.drops import Drops, load_manifest
from headrace.aws.projects import find_model, load_definition
from headrace.aws.quarantine import Quarantine
from headrace.aws.storage import Location, Storage
from headrace.datasets.arrivals import MANIFEST, place, quarantine_key
from headrace.datasets.assembly import Assembly, assemble, file_names
from headrace.datasets.completeness import Manifest
from headrace.datasets.inspection import (
    FileTask,
    FileVerdict,
    Findings,
    InspectionPlan,
    broken_promise,
    content_hash,
    judge_findings,
    plan_inspection,
)
from headrace.datasets.settings import PlanSettings
from headrace.errors import DropError
from headrace.records import DatasetRecord, ObjectRecord, model_partition
from headrace.settings import Settings

_PLAN_LIMIT_BYTES = 64 << 20


class Inspected(NamedTuple):
    """What a look into one file gives: findings, and files of good and bad rows where needed."""

    findings: Findings
    good_file: Path | None
    bad_file: Path | None


Inspector = Callable[[Path, Path, InspectionPlan], Inspected]


def plan_drop(model: str, drop: str, settings: PlanSettings, drops: Drops, storage: Storage) -> int:
    """Write the plan for a sealed drop; return its number of batches.

    Raises:
        DropError: the ledger knows no such drop or model, so somebody started this by hand.
    """
    record, known = drops.find(model, drop), find_model(drops, model)
    if record is None or known is None:
        raise DropError(f"The ledger knows no drop {drop} of model {model}. Was it dropped in S3?")
    definition = load_definition(storage, settings, model, known.project_version)
    members = drops.members(model, drop)
    plan = plan_inspection(
        model,
        drop,
        known.project_version,
        definition,
        list(members.values()),
        _manifest(storage, settings, members),
        {} if definition.data.columns else _first_columns(model, settings, drops, storage),
        settings.max_file_bytes,
    )
    storage.put_bytes(
        _plan_location(settings, model, drop), plan.model_dump_json().encode(), "application/json"
    )
    return len(plan.batches)


def inspect_batch(
    model: str, drop: str, batch: int, settings: Settings, storage: Storage, look: Inspector
) -> int:
    """Inspect one batch of a plan and write its verdicts; return how many files were accepted."""
    plan = read_plan(model, drop, settings, storage)
    verdicts = [inspect_file(task, plan, settings, storage, look) for task in plan.batches[batch]]
    storage.put_json(
        _batch_location(settings, model, drop, batch),
        [verdict.model_dump(mode="json") for verdict in verdicts],
    )
    return sum(verdict.accepted for verdict in verdicts)


def inspect_file(
    task: FileTask, plan: InspectionPlan, settings: Settings, storage: Storage, look: Inspector
) -> FileVerdict:
    """Judge one file: download its pinned version, look into it, part good rows from bad."""
    quarantine = Quarantine(storage, settings.quarantine_bucket)
    source = Location(settings.data_bucket, task.key, task.version_id)
    verdict = FileVerdict(key=task.key, version_id=task.version_id, accepted=False)

    def refuse(reason: str, **what_is_known: object) -> FileVerdict:
        uri = quarantine.keep(source, quarantine_key(task.key), [reason])
        known = {"reasons": [reason], "quarantine_uri": uri, **what_is_known}
        return verdict.model_copy(update=known)

    if task.refusal:
        return refuse(task.refusal)
    with TemporaryDirectory() as name:
        folder = Path(name)
        path, results = folder / "file", folder / "results"
        results.mkdir()
        sha256 = storage.download(source, path)
        broken = broken_promise(task.promise, path.stat().st_size, sha256)
        if broken:
            return refuse(broken, sha256=sha256)
        found, good_file, bad_file = look(path, results, plan)
        problem = judge_findings(task.promise, found)
        if problem:
            return refuse(problem, sha256=sha256)
        rows_uri, content, content_bytes = None, source, path.stat().st_size
        if bad_file:
            key = quarantine_key(task.key)
            rows_uri = quarantine.keep_rows(bad_file, source, key, found.reasons)
        if good_file:
            content = Location(
                settings.artifacts_bucket,
                f"{_folder(plan.model, plan.drop)}/files/{sha256}.parquet",
            )
            content_bytes = good_file.stat().st_size
            storage.upload(good_file, content)
    return verdict.model_copy(
        update={
            "accepted": True,
            "reasons": found.reasons,
            "sha256": sha256,
            "content_hash": content_hash(sha256, plan.file_format, found),
            "content_uri": content.uri,
            "content_version_id": content.version_id,
            "content_bytes": content_bytes,
            "rows": found.rows - found.bad_rows,
            "quarantined_rows": found.bad_rows,
            "rows_uri": rows_uri,
            "columns": found.columns,
            "profile": found.profile,
        }
    )


def read_plan(model: str, drop: str, settings: Settings, storage: Storage) -> InspectionPlan:
    """Return the plan of a drop's inspection."""
    content = storage.get_bytes(_plan_location(settings, model, drop), _PLAN_LIMIT_BYTES)
    return InspectionPlan.model_validate_json(content)


def read_assembly(model: str, drop: str, settings: Settings, storage: Storage) -> Assembly:
    """Return what the batches of a drop came to together."""
    plan = read_plan(model, drop, settings, storage)
    verdicts = [
        FileVerdict.model_validate(verdict)
        for batch in range(len(plan.batches))
        for verdict in storage.get_json(
            _batch_location(settings, model, drop, batch), _PLAN_LIMIT_BYTES
        )
    ]
    return assemble(verdicts)


def copy_files(assembly: Assembly, folder: Location, storage: Storage) -> dict[str, str]:
    """Copy accepted files into a dataset's folder, within S3; return their names there by key."""
    names = file_names(assembly.accepted)

    def copy(verdict: FileVerdict) -> None:
        source = Location.of(str(verdict.content_uri))._replace(
            version_id=verdict.content_version_id
        )
        target = Location(folder.bucket, f"{folder.key}/{names[verdict.key]}")
        storage.copy(source, target, verdict.content_bytes)

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(copy, assembly.accepted))
    return names


def _manifest(
    storage: Storage, settings: Settings, members: Mapping[str, ObjectRecord]
) -> Manifest | str | None:
    """Return the manifest of a drop, why it cannot be read, or None when there is none."""
    record = next((m for key, m in members.items() if place(key).path == MANIFEST), None)
    if record is None:
        return None
    try:
        return load_manifest(storage, settings.data_bucket, record)
    except DropError as error:
        return str(error)


def _first_columns(
    model: str, settings: Settings, drops: Drops, storage: Storage
) -> dict[str, str]:
    """Return the columns of a model's first dataset version, or none when there is none yet."""
    datasets = list(drops.query(DatasetRecord, model_partition(model), "dataset#"))
    if not datasets:
        return {}
    first = min(datasets, key=lambda d: (d.accepted_at, d.dataset_version))
    content = storage.get_json(
        Location(settings.data_bucket, f"datasets/{model}/{first.dataset_version}/dataset.json")
    )
    return dict(content["columns"])


def _folder(model: str, drop: str) -> str:
    return f"inspections/{model}/{drop}"


def _plan_location(settings: Settings, model: str, drop: str) -> Location:
    return Location(settings.artifacts_bucket, f"{_folder(model, drop)}/plan.json")


def _batch_location(settings: Settings, model: str, drop: str, batch: int) -> Location:
    return Location(settings.artifacts_bucket, f"{_folder(model, drop)}/batch-{batch}.json")
