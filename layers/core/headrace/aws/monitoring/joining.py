"""Joins outcomes to predictions, slot by slot, as far as there is anything new.

What was joined is in one document of the model, written last; the documents of slots before it, and
each only if it still is what it was at the start: whoever is overtaken begins again.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel

from headrace import names
from headrace.aws.monitoring.joinings import load_joinings
from headrace.aws.monitoring.outcomes import Recorder, record_unheard
from headrace.aws.projects import find_model, load_definition
from headrace.aws.storage import Location
from headrace.definition import ModelDefinition
from headrace.errors import MonitoringError, SlotBusyError
from headrace.monitoring.joining import EARLY, Joiner, Joining, SlotOf
from headrace.monitoring.layout import VersionFolder, slot_of_key
from headrace.monitoring.section import Quality
from headrace.monitoring.slots import SlotDocument
from headrace.records import OutcomesRecord, model_partition

_TRIES = 5
_DOWNLOADS = 16
# Predictions of so many slots are on disk at once; objects of lost events judged in one run.
_MOST_SLOTS = 100
_MOST_UNHEARD = 200
_VERSION = re.compile(r"v(\d+)")


class JoinRequest(BaseModel):
    """What JoinOutcomes is asked; `at`, the time the run is of, is for the steps after."""

    model: str
    at: str | None = None


class JoinAnswer(BaseModel):
    """What was joined; `more` says that there was no time for all."""

    recorded: int = 0
    slots: int = 0
    predictions: int = 0
    outcomes: int = 0
    more: bool = False


class SlotState(BaseModel):
    """A slot as it was joined last: `tag` is its document's ETag, `mark` stands for the rules."""

    tag: str
    mark: str
    seconds: int
    rows: int
    first: AwareDatetime
    last: AwareDatetime
    closed: bool = False


class JoinState(BaseModel):
    """What was joined so far: parts of outcomes, and slots by package version."""

    parts: list[str] = []
    slots: dict[int, dict[str, SlotState]] = {}

    def all_slots(self) -> dict[SlotOf, SlotState]:
        """Return the slots of all versions."""
        return {
            SlotOf(version, slot): state
            for version, slots in self.slots.items()
            for slot, state in slots.items()
        }


class _Overtaken(Exception):  # noqa: N818 — a finding, handled here
    """Somebody else joined meanwhile."""


class _Work(NamedTuple):
    """One pass: everything that was read at its start."""

    model: str
    joinings: Mapping[int, Joining]
    wait: timedelta
    records: Mapping[str, OutcomesRecord]
    tags: Mapping[SlotOf, str]
    folder: Path


def join_outcomes(
    request: JoinRequest, aws: Recorder, now: datetime, remaining: Callable[[], float]
) -> JoinAnswer:
    """Record what no event told of, then join what is new; `remaining` gives the seconds left.

    `now` is the time at which this begins: what was received by then is seen.

    Raises:
        MonitoringError: the model is not published, or a document cannot be read.
        SlotBusyError: others join all the time; again is harmless.
    """
    model = find_model(aws.ledger, request.model)
    if model is None:
        raise MonitoringError(f"No project {request.model!r} is published: nothing to join.")
    definition = load_definition(aws.storage, aws.settings, model.model, model.project_version)
    unheard = record_unheard(model.model, aws, _MOST_UNHEARD)
    answer = JoinAnswer(recorded=len(unheard))
    if definition.monitoring.quality is None and definition.monitoring.bias is None:
        return answer
    budget = remaining()
    while True:
        joined = _join(definition, now, aws, all_heard=len(unheard) < _MOST_UNHEARD)
        answer = JoinAnswer(
            recorded=answer.recorded,
            slots=answer.slots + joined.slots,
            predictions=answer.predictions + joined.predictions,
            outcomes=answer.outcomes + joined.outcomes,
            more=joined.more,
        )
        if not joined.more or remaining() < budget / 2:
            return answer


def _join(
    definition: ModelDefinition, now: datetime, aws: Recorder, *, all_heard: bool
) -> JoinAnswer:
    for _ in range(_TRIES):
        try:
            with TemporaryDirectory() as folder:
                return _pass(definition, now, Path(folder), aws, all_heard=all_heard)
        except _Overtaken:
            continue
    raise SlotBusyError(
        f"Others joined outcomes of {definition.name} {_TRIES} times meanwhile. "
        "It will be tried again."
    )


