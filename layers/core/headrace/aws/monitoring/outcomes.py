"""Outcomes arrive: each object is read once, its usable rows kept in their normal form.

An object is known by its key and its content (ETag), so that events that come twice, and objects
found by listing, are the same one. What was accepted is never judged again; what was refused is,
when it is sent again, since the project may have been corrected.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from pydantic import Field

from headrace import names
from headrace.aws.bus import Bus
from headrace.aws.datasets import MAX_REASON_LENGTH
from headrace.aws.ledger import Ledger
from headrace.aws.projects import find_model, load_definition
from headrace.aws.quarantine import Quarantine
from headrace.aws.storage import Location, Storage
from headrace.datasets.arrivals import is_folder_marker
from headrace.datasets.settings import InspectionSettings
from headrace.definition import ModelDefinition
from headrace.errors import MonitoringError
from headrace.events import OutcomesAccepted, OutcomesQuarantined
from headrace.monitoring.layout import outcome_part_key, outcomes_folder
from headrace.monitoring.outcomes import FORMATS, CheckedOutcomes, OutcomeRules, check_outcomes
from headrace.records import DatasetRecord, Key, OutcomesRecord, model_partition, now
from headrace_profiling.engine import Engine, temporary_engine

NOBODY = "_"  # stands for the model of an object that names none
_CALLED_ROWS = 10_000


class OutcomesSettings(InspectionSettings):
    """For the functions that read outcomes."""

    max_file_bytes: int = Field(
        alias="MAX_FILE_BYTES",
        gt=0,
        description="A larger file is quarantined: it, its rewritten form and spills must fit into "
        "the storage of the function that inspects it.",
    )


class Recorder(NamedTuple):
    """What recording outcomes needs."""

    settings: OutcomesSettings
    storage: Storage
    ledger: Ledger
    bus: Bus
    engine: Engine


@contextmanager
def recorder_of(settings: OutcomesSettings) -> Iterator[Recorder]:
    """Give what the functions that read outcomes have in common."""
    with temporary_engine(settings.duckdb_memory_mb) as engine:
        storage, ledger = Storage.of(settings.kms_key_arn), Ledger.of(settings.ledger_table)
        yield Recorder(settings, storage, ledger, Bus.of(settings.bus), engine)


class _Arrived(NamedTuple):
    """One version of an object, as S3 has it."""

    model: str
    digest: str
    source: Location
    size: int
    received_at: datetime


def outcomes_digest(key: str, etag: str) -> str:
    """Name an object of outcomes by where it is and what is in it."""
    return names.digest(key, etag.strip('"'), length=32)


def model_of(key: str) -> str:
    """Return the model that an object under `outcomes/` is of, or `_` when it names none."""
    parts = key.split("/", 2)
    return parts[1] if len(parts) == 3 and all(parts[1:]) else NOBODY


def record_rows(model: str, rows: Sequence[Mapping[str, Any]], aws: Recorder) -> OutcomesRecord:
    """Keep rows that a caller gives as an object like any other, and record it.

    Raises:
        MonitoringError: no model is called so, there are no rows, or too many for one call.
    """
    if find_model(aws.ledger, model) is None:
        raise MonitoringError(f"No project of model {model} is published: `headrace publish`.")
    if not 0 < len(rows) <= _CALLED_ROWS:
        raise MonitoringError(
            f"A call takes 1 to {_CALLED_ROWS} rows, these are {len(rows)}: put a file into "
            f"{outcomes_folder(model)} of the data bucket instead."
        )
    content = "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in rows).encode()
    key = f"{outcomes_folder(model)}{names.digest(content.decode(), length=32)}.jsonl"
    location = Location(aws.settings.data_bucket, key)
    aws.storage.put_bytes(location, content, "application/jsonlines")
    recorded = record_object(key, None, aws)
    if recorded is None:
        raise MonitoringError(f"{location.uri} holds no rows.")
    return recorded


def record_object(key: str, version_id: str | None, aws: Recorder) -> OutcomesRecord | None:
    """Judge and record one object under `outcomes/`, any number of times; None: a folder marker."""
    location = Location(aws.settings.data_bucket, key, version_id)
    head = aws.storage.head(location)
    if is_folder_marker(key, head["ContentLength"]):
        return None
    arrived = _Arrived(
        model_of(key),
        outcomes_digest(key, head["ETag"]),
        location._replace(version_id=version_id or head.get("VersionId", "null")),
        head["ContentLength"],
        head["LastModified"],
    )
    key_of_record = Key(pk=model_partition(arrived.model), sk=f"outcomes#{arrived.digest}")
    known = aws.ledger.get(OutcomesRecord, key_of_record)
    if known and (known.status == "accepted" or known.version_id == arrived.source.version_id):
        return known
    record = _judge(arrived, aws)
    # Announced first: said twice is better than never said.
    aws.bus.announce(_fact(record))
    if known:
        aws.ledger.put(record)
        return record
    return aws.ledger.create(record) or record


def record_unheard(model: str, aws: Recorder, most: int) -> list[OutcomesRecord]:
    """Record objects (at most `most`) that lie in S3 and were never heard of: lost events."""
    known = {
        record.digest
        for record in aws.ledger.query(OutcomesRecord, model_partition(model), "outcomes#")
    }
    unheard = [
        found["Key"]
        for found in aws.storage.list(aws.settings.data_bucket, outcomes_folder(model))
        if outcomes_digest(found["Key"], found["ETag"]) not in known
        and not is_folder_marker(found["Key"], found["Size"])
    ]
    recorded = [record_object(key, None, aws) for key in unheard[:most]]
    return [record for record in recorded if record]


def _judge(arrived: _Arrived, aws: Recorder) -> OutcomesRecord:
    problem, file_format = None, FORMATS.get(PurePosixPath(arrived.source.key).suffix.lower())
    model = find_model(aws.ledger, arrived.model)
    if model is None:
        problem = (
            f"No project of model {arrived.model} is published: `headrace publish`, then send the "
            "outcomes again."
        )
    elif file_format is None:
        problem = f"The name ends in none of {', '.join(FORMATS)}."
    elif arrived.size > aws.settings.max_file_bytes:
        problem = (
            f"The file has {arrived.size} bytes, more than the {aws.settings.max_file_bytes} that "
            "are read at once; split it."
        )
    if model is None or file_format is None or problem:
        return _record(arrived, CheckedOutcomes(problem=problem), aws)
    definition = load_definition(aws.storage, aws.settings, model.model, model.project_version)
    rules = OutcomeRules.of(definition, _types(definition, aws))
    if file_format != "jsonl":  # an A/B test reads no other
        rules = replace(rules, measure=None, measured=None)
    with TemporaryDirectory() as name:
        path, results = Path(name) / "file", Path(name) / "results"
        results.mkdir()
        aws.storage.download(arrived.source, path)
        checked = check_outcomes(path, file_format, results, rules, arrived.received_at, aws.engine)
        return _record(arrived, checked, aws)


def _record(arrived: _Arrived, checked: CheckedOutcomes, aws: Recorder) -> OutcomesRecord:
    """Keep what was found where it belongs; the record says it all."""
    quarantine = Quarantine(aws.storage, aws.settings.quarantine_bucket)
    reasons = [checked.problem] if checked.problem else checked.reasons
    folder = arrived.model if "/" not in arrived.model else NOBODY
    key = f"{folder}/_outcomes/{arrived.digest}/{PurePosixPath(arrived.source.key).name}"
    part = quarantined = None
    if checked.problem:
        quarantined = quarantine.keep(arrived.source, key, reasons)
    elif checked.bad_file:
        quarantined = quarantine.keep_rows(checked.bad_file, arrived.source, key, reasons)
    if checked.good_file and not checked.problem:
        target = outcome_part_key(arrived.model, arrived.digest)
        part = Location(aws.settings.artifacts_bucket, target)
        aws.storage.upload(checked.good_file, part)
    return OutcomesRecord(
        model=arrived.model,
        digest=arrived.digest,
        status="quarantined" if checked.problem else "accepted",
        object_key=arrived.source.key,
        version_id=str(arrived.source.version_id),
        received_at=_told(arrived.received_at),
        recorded_at=now(),
        rows=checked.rows,
        by_entity=checked.by_entity,
        duplicates=checked.duplicates,
        quarantined=checked.quarantined,
        measured=checked.measured,
        uri=part.uri if part else None,
        quarantine_uri=quarantined,
        reasons=[reason[:MAX_REASON_LENGTH] for reason in reasons],
    )


def _fact(record: OutcomesRecord) -> OutcomesAccepted | OutcomesQuarantined:
    if record.status == "quarantined":
        return OutcomesQuarantined(
            model=record.model,
            outcomes=record.digest,
            object_key=record.object_key,
            reasons=record.reasons,
        )
    return OutcomesAccepted(
        model=record.model,
        outcomes=record.digest,
        rows=record.rows,
        duplicates=record.duplicates,
        quarantined=record.quarantined,
        received_at=record.received_at,
    )


def label_and_entity(definition: ModelDefinition, aws: Recorder) -> tuple[str | None, str | None]:
    """Return the types of the label and of the entity's column, as far as they are known."""
    rules = OutcomeRules.of(definition, _types(definition, aws))
    return rules.label_type, rules.entity_type


def _types(definition: ModelDefinition, aws: Recorder) -> dict[str, str]:
    """Return the types of the data's columns: the schema's, or of the first dataset version."""
    if definition.data.columns:
        return {}  # the definition itself says them
    partition = model_partition(definition.name)
    datasets = list(aws.ledger.query(DatasetRecord, partition, "dataset#"))
    if not datasets:
        return {}
    first = min(datasets, key=lambda each: (each.accepted_at, each.dataset_version))
    key = f"datasets/{definition.name}/{first.dataset_version}/dataset.json"
    return dict(aws.storage.get_json(Location(aws.settings.data_bucket, key))["columns"])


def _told(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
