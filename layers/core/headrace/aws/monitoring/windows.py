"""Loads what is known of a window: its slots, added up, and the outcomes of its predictions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from headrace.aws.storage import Location, Storage
from headrace.definition import ModelDefinition
from headrace.monitoring.judging.closing import SlotOutcomes, newest_closed
from headrace.monitoring.judging.evidence import Outcomes, Scored, Seen, add_up, read_counts
from headrace.monitoring.layout import Slot, VersionFolder, slot_name, slot_of_key
from headrace.monitoring.report import Feedback, Segment
from headrace.monitoring.section import Quality
from headrace.monitoring.slots import SlotDocument
from headrace_profiling.bias import Facet

_READERS = 16  # S3 answers in some 20 ms, and a week has 168 slots of an hour
_MOST_BYTES = 64 << 20
NO_OUTCOMES = Outcomes("", "", Feedback(predictions=0, outcomes=0, complete=False))


class Traffic(NamedTuple):
    """What was asked and answered in a window: its times, its sum, and where the rows are."""

    start: datetime
    seen: Seen
    parts: list[str]


class Slots:
    """The slots of one version in the artifacts bucket; each document is read once."""

    def __init__(self, folder: VersionFolder, bucket: str, storage: Storage) -> None:
        self._folder = folder
        self._bucket = bucket
        self._storage = storage
        self._documents: dict[str, SlotDocument] = {}
        width = storage.find_tagged(Location(bucket, folder.width_key))
        self._seconds = int(json.loads(width[0])["seconds"]) if width else None

    def between(self, start: datetime, end: datetime) -> list[Slot]:
        """Return the slots there are documents of that overlap a time, in their order."""
        return list(self._list(self._folder.slots, start, end))

    def documents(self, slots: Sequence[Slot]) -> list[SlotDocument]:
        """Return the documents of slots."""
        missing = [slot.name for slot in slots if slot.name not in self._documents]
        keys = [self._folder.slot_key(name) for name in missing]
        for name, content in zip(missing, self._read(keys), strict=True):
            self._documents[name] = SlotDocument.from_json(content)
        return [self._documents[slot.name] for slot in slots]

    def qualities(self, start: datetime, end: datetime) -> dict[str, dict[str, Any]]:
        """Return what is known of the outcomes of slots, by the slot's name."""
        slots = list(self._list(self._folder.qualities, start, end))
        keys = [self._folder.quality_key(slot.name) for slot in slots]
        read = zip(slots, self._read(keys), strict=True)
        return {slot.name: json.loads(content) for slot, content in read}

    def _list(self, folder: str, start: datetime, end: datetime) -> Iterator[Slot]:
        if self._seconds is None:
            return
        before = slot_name(start - timedelta(seconds=self._seconds))
        for listed in self._storage.list(self._bucket, folder, after=f"{folder}{before}"):
            slot = Slot.named(slot_of_key(listed["Key"]), self._seconds)
            if slot.start >= end:
                return
            if slot.overlaps(start, end):
                yield slot

    def _read(self, keys: Sequence[str]) -> list[bytes]:
        places = [Location(self._bucket, key) for key in keys]
        with ThreadPoolExecutor(_READERS) as readers:
            return list(readers.map(lambda p: self._storage.get_bytes(p, _MOST_BYTES), places))


def load_traffic(slots: Slots, end: datetime, window: int) -> Traffic:
    """Add up the slots of the `window` seconds before `end`; the slot that has begun is one."""
    start = end - timedelta(seconds=window)
    found = slots.between(start, end)
    documents = slots.documents(found)
    return Traffic(
        found[0].start if found else start,
        add_up(Seen.of(document) for document in documents),
        [part for document in documents for part in document.parts],
    )


def load_outcomes(
    slots: Slots, end: datetime, quality: Quality, definition: ModelDefinition
) -> Outcomes:
    """Add up the newest window of predictions whose outcomes are in, by `end`."""
    since = end - timedelta(seconds=quality.wait + quality.window)
    known = slots.qualities(since, end)
    found = [
        SlotOutcomes(
            slot,
            known[slot.name]["predictions"] if slot.name in known else None,
            known[slot.name]["outcomes"] if slot.name in known else 0,
        )
        for slot in slots.between(since, end)
    ]
    closed = newest_closed(found, quality.window, quality.wait, end)
    if not closed.slots:
        return NO_OUTCOMES
    uncounted = [each.slot for each in closed.slots if each.predictions is None]
    predictions = sum(each.predictions or 0 for each in closed.slots)
    predictions += sum(document.rows for document in slots.documents(uncounted))
    scored = Scored()
    for each in closed.slots:
        if each.slot.name in known:
            scored = scored + _scored(known[each.slot.name], definition)
    return Outcomes(
        time_of(closed.slots[0].slot.start),
        time_of(closed.slots[-1].slot.end),
        Feedback(
            predictions=predictions,
            outcomes=sum(each.outcomes for each in closed.slots),
            complete=closed.complete,
        ),
        scored,
    )


def time_of(moment: datetime) -> str:
    """Return a moment as reports write it: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _scored(document: Mapping[str, Any], definition: ModelDefinition) -> Scored:
    problem = definition.evaluation.problem
    return Scored(
        read_counts(problem, document["counts"]) if document.get("counts") else None,
        {
            Segment(column=column, value=value): read_counts(problem, counts)
            for column, values in document.get("segments", {}).items()
            for value, counts in values.items()
        },
        {name: Facet.from_dict(counts) for name, counts in document.get("bias", {}).items()},
    )