def _pass(
    definition: ModelDefinition, now: datetime, folder: Path, aws: Recorder, *, all_heard: bool
) -> JoinAnswer:
    model, bucket = definition.name, aws.settings.artifacts_bucket
    place = Location(bucket, f"monitoring/{model}/joined.json")
    versions = _versions(model, aws)
    # First of all: documents are replaced only if they are what they were before the rest was read.
    tags = _list_tags({v: VersionFolder(model, v).qualities for v in versions}, aws)
    found = aws.storage.find_tagged(place)
    state = JoinState.model_validate_json(found[0]) if found else JoinState()
    documents = _list_tags({v: VersionFolder(model, v).slots for v in versions}, aws)
    quality = definition.monitoring.quality or Quality()
    known = state.all_slots()
    opened = {of: each for of, each in known.items() if not each.closed}
    joinings = load_joinings(definition, quality, {of.version for of in documents}, aws)
    marks = {version: _mark(joining) for version, joining in joinings.items()}
    changed = sorted(
        of
        for of, tag in documents.items()
        if of not in known
        or known[of].tag != tag
        or (of in opened and known[of].mark != marks[of.version])
    )
    records = {
        record.digest: record
        for record in aws.ledger.query(OutcomesRecord, model_partition(model), "outcomes#")
        if record.uri
    }
    wait = timedelta(seconds=quality.wait)
    work = _Work(model, joinings, wait, records, tags, folder)
    taken = changed[:_MOST_SLOTS]
    answer = _work_off(work, state, {of: documents[of] for of in taken}, marks, aws)
    more = len(changed) > len(taken)
    closed = 0
    for of, slot in state.all_slots().items():
        if not slot.closed and all_heard and not more and now > slot.last + wait:
            state.slots[of.version][of.slot] = slot.model_copy(update={"closed": True})
            closed += 1
    if answer.slots or closed or taken or set(state.parts) != _recent(work, state):
        state.parts = sorted(_recent(work, state))
        tag = found[1] if found else None
        if not aws.storage.replace_json(place, state.model_dump(mode="json"), tag):
            raise _Overtaken
    return answer.model_copy(update={"more": more})


def _work_off(
    work: _Work,
    state: JoinState,
    changed: Mapping[SlotOf, str],
    marks: Mapping[int, str],
    aws: Recorder,
) -> JoinAnswer:
    """Join what is new, and write it into `state`."""
    documents = _read_documents(work, changed, aws)
    local: dict[SlotOf, list[Path]] = {}
    keys: dict[SlotOf, Path] = {}
    with aws.engine.session() as connection:
        keeper = Joiner(connection, {})
        for of, document in documents.items():
            local[of] = _download(document.parts, work.folder, aws)
            keys[of] = work.folder / f"keys-{of.version}-{of.slot}.parquet"
            bounds = keeper.write_keys(local[of], keys[of], work.joinings[of.version])
            slot = SlotState(
                tag=changed[of],
                mark=marks[of.version],
                seconds=document.seconds,
                rows=bounds.rows,
                first=bounds.first or document.span.start,
                last=bounds.last or document.span.end,
            )
            aws.storage.upload(keys[of], _keys_of(work, of, slot, aws))
            state.slots.setdefault(of.version, {})[of.slot] = slot
    slots = state.all_slots()
    fresh = _recent(work, state) - set(state.parts)
    relevant = _relevant(slots, changed, work, everything=bool(fresh))
    if not relevant:
        return JoinAnswer()
    _fetch_keys(work, slots, relevant, keys, aws)
    since = min(slots[of].first for of in relevant) - EARLY
    until = max(slots[of].last for of in relevant) + work.wait
    wanted = {
        digest: record
        for digest, record in work.records.items()
        if since <= datetime.fromisoformat(record.received_at) <= until
    }
    files = _download([str(record.uri) for record in wanted.values()], work.folder, aws)
    answer = JoinAnswer()
    with aws.engine.session() as connection:
        joiner = Joiner(connection, dict(zip(wanted, files, strict=True)))
        concerned = joiner.concerned(keys, fresh, changed, int(work.wait.total_seconds()))
        concerned &= relevant
        documents |= _read_documents(work, concerned - documents.keys(), aws)
        for of in sorted(concerned):
            paths = local.get(of) or _download(documents[of].parts, work.folder, aws)
            last, joining = slots[of].last + work.wait, work.joinings[of.version]
            quality = joiner.measure(of, slots[of].seconds, last, paths, joining)
            place = VersionFolder(work.model, of.version).quality_key(of.slot)
            target = Location(aws.settings.artifacts_bucket, place)
            content = quality.model_dump(mode="json")
            if not aws.storage.replace_json(target, content, work.tags.get(of)):
                raise _Overtaken
            for path in paths:
                path.unlink()
            answer.slots += 1
            answer.predictions += quality.predictions
            answer.outcomes += quality.outcomes
    return answer


