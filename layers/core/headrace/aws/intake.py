"""From S3 events to sealed drops: the one path that every object takes.

Objects are written in transactions that need the drop open and count its revision; sealing needs
the revision that was read before the objects were. So whoever records last also sees all, nothing
slips in between, and the execution's name makes the start harmless to repeat.
"""

import os
import random
import time
from collections.abc import Sequence
from functools import cache
from typing import Self

from headrace import names
from headrace.aws.drops import (
    OPEN_STATES,
    TRANSACTION_OBJECTS,
    Drops,
    load_manifest,
    seconds_after,
    seconds_since,
)
from headrace.aws.executions import Executions
from headrace.aws.projects import find_model, load_definition
from headrace.aws.quarantine import Quarantine
from headrace.aws.quiet import QuietChecks
from headrace.aws.storage import Location, Storage
from headrace.datasets.arrivals import (
    MANIFEST,
    NO_SEQUENCER,
    NOWHERE,
    PREFIX,
    Arrival,
    belongs_to_a_drop,
    is_folder_marker,
    newest,
    place,
    quarantine_key,
    sequencer_after,
)
from headrace.datasets.completeness import Completeness, Manifest, completeness
from headrace.datasets.settings import IntakeSettings
from headrace.definition import ModelDefinition
from headrace.errors import DropError, LedgerBusyError
from headrace.records import (
    DropRecord,
    ObjectRecord,
    ProjectRecord,
    drop_partition,
    model_partition,
    now,
)

_ATTEMPTS = 12
_LONGEST_PAUSE_SECONDS = 1.0


