"""Slots: what was asked and answered in a stretch of time while one version served. Pure.

A slot document only ever grows: by capture files that were not in it. So whoever adds them, however
often, in whatever order and in whatever pieces, the same files give the same counts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.errors import MonitoringError
from headrace.monitoring.layout import Slot, capture_time, captures_from
from headrace.records import DeploymentRecord
from headrace_profiling import Profile

Document = dict[str, Any]
Span = tuple[datetime, datetime | None]
"""From a time until before another; None: it goes on."""

LATE = timedelta(hours=2)
"""How long after a slot's start files of it may come that are found: SageMaker takes minutes."""
_AROUND = timedelta(hours=1)  # the most by which a file's time and its records' differ: its hour
_EMPTY = Profile(0, {}).as_dict()


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SlotSegment(_Part):
    """The rows of one value of a column."""

    inputs: Document = _EMPTY
    predictions: Document = _EMPTY


class SlotDocument(_Part):
    """A slot of one version: which capture files are in it, and the profile of their rows.

    `rows` were answered by this version alone, and are in the `parts`; `left_out` came while a
    deployment moved the traffic away from it; `unreadable` counts records by what is wrong.
    """

    schema_version: Literal[1] = 1
    slot: str
    seconds: int
    files: list[str] = []
    parts: list[str] = []
    rows: int = 0
    left_out: int = 0
    unreadable: dict[str, int] = {}
    inputs: Document = _EMPTY
    predictions: Document = _EMPTY
    segments: dict[str, dict[str, SlotSegment]] = {}

    @classmethod
    def from_json(cls, content: str | bytes) -> "SlotDocument":
        """Read a slot document. Raises MonitoringError: it is none."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise MonitoringError(f"This is no slot document: {where}: {first['msg']}") from error

    @property
    def span(self) -> Slot:
        """The time it is of."""
        return Slot.named(self.slot, self.seconds)

    def adding(self, more: "SlotDocument") -> "SlotDocument":
        """Return the document of both's files. Raises MonitoringError: some are in both."""
        twice = set(self.files) & set(more.files)
        if twice or (self.slot, self.seconds) != (more.slot, more.seconds):
            raise MonitoringError(f"Slot {self.slot} has {sorted(twice)} of {more.slot} already.")
        reasons = {*self.unreadable, *more.unreadable}
        return self.model_copy(
            update={
                "files": sorted([*self.files, *more.files]),
                "parts": sorted([*self.parts, *more.parts]),
                "rows": self.rows + more.rows,
                "left_out": self.left_out + more.left_out,
                "unreadable": {
                    reason: self.unreadable.get(reason, 0) + more.unreadable.get(reason, 0)
                    for reason in sorted(reasons)
                },
                "inputs": _sum(self.inputs, more.inputs),
                "predictions": _sum(self.predictions, more.predictions),
                "segments": _segments(self.segments, more.segments),
            }
        )


class ServingTimes(NamedTuple):
    """When a version answered alone, and when a deployment moved traffic away from it."""

    package_version: int
    run: str | None
    alone: tuple[Span, ...]
    leaving: tuple[Span, ...]

    @property
    def since(self) -> datetime:
        """When the first files may hold what it answered."""
        return self.alone[0][0] - _AROUND

    @property
    def until(self) -> datetime | None:
        """When the last files may; None: it serves, or traffic still moves."""
        ends = [end for _, end in (*self.alone, *self.leaving)]
        return None if None in ends else max(end for end in ends if end) + _AROUND

    def is_over(self, now: datetime) -> bool:
        """Tell whether all that it answered is there by now."""
        return self.until is not None and self.until + LATE < now

    def may_hold(self, file_time: datetime) -> bool:
        """Tell whether a capture file may hold what it answered."""
        return any(
            start - _AROUND <= file_time and (end is None or file_time < end + _AROUND)
            for start, end in (*self.alone, *self.leaving)
        )


class SlotsState(BaseModel):
    """How wide the slots of a version are; all files that held what it answered `until` are in."""

    model_config = ConfigDict(frozen=True)

    seconds: int
    until: datetime | None = None

    def has_all(self, times: ServingTimes) -> bool:
        """Tell whether nothing is left to add: not so for a version that was brought back."""
        return self.until is not None and self.until == times.until