def _relevant(
    slots: Mapping[SlotOf, SlotState], changed: Collection[SlotOf], work: _Work, *, everything: bool
) -> set[SlotOf]:
    """Return the slots whose counts may be others now."""
    found = set(changed)
    if everything:
        found |= {of for of, slot in slots.items() if not slot.closed}
    if changed and any(record.by_entity for record in work.records.values()):
        # Predictions that came late take over outcomes from earlier ones.
        since = min(slots[of].first for of in changed) - work.wait
        until = max(slots[of].last for of in changed)
        found |= {of for of, s in slots.items() if s.last >= since and s.first <= until}
    return found


def _fetch_keys(
    work: _Work,
    slots: Mapping[SlotOf, SlotState],
    relevant: Collection[SlotOf],
    keys: dict[SlotOf, Path],
    aws: Recorder,
) -> None:
    """Add the keys of every slot that has a prediction which an outcome of these may be about."""
    since = min(slots[of].first for of in relevant)
    until = max(slots[of].last for of in relevant) + work.wait
    missing = [
        of
        for of, slot in slots.items()
        if slot.rows and of not in keys and slot.last >= since and slot.first <= until
    ]
    places = [_keys_of(work, of, slots[of], aws).uri for of in missing]
    keys.update(zip(missing, _download(places, work.folder, aws), strict=True))


def _recent(work: _Work, state: JoinState) -> set[str]:
    """Return the parts that were received while a prediction of an open slot could have them."""
    opened = [slot.first for slot in state.all_slots().values() if not slot.closed]
    if not opened:
        return set()
    since = min(opened) - EARLY
    return {
        digest
        for digest, record in work.records.items()
        if datetime.fromisoformat(record.received_at) >= since
    }


def _versions(model: str, aws: Recorder) -> list[int]:
    folders = aws.storage.folders(aws.settings.artifacts_bucket, f"monitoring/{model}/")
    found = map(_VERSION.fullmatch, folders)
    return sorted(int(match[1]) for match in found if match)


def _list_tags(folders: Mapping[int, str], aws: Recorder) -> dict[SlotOf, str]:
    """Return the ETags of all slots' documents in each version's folder."""
    return {
        SlotOf(version, slot_of_key(listed["Key"])): listed["ETag"]
        for version, folder in folders.items()
        for listed in aws.storage.list(aws.settings.artifacts_bucket, folder)
    }


def _read_documents(
    work: _Work, changed: Iterable[SlotOf], aws: Recorder
) -> dict[SlotOf, SlotDocument]:
    def read(of: SlotOf) -> SlotDocument:
        key = VersionFolder(work.model, of.version).slot_key(of.slot)
        found = aws.storage.find_tagged(Location(aws.settings.artifacts_bucket, key))
        if found is None:
            raise MonitoringError(f"{key} was deleted while outcomes were joined.")
        return SlotDocument.from_json(found[0])

    wanted = list(changed)
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        return dict(zip(wanted, pool.map(read, wanted), strict=True))


def _keys_of(work: _Work, of: SlotOf, slot: SlotState, aws: Recorder) -> Location:
    """Return where a slot's keys are; what is at a place never changes."""
    name = names.digest(slot.tag, slot.mark)
    folder = VersionFolder(work.model, of.version).prefix
    return Location(aws.settings.artifacts_bucket, f"{folder}keys/{of.slot}/{name}.parquet")


def _download(uris: Iterable[str], folder: Path, aws: Recorder) -> list[Path]:
    """Download objects into a folder, under names of their own."""
    places = [Location.of(uri) for uri in uris]
    paths = [folder / f"{names.digest(place.uri, length=32)}.parquet" for place in places]
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        list(pool.map(aws.storage.download, places, paths))
    return paths


def _mark(joining: Joining) -> str:
    return names.digest(json.dumps(asdict(joining), sort_keys=True))
