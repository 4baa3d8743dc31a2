"""Drops and their objects in the ledger: recorded while open, sealed as they were read."""

import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.aws.ledger import Ledger, marshal
from headrace.aws.storage import Location, Storage
from headrace.datasets.arrivals import MANIFEST
from headrace.datasets.completeness import MANIFEST_LIMIT_BYTES, Manifest, read_manifest
from headrace.errors import DropError
from headrace.records import (
    DropRecord,
    Key,
    ObjectRecord,
    drop_partition,
    model_partition,
    now,
)

OPEN_STATES = frozenset({"open", "incomplete"})
# TransactWriteItems takes 100 actions; one is the drop's own.
TRANSACTION_OBJECTS = 99
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)


def seconds_since(time: str) -> float:
    """Return how long ago a time of the ledger was."""
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()


def seconds_after(time: str, seconds: float) -> str:
    """Return a time of the ledger some seconds after another."""
    later = datetime.fromisoformat(time) + timedelta(seconds=seconds)
    return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Drops(Ledger):
    """The ledger, as those who handle drops see it."""

    def find(self, model: str, drop: str) -> DropRecord | None:
        """Return a drop's record, or None when nothing of it was ever recorded."""
        return self.get(DropRecord, Key(pk=model_partition(model), sk=f"drop#{drop}"))

    def all_of(self, model: str) -> list[DropRecord]:
        """Return every drop of a model."""
        return list(self.query(DropRecord, model_partition(model), "drop#"))

    def members(self, model: str, drop: str) -> dict[str, ObjectRecord]:
        """Return the objects of a drop by their keys, strays apart."""
        records = self.query(ObjectRecord, drop_partition(model, drop), "object#")
        return {record.object_key: record for record in records}

    def strays(self, model: str, drop: str) -> list[ObjectRecord]:
        """Return what came too late for a drop, or never belonged to one."""
        return list(self.query(ObjectRecord, drop_partition(model, drop), "stray#"))

    def record(self, model: str, drop: str, objects: Sequence[ObjectRecord]) -> bool:
        """Write objects (at most 99) of a drop, all or none, and make the drop if there is none.

        Returns False, with nothing written, when the drop is no longer open, when one of the
        objects is not newer than what is known of its key, or when somebody else writes the same
        records right now: read again, then decide.
        """
        changes: list[dict[str, Any]] = [self._touch(model, drop)]
        for record in objects:
            item = record.item()
            put = {
                "Item": marshal(item),
                "ConditionExpression": "attribute_not_exists(pk) OR sequencer < :sequencer",
                "ExpressionAttributeValues": marshal({":sequencer": item["sequencer"]}),
            }
            changes.append({"Put": {"TableName": self._table, **put}})
        try:
            self._dynamodb.transact_write_items(TransactItems=changes)
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            codes = {reason["Code"] for reason in error.response["CancellationReasons"]}
            if codes <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                return False
            raise
        return True

    def seal(self, drop: DropRecord) -> None:
        """Seal an open drop if its objects are still those of this revision.

        Whether it worked is for the caller to read: a reply that was lost looks like a refusal.
        Whoever made the revision grow, or is about to, asks again whether the drop is complete.
        """
        self.update(
            drop.key(),
            {"state": "sealed", "sealed_at": now(), "reasons": []},
            expect={"state": drop.state, "revision": drop.revision},
        )

    def update(
        self, key: Key, changes: Mapping[str, Any], expect: Mapping[str, Any] | None = None
    ) -> bool:
        """Set attributes as `Ledger.update` does, also while a transaction holds the record."""
        for pause in _PAUSES_SECONDS:
            try:
                return super().update(key, changes, expect)
            except self._dynamodb.exceptions.TransactionConflictException:
                time.sleep(random.uniform(0, pause))  # noqa: S311 — jitter, not a secret
        return super().update(key, changes, expect)

    def _touch(self, model: str, drop: str) -> dict[str, Any]:
        """Return the transaction's action that makes or keeps a drop open and counts a revision."""
        moment = now()
        new = DropRecord(
            model=model, drop=drop, state="open", first_seen_at=moment, last_seen_at=moment
        )
        names = {f"#{a}": a for a in ("kind", "model", "drop", "state", "reasons", "revision")}
        names |= {"#first": "first_seen_at", "#last": "last_seen_at"}
        values = {
            ":kind": new.kind,
            ":model": model,
            ":drop": drop,
            ":open": "open",
            ":incomplete": "incomplete",
            ":now": moment,
            ":none": [],
            ":one": 1,
        }
        return {
            "Update": {
                "TableName": self._table,
                "Key": marshal(new.key().model_dump()),
                "UpdateExpression": "SET #kind = :kind, #model = :model, #drop = :drop, "
                "#state = :open, #reasons = :none, #last = :now, "
                "#first = if_not_exists(#first, :now) ADD #revision :one",
                "ConditionExpression": "attribute_not_exists(pk) OR #state IN (:open, :incomplete)",
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": marshal(values),
            }
        }


def load_manifest(storage: Storage, bucket: str, record: ObjectRecord) -> Manifest:
    """Read a drop's manifest in its pinned version.

    Raises:
        DropError: why it cannot be read.
    """
    if record.size > MANIFEST_LIMIT_BYTES:
        raise DropError(f"{MANIFEST} has {record.size} bytes, more than {MANIFEST_LIMIT_BYTES}.")
    location = Location(bucket, record.object_key, record.version_id)
    return read_manifest(storage.get_bytes(location, MANIFEST_LIMIT_BYTES))
