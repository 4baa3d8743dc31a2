"""Captured traffic becomes slot documents: each capture file is read once, whoever runs when.

A document is written only if it still is the one that was read (S3's conditional writes), and names
the files that are in it. Its part of the predictions is written before; what no document names
does not exist.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pydantic import BaseModel

from headrace import names
from headrace.aws.ledger import Ledger
from headrace.aws.monitoring.baselines import find_baseline
from headrace.aws.projects import find_model, load_definition
from headrace.aws.storage import Location, Storage
from headrace.definition import ModelDefinition
from headrace.errors import MonitoringError, SlotBusyError
from headrace.monitoring.baseline import Baseline
from headrace.monitoring.layout import (
    OWN_REQUESTS,
    Slot,
    VersionFolder,
    captures_folder,
    input_column,
    slot_name,
    slot_of_key,
    slot_start,
)
from headrace.monitoring.slots import (
    CaptureFile,
    ServingTimes,
    SlotDocument,
    SlotSegment,
    SlotsState,
    by_slot,
    groups,
    keys_between,
    serving_times,
)
from headrace.records import DeploymentRecord, ModelRecord, model_partition
from headrace.settings import Settings
from headrace_profiling import Profile
from headrace_profiling.engine import Engine
from headrace_profiling.served import Served, Wanted, profile_served, read_served

# Read together: so much is on disk at once, three times over, and is a part of the predictions.
GROUP_BYTES = 128 << 20
_DOWNLOADS = 8
_TRIES = 8
_PAUSE_SECONDS = 0.2
# What is left undone when there is less time than this, or than the longest group took twice over.
_RESERVE_SECONDS = 15.0
_DAY = timedelta(days=1)


class CapturesRequest(BaseModel):
    """What AddCaptures is asked: to look now; `at`, the time the run is of, is for those after."""

    model: str
    at: str


class CapturesAnswer(BaseModel):
    """What was added in this run; `more` says that there was no time for all."""

    more: bool = False
    files: int = 0
    rows: int = 0
    left_out: int = 0
    unreadable: int = 0


class Reading(NamedTuple):
    """What files held: the table of their rows, and the profiles of it and of segments of it."""

    served: Served
    inputs: Profile
    predictions: Profile
    segments: dict[str, dict[str, SlotSegment]]


Segments = Mapping[str, Sequence[str]]
Reader = Callable[[Mapping[Path, datetime], Path, Wanted, Segments], Reading]


class Collector(NamedTuple):
    """What adding captures needs; `remaining` tells how many seconds are left."""

    settings: Settings
    ledger: Ledger
    storage: Storage
    read: Reader
    remaining: Callable[[], float]


class _Version(NamedTuple):
    """A version whose traffic is added, and how it is read."""

    folder: VersionFolder
    times: ServingTimes
    seconds: int
    wanted: Wanted
    segments: Segments


def read_group(
    engine: Engine,
    files: Mapping[Path, datetime],
    target: Path,
    wanted: Wanted,
    segments: Segments,
) -> Reading:
    """Read files with DuckDB; the table of their rows is written to `target`."""
    with engine.session() as connection:
        served = read_served(connection, files, target, wanted)
        inputs, predictions = profile_served(connection, served, wanted)
        parts = {
            column: {
                value: _segment(*profile_served(connection, served, wanted, (column, value)))
                for value in values
            }
            for column, values in segments.items()
            if served.rows
        }
    return Reading(served, inputs, predictions, parts)


def add_captures(request: CapturesRequest, aws: Collector, now: datetime) -> CapturesAnswer:
    """Add the capture files that no slot document has yet, the oldest first.

    Raises:
        MonitoringError: the model is not published, or a document cannot be read.
        SlotBusyError: others write the same documents all the time; again is harmless.
    """
    model = find_model(aws.ledger, request.model)
    if model is None:
        raise MonitoringError(f"No project {request.model!r} is published: nothing to monitor.")
    definition = load_definition(aws.storage, aws.settings, model.model, model.project_version)
    # Files first, then who answered: so the ledger knows every deployment that records in them may
    # have met.
    files = {
        times.package_version: _list_files(model, times, now, aws)
        for times in _serving_times(model, aws)
        if not _state(model, times, definition, aws).has_all(times)
    }
    answer = CapturesAnswer()
    longest = 0.0
    for times in _serving_times(model, aws):
        if times.package_version not in files:
            continue
        version = _version(model, times, definition, aws)
        for slot, inside in by_slot(files[times.package_version], times, version.seconds).items():
            known = set(_find(version, slot, aws)[0].files)
            new = [file for file in inside if file.key not in known]
            for group in groups(new, GROUP_BYTES):
                if answer.files and aws.remaining() < max(_RESERVE_SECONDS, 2 * longest):
                    return answer.model_copy(update={"more": True})
                began = time.monotonic()
                answer = _count(answer, _add(version, slot, group, aws))
                longest = max(longest, time.monotonic() - began)
        if times.is_over(now):
            place = Location(aws.settings.artifacts_bucket, version.folder.width_key)
            state = SlotsState(seconds=version.seconds, until=times.until)
            aws.storage.put_json(place, state.model_dump(mode="json"))
    return answer


def _state(
    model: ModelRecord, times: ServingTimes, definition: ModelDefinition, aws: Collector
) -> SlotsState:
    """Return how wide a version's slots are: who looks first decides, so that none overlap."""
    folder = VersionFolder(model.model, times.package_version)
    place = Location(aws.settings.artifacts_bucket, folder.width_key)
    found = aws.storage.find_tagged(place)
    if found is None:
        wide = SlotsState(seconds=definition.monitoring.schedule)
        if aws.storage.put_json_if_absent(place, wide.model_dump(mode="json")):
            return wide
    return SlotsState.model_validate(aws.storage.get_json(place))


