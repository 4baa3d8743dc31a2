"""What events could not tell: objects never heard of, drops that hang, drops that wait too long.

S3's events come at least once but may be late; executions may be aborted or time out without a
word. This looks at S3 and Step Functions themselves, seldom, and ends what would hang for ever.
"""

from collections.abc import Iterator

from headrace.aws.bus import Bus
from headrace.aws.drops import OPEN_STATES, Drops, seconds_since
from headrace.aws.executions import FAILED_STATUSES, Executions
from headrace.aws.intake import Intake
from headrace.aws.projects import load_definition
from headrace.aws.quarantine import Quarantine
from headrace.aws.storage import Location, Storage
from headrace.datasets.arrivals import PREFIX, group, quarantine_key
from headrace.datasets.settings import IntakeSettings
from headrace.events import DropIncomplete
from headrace.records import DropRecord, ModelRecord, now

# A drop that ended is looked at no longer: its events had days to arrive (EventBridge gives up
# after 24 hours).
_SETTLED_SECONDS = 3 * 86400
# Bounded work per run; the next one goes on.
MAX_OBJECTS = 5000
_NAMED_IN_EVENT = 20


class Reconciler:
    """Finds and ends what hangs."""

    def __init__(
        self,
        settings: IntakeSettings,
        intake: Intake,
        drops: Drops,
        storage: Storage,
        executions: Executions,
        bus: Bus,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._drops = drops
        self._storage = storage
        self._executions = executions
        self._bus = bus

    def run(self) -> dict[str, int]:
        """Reconcile every model's drops; return how many objects it found and drops it ended."""
        found = ended = 0
        for model in list(self._drops.query(ModelRecord, "models")):
            records = {record.drop: record for record in self._drops.all_of(model.model)}
            for drop in self._names(model, records):
                if found < MAX_OBJECTS:
                    found += self._find_objects(model.model, drop)
                record = self._drops.find(model.model, drop)
                ended += self._end(model, record) if record else 0
        return {"found": found, "ended": ended}

    def _names(self, model: ModelRecord, records: dict[str, DropRecord]) -> Iterator[str]:
        """Yield the drops worth a look: in S3 or in the ledger, and not long settled."""
        prefix = f"{PREFIX}{model.model}/"
        listed = self._storage.folders(self._settings.data_bucket, prefix)
        for drop in sorted({*listed, *records}):
            record = records.get(drop)
            ended_at = record.ended_at if record else None
            if ended_at is None or seconds_since(ended_at) < _SETTLED_SECONDS:
                yield drop

    def _find_objects(self, model: str, drop: str) -> int:
        """Feed what was never heard of through the path of every event."""
        unheard = self._intake.unheard(model, drop)[:MAX_OBJECTS]
        for arrivals in group((None, arrival) for arrival in unheard):
            self._intake.receive([arrival for _, arrival in arrivals])
        return len(unheard)

    def _end(self, model: ModelRecord, record: DropRecord) -> int:
        if record.state in OPEN_STATES or record.execution_arn is None:
            # Seals a drop that was left complete, starts one that was left sealed.
            self._intake.settle(record.model, record.drop)
            record = self._drops.find(record.model, record.drop) or record
        if record.state == "open":
            return self._report_incomplete(model, record)
        if record.state == "sealed":
            return self._fail_if_dead(record)
        if record.state == "failed":
            self._quarantine_all(record)
        return 0

    def _report_incomplete(self, model: ModelRecord, record: DropRecord) -> int:
        definition = load_definition(
            self._storage, self._settings, record.model, model.project_version
        )
        if seconds_since(record.last_seen_at) < definition.data.wait_hours * 3600:
            return 0
        waiting_for = self._intake.state_of(record).waiting_for
        reasons = [
            f"Still waiting for {name} after {definition.data.wait_hours:g} hours."
            for name in waiting_for[:_NAMED_IN_EVENT]
        ]
        if len(waiting_for) > _NAMED_IN_EVENT:
            reasons.append(f"And for {len(waiting_for) - _NAMED_IN_EVENT} more.")
        # Announced first: said twice is better than never said.
        self._bus.announce(DropIncomplete(model=record.model, drop=record.drop, reasons=reasons))
        expect = {"state": "open", "revision": record.revision}
        changes = {"state": "incomplete", "reasons": reasons}
        return int(self._drops.update(record.key(), changes, expect=expect))

    def _fail_if_dead(self, record: DropRecord) -> int:
        name = self._intake.execution_name(record)
        status = self._executions.status(name)
        if status is None:
            self._executions.start(name, {"model": record.model, "drop": record.drop})
            return 0
        if status not in FAILED_STATUSES:
            return 0
        reasons = [
            f"The inspection ended as {status} without a verdict; see the history of execution "
            f"{name}. Drop the files again under a new name."
        ]
        changes = {"state": "failed", "ended_at": now(), "reasons": reasons}
        return int(self._drops.update(record.key(), changes, expect={"state": "sealed"}))

    def _quarantine_all(self, record: DropRecord) -> None:
        """Give the objects of a failed drop an end: nobody else will."""
        quarantine = Quarantine(self._storage, self._settings.quarantine_bucket)
        reasons = record.reasons or ["The inspection failed. Drop the file again."]
        for member in self._drops.members(record.model, record.drop).values():
            if member.verdict is not None:
                continue
            source = Location(self._settings.data_bucket, member.object_key, member.version_id)
            uri = quarantine.keep(source, quarantine_key(member.object_key), reasons)
            changes = {"verdict": "quarantined", "quarantine_uri": uri, "reasons": reasons}
            self._drops.put(member.model_copy(update=changes))
