"""Where monitoring keeps things, and which slot of time a capture file belongs to. Pure.

Keys are of the artifacts bucket, but those of `outcomes_folder`, which are of the data bucket.

A slot is a stretch of time that starts at a multiple of its width since 1970. A version's slots are
all of one width: that of `monitoring.schedule` when its first file was added, kept in `width_key`.
Whoever adds slots up needs none of it: a slot document says how wide its slot is.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

CAPTURED_VARIANT = "champion"
"""The variant that always answers for the version that serves; a challenger has its own files."""
OWN_REQUESTS = "headrace-"
"""Inference ids of Headrace's own requests start with it: never counted as traffic."""
PREDICTION_COLUMNS = ("id", "row", "at", "score", "label")
"""Columns of the predictions' parquet before the inputs'."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SLOT_NAME = "%Y-%m-%dT%H-%M-%SZ"
_HOUR = re.compile(r"/(\d{4})/(\d\d)/(\d\d)/(\d\d)/([^/]+)$")
_MINUTE = re.compile(r"([0-5]\d)-([0-5]\d)-(\d{3})-")


class Slot(NamedTuple):
    """A stretch of time, from `start` (UTC) for `seconds`; its end is not part of it."""

    start: datetime
    seconds: int

    @classmethod
    def at(cls, time: datetime, seconds: int) -> "Slot":
        """Return the slot that `time`, which knows its zone, falls into."""
        passed = (time - _EPOCH) // timedelta(seconds=seconds)
        return cls(_EPOCH + timedelta(seconds=passed * seconds), seconds)

    @classmethod
    def named(cls, name: str, seconds: int) -> "Slot":
        """Return the slot of a name, such as `2026-11-22T13-00-00Z`. Raises ValueError."""
        return cls(slot_start(name), seconds)

    @property
    def name(self) -> str:
        """The name, which sorts as its time does."""
        return slot_name(self.start)

    @property
    def end(self) -> datetime:
        """Where the next slot starts."""
        return self.start + timedelta(seconds=self.seconds)

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Tell whether any of its time is in the window from `start` until before `end`."""
        return self.start < end and start < self.end


def slot_name(start: datetime) -> str:
    """Return the name of the slot that starts at a time (UTC), in whole seconds."""
    return start.astimezone(UTC).strftime(_SLOT_NAME)


def slot_start(name: str) -> datetime:
    """Return the time that `slot_name` made a name of. Raises ValueError."""
    return datetime.strptime(name, _SLOT_NAME).replace(tzinfo=UTC)


def slots_between(start: datetime, end: datetime, seconds: int) -> Iterator[Slot]:
    """Yield the slots that overlap the window from `start` until before `end`, in their order."""
    slot = Slot.at(start, seconds)
    while slot.start < end:
        yield slot
        slot = Slot(slot.end, seconds)


class VersionFolder(NamedTuple):
    """What monitoring keeps of one package version of a model."""

    model: str
    package_version: int

    @property
    def prefix(self) -> str:
        """The folder of all of it."""
        return f"monitoring/{self.model}/v{self.package_version}/"

    @property
    def width_key(self) -> str:
        """How wide the version's slots are, in `seconds`, written once; and whether it is over."""
        return f"{self.prefix}slots.json"

    @property
    def slots(self) -> str:
        """The folder of slot documents."""
        return f"{self.prefix}slots/"

    @property
    def qualities(self) -> str:
        """The folder of what outcomes said of predictions, a document a slot."""
        return f"{self.prefix}quality/"

    def slot_key(self, slot: str) -> str:
        """Return where a slot's document is."""
        return f"{self.slots}{slot}.json"

    def quality_key(self, slot: str) -> str:
        """Return where the slot's predictions and their outcomes are counted."""
        return f"{self.qualities}{slot}.json"

    def predictions_key(self, slot: str, digest: str) -> str:
        """Return where a part of a slot's predictions is; it counts if the document names it."""
        return f"{self.prefix}predictions/{slot}/{digest}.parquet"


def slot_of_key(key: str) -> str:
    """Return the name of the slot whose document, or counts, are at `key`."""
    return key.rpartition("/")[2].removesuffix(".json")


def baseline_key(model: str, run: str) -> str:
    """Return where the baseline is that a training run made."""
    return f"runs/{model}/{run}/baseline.json"


def outcomes_folder(model: str) -> str:
    """Return the folder of the data bucket into which outcomes are dropped."""
    return f"outcomes/{model}/"


def outcome_parts_folder(model: str) -> str:
    """Return the folder of outcomes in their normal form."""
    return f"monitoring/{model}/outcomes/"


def outcome_part_key(model: str, digest: str) -> str:
    """Return where outcomes in their normal form are kept."""
    return f"{outcome_parts_folder(model)}{digest}.parquet"


def reports_folder(model: str) -> str:
    """Return the folder of a model's reports, a folder a window's end."""
    return f"monitoring/{model}/reports/"


def report_key(model: str, end: datetime) -> str:
    """Return where the report of the window is that ends at a time."""
    return f"{reports_folder(model)}{slot_name(end)}/report.json"


def report_page_key(model: str, end: datetime) -> str:
    """Return where the page is that shows a report."""
    return f"{reports_folder(model)}{slot_name(end)}/report.html"


def latest_report_key(model: str) -> str:
    """Return where a copy of the newest report is."""
    return f"{reports_folder(model)}latest.json"


def captures_folder(endpoint: str) -> str:
    """Return the folder into which SageMaker writes what answers for the version that serves."""
    return f"captures/{endpoint}/{CAPTURED_VARIANT}/"


def captures_from(endpoint: str, time: datetime) -> str:
    """Return a key that capture files of the hour of `time`, and later ones, sort behind."""
    return f"{captures_folder(endpoint)}{time.astimezone(UTC):%Y/%m/%d/%H/}"


def capture_time(key: str, modified: datetime) -> datetime:
    """Return the time in the name of a capture file, `yyyy/mm/dd/hh/mm-ss-mmm-<uuid>.jsonl`.

    A name of another kind says at most the hour: then it is when the file was last modified.
    """
    hour = _HOUR.search(key)
    minute = _MINUTE.match(hour[5]) if hour else None
    if hour is None or minute is None:
        return modified.astimezone(UTC)
    year, month, day, hours = map(int, hour.groups()[:4])
    minutes, seconds, milliseconds = map(int, minute.groups())
    try:
        return datetime(year, month, day, hours, minutes, seconds, milliseconds * 1000, tzinfo=UTC)
    except ValueError:  # a thirteenth month: no time
        return modified.astimezone(UTC)


def input_column(name: str) -> str:
    """Return the column of the predictions' parquet that holds the input column `name`.

    That is its own name, but `input.<name>` where a column of Headrace's has it (DuckDB's names
    know no case). Inputs are text there, as they were sent; null where they were null or absent.
    """
    return f"input.{name}" if name.casefold() in PREDICTION_COLUMNS else name