def _serving_times(model: ModelRecord, aws: Collector) -> list[ServingTimes]:
    partition = model_partition(model.model)
    return serving_times(aws.ledger.query(DeploymentRecord, partition, "deployment#"))


def _list_files(
    model: ModelRecord, times: ServingTimes, now: datetime, aws: Collector
) -> list[CaptureFile]:
    """Return the files that may be in no document of a version yet."""
    bucket, folder = (
        aws.settings.artifacts_bucket,
        VersionFolder(model.model, times.package_version),
    )
    newest = None
    for after in (folder.slot_key(slot_name(now - _DAY)), ""):
        keys = [each["Key"] for each in aws.storage.list(bucket, folder.slots, after)]
        if keys:
            newest = slot_start(slot_of_key(max(keys)))
            break
    first, last = keys_between(model.endpoint, times, newest)
    listed = aws.storage.list(bucket, captures_folder(model.endpoint), first)
    inside = takewhile(lambda each: last is None or each["Key"] < last, listed)
    return [CaptureFile.of(each) for each in inside if each["Size"]]


def _version(
    model: ModelRecord, times: ServingTimes, definition: ModelDefinition, aws: Collector
) -> _Version:
    known = find_baseline(model.model, times.run, aws.settings.artifacts_bucket, aws.storage)
    baseline = known if isinstance(known, Baseline) else None
    return _Version(
        VersionFolder(model.model, times.package_version),
        times,
        _state(model, times, definition, aws).seconds,
        _wanted(times, definition, baseline),
        {column: list(each) for column, each in baseline.segments.items()} if baseline else {},
    )


def _wanted(times: ServingTimes, definition: ModelDefinition, baseline: Baseline | None) -> Wanted:
    """Return how the version's traffic is read: by its baseline, or by the project's schema."""
    data = definition.data
    aside = {data.label, data.entity or "", data.event_time or "", *data.exclude}
    label = "null"
    if baseline:
        columns = Profile.from_dict(baseline.inputs).columns
        inputs = {name: column.type for name, column in columns.items()}
        answers = Profile.from_dict(baseline.predictions).columns
        label = answers["label"].type if "label" in answers else label
    else:
        declared = {name: data.column(name) for name in data.columns if name not in aside}
        inputs = {name: column.type for name, column in declared.items() if column}
    return Wanted(
        inputs=inputs,
        within=times.alone,
        left_out=times.leaving,
        own=(OWN_REQUESTS,),
        aside=aside - set(inputs),
        label=label,
        column=input_column,
    )


def _add(version: _Version, slot: Slot, group: list[CaptureFile], aws: Collector) -> SlotDocument:
    """Add files to a slot's document; return what was added of them, by us.

    Whoever else adds some of them at the same time wins or loses as a whole.
    """
    nothing = SlotDocument(slot=slot.name, seconds=slot.seconds)
    while group:
        more = _read(version, slot, group, aws)
        for attempt in range(_TRIES):
            document, tag = _find(version, slot, aws)
            if set(more.files) & set(document.files):
                break
            merged = document.adding(more).model_dump(mode="json")
            place = Location(aws.settings.artifacts_bucket, version.folder.slot_key(slot.name))
            if aws.storage.replace_json(place, merged, tag):
                return more
            time.sleep(random.uniform(0, _PAUSE_SECONDS * (attempt + 1)))  # noqa: S311 — jitter
        else:
            raise SlotBusyError(
                f"Slot {slot.name} of {version.folder.prefix} was written by others {_TRIES} times "
                "in a row. It will be tried again."
            )
        group = [file for file in group if file.key not in set(document.files)]
    return nothing


def _find(version: _Version, slot: Slot, aws: Collector) -> tuple[SlotDocument, str | None]:
    """Return a slot's document and its tag, or one without files."""
    place = Location(aws.settings.artifacts_bucket, version.folder.slot_key(slot.name))
    found = aws.storage.find_tagged(place)
    if found is None:
        return SlotDocument(slot=slot.name, seconds=slot.seconds), None
    return SlotDocument.from_json(found[0]), found[1]


def _read(version: _Version, slot: Slot, group: list[CaptureFile], aws: Collector) -> SlotDocument:
    """Write the files' part of the predictions; return the document of these files alone."""
    bucket = aws.settings.artifacts_bucket
    keys = sorted(file.key for file in group)
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = {folder / f"{number}.jsonl": file for number, file in enumerate(group)}
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            places = [Location(bucket, file.key) for file in paths.values()]
            list(pool.map(aws.storage.download, places, paths))
        times = {path: file.time for path, file in paths.items()}
        read = aws.read(times, folder / "part.parquet", version.wanted, version.segments)
        served = read.served
        part = Location(bucket, version.folder.predictions_key(slot.name, names.digest(*keys)))
        if served.rows:
            aws.storage.upload(served.table, part)
    return SlotDocument(
        slot=slot.name,
        seconds=slot.seconds,
        files=keys,
        parts=[part.uri] if served.rows else [],
        rows=served.rows,
        left_out=served.left_out,
        unreadable=dict(sorted(served.unreadable.items())),
        inputs=read.inputs.as_dict(),
        predictions=read.predictions.as_dict(),
        segments=read.segments,
    )


def _segment(inputs: Profile, predictions: Profile) -> SlotSegment:
    return SlotSegment(inputs=inputs.as_dict(), predictions=predictions.as_dict())


def _count(answer: CapturesAnswer, added: SlotDocument) -> CapturesAnswer:
    return answer.model_copy(
        update={
            "files": answer.files + len(added.files),
            "rows": answer.rows + added.rows,
            "left_out": answer.left_out + added.left_out,
            "unreadable": answer.unreadable + sum(added.unreadable.values()),
        }
    )