class Intake:
    """Records what arrives, seals what is complete, starts what is sealed."""

    def __init__(
        self,
        settings: IntakeSettings,
        drops: Drops,
        storage: Storage,
        executions: Executions,
        quiet: QuietChecks,
    ) -> None:
        self._settings = settings
        self._drops = drops
        self._storage = storage
        self._quarantine = Quarantine(storage, settings.quarantine_bucket)
        self._executions = executions
        self._quiet = quiet

    @classmethod
    def of(cls, settings: IntakeSettings) -> Self:
        """Return the intake of this stack, with the process's own clients."""
        return cls(
            settings,
            Drops.of(settings.ledger_table),
            Storage.of(settings.kms_key_arn),
            Executions.of(settings.state_machine_arn),
            QuietChecks.of(settings),
        )

    def receive(self, arrivals: Sequence[Arrival]) -> None:
        """Record arrivals of one drop, or of none, then seal and start the drop if it is complete.

        Any number of times, in any order.
        """
        real = [a for a in arrivals if not is_folder_marker(a.key, a.size)]
        if not real:
            return
        pinned = [self._pin(arrival) for arrival in newest(real).values()]
        try:
            where = place(pinned[0].key)
        except DropError as error:
            for arrival in pinned:
                self._keep_stray(NOWHERE, NOWHERE, arrival, str(error))
            return
        definition = self._definition(where.model)
        if definition is None:
            reason = self._explain_unknown(where.model)
            for arrival in pinned:
                self._keep_stray(where.model, where.drop, arrival, reason)
            return
        self._record(where.model, where.drop, pinned)
        self._settle(where.model, where.drop, definition)

    def settle(self, model: str, drop: str) -> None:
        """Seal the drop if it is complete, and start its execution if it is sealed."""
        definition = self._definition(model)
        if definition is not None:
            self._settle(model, drop, definition)

    def unheard(self, model: str, drop: str) -> list[Arrival]:
        """Return what lies in S3 under a drop and was never recorded: its events were lost or late.

        Each is pinned to its present version, and takes its turn just after what is known.
        """
        members = self._drops.members(model, drop)
        known = {(r.object_key, r.etag) for r in members.values()}
        known |= {(r.object_key, r.etag) for r in self._drops.strays(model, drop)}
        return [
            Arrival(
                key=found["Key"],
                size=found["Size"],
                etag=found["ETag"].strip('"'),
                sequencer=sequencer_after(members[found["Key"]].sequencer)
                if found["Key"] in members
                else NO_SEQUENCER,
                version_id=None,
            )
            for found in self._storage.list(self._settings.data_bucket, f"{PREFIX}{model}/{drop}/")
            if (found["Key"], found["ETag"].strip('"')) not in known
            and not is_folder_marker(found["Key"], found["Size"])
            and not self._is_known_nowhere(found["Key"], found["ETag"].strip('"'))
        ]

    def state_of(self, record: DropRecord) -> Completeness:
        """Return whether an open drop is complete, and what it waits for."""
        definition = self._definition(record.model)
        if definition is None:
            return Completeness(complete=False, waiting_for=("its project, which is gone",))
        return self._completeness(record, definition)

    def execution_name(self, record: DropRecord) -> str:
        """Name the one execution of a sealed drop."""
        return names.execution_name(record.model, record.drop)

    def _record(self, model: str, drop: str, arrivals: Sequence[Arrival]) -> None:
        for attempt in range(_ATTEMPTS):
            record = self._drops.find(model, drop)
            members = self._drops.members(model, drop)
            if record is not None and record.state not in OPEN_STATES:
                self._keep_late(record, members, arrivals)
                return
            fresh = [
                self._object(model, drop, a)
                for a in arrivals
                if a.key not in members or a.sequencer > members[a.key].sequencer
            ]
            if not fresh:
                return
            chunks = [
                fresh[i : i + TRANSACTION_OBJECTS]
                for i in range(0, len(fresh), TRANSACTION_OBJECTS)
            ]
            if all(self._drops.record(model, drop, chunk) for chunk in chunks):
                return
            # Somebody else writes the same drop: full jitter, so that all of us get a turn.
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE_SECONDS, 0.02 * 2**attempt)))  # noqa: S311
        raise LedgerBusyError(
            f"Drop {drop} of {model} is written by too many at once; it will be tried again."
        )

    def _settle(self, model: str, drop: str, definition: ModelDefinition) -> None:
        record = self._drops.find(model, drop)
        if record and record.state in OPEN_STATES:
            record = self._seal_if_complete(record, definition)
        if record and record.state == "sealed" and record.execution_arn is None:
            arn = self._executions.start(
                self.execution_name(record), {"model": model, "drop": drop}
            )
            self._drops.update(record.key(), {"execution_arn": arn}, expect={"state": "sealed"})

    def _seal_if_complete(
        self, record: DropRecord, definition: ModelDefinition
    ) -> DropRecord | None:
        if (
            self._completeness(record, definition).complete
            and definition.data.complete != "manifest"
        ):
            # Nothing names the files, so S3's own list must agree: an event may lag behind the
            # one of `_SUCCESS` although its object came first.
            lagging = self.unheard(record.model, record.drop)
            self._record(
                record.model,
                record.drop,
                [self._pin(a) for a in lagging if belongs_to_a_drop(a.key)],
            )
            record = self._drops.find(record.model, record.drop) or record
        if record.state in OPEN_STATES:
            if self._completeness(record, definition).complete:
                self._drops.seal(record)
            elif definition.data.complete == "quiet":
                self._check_later(record, definition.data.quiet_seconds)
        return self._drops.find(record.model, record.drop)

    def _completeness(self, record: DropRecord, definition: ModelDefinition) -> Completeness:
        """Judge the drop by its objects as they are now; `record` must have been read before."""
        members = self._drops.members(record.model, record.drop)
        manifest = next((m for m in members.values() if place(m.object_key).path == MANIFEST), None)
        return completeness(
            definition.data.complete,
            {place(key).path for key in members},
            self._manifest(manifest) if manifest else None,
            quiet=seconds_since(record.last_seen_at) >= definition.data.quiet_seconds,
        )

    def _check_later(self, record: DropRecord, quiet_seconds: int) -> None:
        if record.quiet_check_at and record.quiet_check_at > now():
            return
        due = seconds_after(record.last_seen_at, quiet_seconds)
        self._quiet.schedule(record.model, record.drop, due)
        self._drops.update(record.key(), {"quiet_check_at": due}, expect={"state": record.state})

    def _keep_late(
        self,
        record: DropRecord,
        members: dict[str, ObjectRecord],
        arrivals: Sequence[Arrival],
    ) -> None:
        """Quarantine what came after the seal, but not for an event that came twice or too late."""
        for arrival in arrivals:
            member = members.get(arrival.key)
            if member and (
                member.version_id == arrival.version_id or arrival.sequencer <= member.sequencer
            ):
                continue
            reason = (
                f"Drop {record.drop} was already sealed at {record.sealed_at}; "
                "drop the file again under a new name."
            )
            self._keep_stray(record.model, record.drop, arrival, reason)

    def _keep_stray(self, model: str, drop: str, arrival: Arrival, reason: str) -> None:
        source = Location(self._settings.data_bucket, arrival.key, arrival.version_id)
        late = arrival.version_id if self._drops.find(model, drop) else None
        uri = self._quarantine.keep(source, quarantine_key(arrival.key, late), [reason])
        stray = self._object(model, drop, arrival)
        self._drops.put(
            stray.model_copy(
                update={
                    "stray": True,
                    "verdict": "quarantined",
                    "quarantine_uri": uri,
                    "reasons": [reason],
                }
            )
        )

    def _explain_unknown(self, model: str) -> str:
        """Return why objects of a model nobody knows are refused.

        Raises:
            DropError: its project is on its way, so try again.
        """
        projects = list(self._drops.query(ProjectRecord, model_partition(model), "project#"))
        if projects:
            last = max(projects, key=lambda p: p.published_at)
            return (
                f"The project of model {model} was refused: {' '.join(last.reasons)} "
                "Publish it again, then drop again."
            )
        prefix = f"projects/{model}/"
        if any(True for _ in self._storage.list(self._settings.data_bucket, prefix)):
            raise DropError(f"The project of model {model} is being read; trying again later.")
        return f"No project of model {model} is published: `headrace publish`, then drop again."

    def _is_known_nowhere(self, key: str, etag: str) -> bool:
        """Tell whether an object that belongs to no drop is in quarantine already."""
        if belongs_to_a_drop(key):
            return False
        strays = self._drops.query(ObjectRecord, drop_partition(NOWHERE, NOWHERE), f"stray#{key}#")
        return any(stray.etag == etag for stray in strays)

    def _definition(self, model: str) -> ModelDefinition | None:
        record = find_model(self._drops, model)
        if record is None:
            return None
        return load_definition(self._storage, self._settings, model, record.project_version)

    def _manifest(self, record: ObjectRecord) -> Manifest | None:
        """Return the manifest, or None when it cannot be read: planning will say why."""
        try:
            return load_manifest(self._storage, self._settings.data_bucket, record)
        except DropError:
            return None

    def _pin(self, arrival: Arrival) -> Arrival:
        """Return the arrival with the version of its object; listings do not tell it."""
        if arrival.version_id is not None:
            return arrival
        head = self._storage.head(Location(self._settings.data_bucket, arrival.key))
        return arrival.model_copy(
            update={
                "version_id": head.get("VersionId", "null"),
                "size": head["ContentLength"],
                "etag": head["ETag"].strip('"'),
            }
        )

    def _object(self, model: str, drop: str, arrival: Arrival) -> ObjectRecord:
        return ObjectRecord(
            model=model,
            drop=drop,
            object_key=arrival.key,
            version_id=str(arrival.version_id),
            sequencer=arrival.sequencer,
            size=arrival.size,
            etag=arrival.etag,
            seen_at=now(),
        )


@cache
def intake() -> Intake:
    """Return the intake of this process."""
    return Intake.of(IntakeSettings.from_mapping(os.environ))