class CaptureFile(NamedTuple):
    """A file of captured records."""

    key: str
    time: datetime
    size: int

    @classmethod
    def of(cls, listed: Mapping[str, Any]) -> "CaptureFile":
        """Return a file as ListObjectsV2 lists it."""
        key = listed["Key"]
        return cls(key, capture_time(key, listed["LastModified"]), listed["Size"])


def serving_times(records: Iterable[DeploymentRecord]) -> list[ServingTimes]:
    """Return when each version that ever served did, in the order in which they came.

    A deployment moves traffic from `moving_since` until it ends; what came of it before then, such
    as a comparison, leaves the version that serves alone with its own variant. When it failed, the
    version before is taken to serve on: the reconciler of deployments sees to that.
    """
    moves = sorted(
        (each for each in records if each.moving_since or each.status == "live"),
        key=lambda each: each.moving_since or each.ended_at or "",
    )
    alone: dict[int, list[Span]] = {}
    leaving: dict[int, list[Span]] = {}
    runs: dict[int, str | None] = {}
    version, since = None, None
    for move in moves:
        start = _second(move.moving_since or move.ended_at or "")
        end = _second(move.ended_at, up=True) if move.ended_at else None
        if version is not None and since is not None:
            alone[version].append((since, max(since, start)))
            leaving[version].append((start, end))
        if move.status == "live":
            version = move.package_version
            alone.setdefault(version, [])
            leaving.setdefault(version, [])
            runs[version] = move.run
        since = end
    if version is not None and since is not None:
        alone[version].append((since, None))
    return [
        ServingTimes(each, runs[each], tuple(alone[each]), tuple(leaving[each]))
        for each in alone
        if alone[each]
    ]


def keys_between(
    endpoint: str, times: ServingTimes, newest_slot: datetime | None
) -> tuple[str, str | None]:
    """Return the keys between which capture files may be that no slot document has yet.

    `newest_slot` is when the last slot that has a document starts. Slots are filled in their order,
    so files of slots long before the newest are all in.
    """
    since = max(times.since, newest_slot - LATE) if newest_slot else times.since
    hour = timedelta(hours=1)
    until = captures_from(endpoint, times.until + hour) if times.until else None
    return captures_from(endpoint, since), until


def by_slot(
    files: Iterable[CaptureFile], times: ServingTimes, seconds: int
) -> dict[Slot, list[CaptureFile]]:
    """Return the files that may hold what a version answered, by slot, in their order."""
    found: dict[Slot, list[CaptureFile]] = {}
    for file in sorted(files, key=lambda each: (each.time, each.key)):
        if times.may_hold(file.time):
            found.setdefault(Slot.at(file.time, seconds), []).append(file)
    return found


def groups(files: Sequence[CaptureFile], most_bytes: int) -> Iterator[list[CaptureFile]]:
    """Yield the files in groups that are read together; a large file is a group of its own."""
    group: list[CaptureFile] = []
    size = 0
    for file in files:
        if group and size + file.size > most_bytes:
            yield group
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield group


def _second(time: str, *, up: bool = False) -> datetime:
    """Return a time of the ledger in whole seconds, as captured records tell theirs."""
    told = datetime.fromisoformat(time).astimezone(UTC)
    floor = told.replace(microsecond=0)
    return floor + timedelta(seconds=1) if up and told > floor else floor


def _sum(one: Document, other: Document) -> Document:
    return (Profile.from_dict(one) + Profile.from_dict(other)).as_dict()


def _segments(
    one: Mapping[str, Mapping[str, SlotSegment]], other: Mapping[str, Mapping[str, SlotSegment]]
) -> dict[str, dict[str, SlotSegment]]:
    nothing = SlotSegment()
    return {
        column: {
            value: SlotSegment(
                inputs=_sum(mine.inputs, theirs.inputs),
                predictions=_sum(mine.predictions, theirs.predictions),
            )
            for value in {**one.get(column, {}), **other.get(column, {})}
            for mine in [one.get(column, {}).get(value, nothing)]
            for theirs in [other.get(column, {}).get(value, nothing)]
        }
        for column in {**one, **other}
    }
