"""Loads what is known of a window: its slots, added up, and the outcomes of its predictions."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from headrace.aws.storage import Location, Storage
from headrace.monitoring.feedback import QualityDocument, add_delays, delay_quantile
from headrace.monitoring.judging.closing import Closed, SlotOutcomes, newest_closed
from headrace.monitoring.judging.evidence import Outcomes, Scored, Seen, read_counts
from headrace.monitoring.layout import Slot, VersionFolder, slot_name, slot_of_key
from headrace.monitoring.report import Feedback, Segment
from headrace.monitoring.section import Quality
from headrace.monitoring.slots import SlotDocument
from headrace_profiling.bias import Facet

_READERS = 16  # S3 answers in some 20 ms, and a week has 168 slots of an hour
_MOST_BYTES = 64 << 20
_FIRST_LOOK = 64  # slots
NO_OUTCOMES = Outcomes("", "", Feedback(predictions=0, outcomes=0, complete=False))


class Traffic(NamedTuple):
    """What was asked and answered in a window: its times, its sum, and where the rows are."""

    start: datetime
    seen: Seen
    parts: list[str]


class Slots:
    """The slots of one version in the artifacts bucket.

    Few documents are in memory at once: with segments one may have megabytes, and a window hundreds
    of them.
    """

    def __init__(self, folder: VersionFolder, bucket: str, storage: Storage) -> None:
        self._folder = folder
        self._bucket = bucket
        self._storage = storage
        self._rows: dict[str, int] = {}
        self._qualities: dict[str, QualityDocument] = {}
        width = storage.find_tagged(Location(bucket, folder.width_key))
        self._seconds = int(json.loads(width[0])["seconds"]) if width else None

    def between(self, start: datetime, end: datetime) -> list[Slot]:
        """Return the slots there are documents of that overlap a time, in their order."""
        return list(self._list(self._folder.slots, start, end))

    def documents(self, slots: Sequence[Slot]) -> Iterator[SlotDocument]:
        """Yield the documents of slots, in their order."""
        for first in range(0, len(slots), _READERS):
            keys = [self._folder.slot_key(slot.name) for slot in slots[first : first + _READERS]]
            for content in self._read(keys):
                document = SlotDocument.from_json(content)
                self._rows[document.slot] = document.rows
                yield document

    def rows(self, slots: Sequence[Slot]) -> int:
        """Return how many rows slots have together."""
        for _ in self.documents([slot for slot in slots if slot.name not in self._rows]):
            pass  # their rows are known now
        return sum(self._rows[slot.name] for slot in slots)

    def counted_between(self, start: datetime, end: datetime) -> set[str]:
        """Return the names of the slots whose outcomes were counted."""
        return {slot.name for slot in self._list(self._folder.qualities, start, end)}

    def qualities(self, names: Sequence[str]) -> dict[str, QualityDocument]:
        """Return what is known of the outcomes of slots that were counted."""
        missing = [name for name in names if name not in self._qualities]
        keys = [self._folder.quality_key(name) for name in missing]
        for name, content in zip(missing, self._read(keys), strict=True):
            self._qualities[name] = QualityDocument.model_validate_json(content)
        return {name: self._qualities[name] for name in names}

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
    seen, parts = Seen(), []
    for document in slots.documents(found):
        seen += Seen.of(document)
        parts += document.parts
    return Traffic(found[0].start if found else start, seen, parts)


def load_outcomes(slots: Slots, end: datetime, quality: Quality) -> Outcomes:
    """Add up the newest window of predictions whose outcomes are in, by `end`."""
    since = end - timedelta(seconds=quality.wait + quality.window)
    closed, known = _newest_closed(slots, since, end, quality)
    if not closed.slots:
        return NO_OUTCOMES
    uncounted = [each.slot for each in closed.slots if each.predictions is None]
    predictions = sum(each.predictions or 0 for each in closed.slots)
    predictions += slots.rows(uncounted)
    documents = [known[each.slot.name] for each in closed.slots if each.slot.name in known]
    delays = add_delays(documents)
    scored = Scored()
    for document in documents:
        scored = scored + _scored(document)
    return Outcomes(
        time_of(closed.slots[0].slot.start),
        time_of(closed.slots[-1].slot.end),
        Feedback(
            predictions=predictions,
            outcomes=sum(document.outcomes for document in documents),
            complete=closed.complete,
            delay_seconds_median=delay_quantile(delays, 0.5),
            delay_seconds_p90=delay_quantile(delays, 0.9),
        ),
        scored,
    )


def _newest_closed(
    slots: Slots, since: datetime, end: datetime, quality: Quality
) -> tuple[Closed, dict[str, QualityDocument]]:
    """Return the newest closed window and the counts of its slots.

    The newest slots are looked at first, then twice as many, until a window is closed.
    """
    wait = timedelta(seconds=quality.wait)
    every, counted = slots.between(since, end), slots.counted_between(since, end)
    number = _FIRST_LOOK
    while True:
        newest = every[-number:]
        known = slots.qualities([slot.name for slot in newest if slot.name in counted])
        found = [
            SlotOutcomes(slot, document.until, document.predictions, document.outcomes)
            if (document := known.get(slot.name))
            else SlotOutcomes(slot, slot.end + wait, None, 0)
            for slot in newest
        ]
        closed = newest_closed(found, quality.window, end)
        is_whole = closed.complete and closed.slots[0].slot != newest[0]
        if is_whole or number >= len(every):
            return closed, known
        number *= 2


def time_of(moment: datetime) -> str:
    """Return a moment as reports write it: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _scored(document: QualityDocument) -> Scored:
    problem = document.problem
    return Scored(
        read_counts(problem, document.counts) if document.counts else None,
        {
            Segment(column=column, value=value): read_counts(problem, counts)
            for column, values in document.segments.items()
            for value, counts in values.items()
        },
        {name: Facet.from_dict(counts) for name, counts in document.bias.items()},
    )
