"""Dataset versions: written once, recorded, and every object of the drop given its verdict."""

from collections.abc import Callable, Sequence
from typing import Any

from headrace.aws.drops import Drops
from headrace.aws.inspections import copy_files, read_assembly
from headrace.aws.quarantine import Quarantine
from headrace.aws.storage import Location, Storage
from headrace.datasets.arrivals import quarantine_key
from headrace.datasets.assembly import Assembly
from headrace.datasets.inspection import FileVerdict
from headrace.errors import DropError
from headrace.events import DatasetAccepted, DropQuarantined
from headrace.records import DatasetRecord, DropRecord, Key, ObjectRecord, model_partition, now
from headrace.settings import Settings

# An event may have 256 KB and a ledger item 400: of a long list of reasons people read the head.
MAX_REASONS = 20
MAX_REASON_LENGTH = 500

MergeProfiles = Callable[[Sequence[dict[str, Any]]], dict[str, Any]]


def assemble_dataset(
    model: str,
    drop: str,
    profile: MergeProfiles,
    settings: Settings,
    drops: Drops,
    storage: Storage,
) -> DatasetAccepted | DropQuarantined:
    """Turn an inspected drop into a dataset version or quarantine, and record it; repeatable.

    `profile` merges the profiles of files. The same contents as an earlier version are that
    version: nothing is written for them but the drop's verdict.

    Raises:
        DropError: the ledger knows no such drop.
    """
    record = drops.find(model, drop)
    if record is None:
        raise DropError(f"The ledger knows no drop {drop} of model {model}. Was it dropped in S3?")
    assembly = read_assembly(model, drop, settings, storage)
    members = drops.members(model, drop)
    verdicts = _quarantine_late_refusals(assembly, settings, storage)
    reasons = [reason[:MAX_REASON_LENGTH] for reason in assembly.reasons[:MAX_REASONS]]
    if len(assembly.reasons) > MAX_REASONS:
        reasons.append(f"and {len(assembly.reasons) - MAX_REASONS} more: see each object's record")
    dataset = _write_dataset(record, assembly, members, profile, settings, drops, storage)
    if dataset and dataset.drop != drop:
        reasons.insert(
            0,
            f"The contents are those of dataset {dataset.dataset_version} from drop "
            f"{dataset.drop}: no new version.",
        )
    drops.put_all(_judge_objects(members, verdicts, dataset, settings, storage))
    counts = {
        "rows": assembly.rows,
        "files": len(assembly.accepted),
        "quarantined_files": assembly.quarantined_files,
        "quarantined_rows": assembly.quarantined_rows,
    }
    version = dataset.dataset_version if dataset else None
    drops.update(
        record.key(),
        {
            "state": "accepted" if dataset else "quarantined",
            "ended_at": now(),
            "dataset_version": version,
            "reasons": reasons,
            **counts,
        },
        # A failed drop gets here when its execution is redriven.
        expect={"state": record.state if record.state == "failed" else "sealed"},
    )
    if version is None:
        return DropQuarantined(model=model, drop=drop, reasons=reasons)
    return DatasetAccepted(model=model, drop=drop, dataset_version=version, **counts)


def _write_dataset(
    drop: DropRecord,
    assembly: Assembly,
    members: dict[str, ObjectRecord],
    profile: MergeProfiles,
    settings: Settings,
    drops: Drops,
    storage: Storage,
) -> DatasetRecord | None:
    """Write the dataset version unless it is there; return its record, or None without contents."""
    if assembly.version is None:
        return None
    key = Key(pk=model_partition(drop.model), sk=f"dataset#{assembly.version}")
    existing = drops.get(DatasetRecord, key)
    if existing is not None:
        return existing
    folder = Location(settings.data_bucket, f"datasets/{drop.model}/{assembly.version}")
    names = copy_files(assembly, folder, storage)
    description = Location(folder.bucket, f"{folder.key}/dataset.json")
    # The description is the truth: it comes after the files, the first writer's stays, and every
    # writer makes the same record from it.
    storage.put_json_if_absent(
        description,
        {
            "schema_version": 1,
            "model": drop.model,
            "dataset_version": assembly.version,
            "drop": drop.drop,
            "created_at": now(),
            "rows": assembly.rows,
            "columns": dict(assembly.columns),
            "files": [_describe(v, names[v.key], members[v.key]) for v in assembly.accepted],
            "profile": profile([v.profile for v in assembly.accepted]),
        },
    )
    written = storage.get_json(description)
    record = DatasetRecord(
        model=drop.model,
        dataset_version=assembly.version,
        drop=written["drop"],
        uri=f"{folder.uri}/",
        rows=written["rows"],
        files=len(written["files"]),
        accepted_at=written["created_at"],
    )
    return drops.create(record) or record


def _describe(verdict: FileVerdict, name: str, source: ObjectRecord) -> dict[str, Any]:
    return {
        "name": name,
        "rows": verdict.rows,
        "content_hash": verdict.content_hash,
        "source": {
            "key": verdict.key,
            "version_id": verdict.version_id,
            "sequencer": source.sequencer,
            "etag": source.etag,
            "sha256": verdict.sha256,
            "quarantined_rows": verdict.quarantined_rows,
        },
    }


def _quarantine_late_refusals(
    assembly: Assembly, settings: Settings, storage: Storage
) -> dict[str, FileVerdict]:
    """Return the verdicts by key, quarantining those that only the other files made refusals."""
    quarantine = Quarantine(storage, settings.quarantine_bucket)
    verdicts = {}
    for verdict in assembly.verdicts:
        kept = verdict
        if not verdict.accepted and verdict.quarantine_uri is None:
            source = Location(settings.data_bucket, verdict.key, verdict.version_id)
            uri = quarantine.keep(source, quarantine_key(verdict.key), verdict.reasons)
            kept = verdict.model_copy(update={"quarantine_uri": uri})
        verdicts[verdict.key] = kept
    return verdicts


def _judge_objects(
    members: dict[str, ObjectRecord],
    verdicts: dict[str, FileVerdict],
    dataset: DatasetRecord | None,
    settings: Settings,
    storage: Storage,
) -> list[ObjectRecord]:
    """Give every object of the drop its verdict; manifest and markers share the drop's."""
    judged = []
    for record in members.values():
        verdict = verdicts.get(record.object_key)
        if verdict is not None:
            changes: dict[str, Any] = {
                "reasons": verdict.reasons,
                "sha256": verdict.sha256,
                "rows": verdict.rows if verdict.accepted else None,
                "quarantined_rows": verdict.quarantined_rows,
                "quarantine_uri": verdict.quarantine_uri or verdict.rows_uri,
            }
            accepted = verdict.accepted
        else:
            changes, accepted = {}, dataset is not None
            if not accepted:
                reason = "Nothing of the drop could be used, so this is not needed either."
                source = Location(settings.data_bucket, record.object_key, record.version_id)
                uri = Quarantine(storage, settings.quarantine_bucket).keep(
                    source, quarantine_key(record.object_key), [reason]
                )
                changes = {"reasons": [reason], "quarantine_uri": uri}
        changes["verdict"] = "accepted" if accepted else "quarantined"
        changes["dataset_version"] = dataset.dataset_version if accepted and dataset else None
        judged.append(record.model_copy(update=changes))
    return judged
