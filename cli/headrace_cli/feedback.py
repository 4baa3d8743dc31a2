"""How many predictions have their outcome, day by day: from the documents of slots."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from headrace.aws.storage import Location, Storage
from headrace.monitoring.feedback import QualityDocument, feedback
from headrace.monitoring.layout import VersionFolder, slot_name
from headrace.records import OutcomesRecord, model_partition
from headrace_cli.session import Session

_READERS = 16
_MOST_BYTES = 64 << 20
_VERSION = re.compile(r"v(\d+)")


class Day(NamedTuple):
    """The predictions of a day (UTC), what is known of them, and outcomes refused on that day."""

    day: str
    predictions: int = 0
    outcomes: int = 0
    complete: bool = True
    delay_seconds_median: float | None = None
    delay_seconds_p90: float | None = None
    contradictions: int = 0
    quarantined: int = 0

    @property
    def share(self) -> float | None:
        """The share of predictions whose outcome is known."""
        return self.outcomes / self.predictions if self.predictions else None


def read_feedback(session: Session, model: str, days: int) -> list[Day]:
    """Return the last days (UTC) with predictions or refused outcomes, the newest last."""
    session.model(model)
    now = datetime.now(UTC)
    since = datetime.combine(now.date() - timedelta(days=days - 1), datetime.min.time(), UTC)
    documents = _read_documents(session, model, since)
    refused = quarantined(session, model, since)
    return by_day(documents, refused, now)


def by_day(
    documents: Iterable[QualityDocument], refused: Iterable[OutcomesRecord], now: datetime
) -> list[Day]:
    """Add slots up to the days that they start in."""
    of_day: dict[str, list[QualityDocument]] = defaultdict(list)
    for document in documents:
        of_day[document.slot[:10]].append(document)
    bad = _by_day_of_receipt(refused)
    found = []
    for day in sorted({*of_day, *bad}):
        slots = of_day[day]
        known = feedback(slots, now)
        found.append(
            Day(
                day,
                known.predictions,
                known.outcomes,
                known.complete,
                known.delay_seconds_median,
                known.delay_seconds_p90,
                sum(each.contradictions for each in slots),
                bad.get(day, 0),
            )
        )
    return found


def quarantined(session: Session, model: str, since: datetime) -> list[OutcomesRecord]:
    """Return objects of outcomes that came since, of which all or some rows are in quarantine."""
    records = session.ledger.query(OutcomesRecord, model_partition(model), "outcomes#")
    bad = (each for each in records if each.quarantined or each.status == "quarantined")
    return [each for each in bad if datetime.fromisoformat(each.received_at) >= since]


def _by_day_of_receipt(refused: Iterable[OutcomesRecord]) -> Mapping[str, int]:
    found: dict[str, int] = defaultdict(int)
    for record in refused:
        # Of a file that cannot be read nobody knows how many rows it has.
        found[date.fromisoformat(record.received_at[:10]).isoformat()] += record.quarantined or 1
    return found


def _read_documents(session: Session, model: str, since: datetime) -> list[QualityDocument]:
    storage, bucket = Storage(session.client("s3")), session.stack.artifacts_bucket
    places = [
        Location(bucket, listed["Key"])
        for match in map(_VERSION.fullmatch, storage.folders(bucket, f"monitoring/{model}/"))
        if match
        for folder in [VersionFolder(model, int(match[1])).qualities]
        for listed in storage.list(bucket, folder, after=f"{folder}{slot_name(since)}")
    ]
    with ThreadPoolExecutor(_READERS) as readers:
        read = readers.map(lambda place: storage.get_bytes(place, _MOST_BYTES), places)
        return [QualityDocument.model_validate_json(content) for content in read]
