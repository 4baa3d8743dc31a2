"""Invariants 1-6 and 14 of the data: whatever happens to events, a drop ends the same."""

import itertools
import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headrace.datasets.arrivals import quarantine_key
from tests.unit.datasets.dropworld import DATA, DropWorld, drop_world

NAMED = ["part 1+ü.parquet", "a/b=c/%2F.parquet", "ok.parquet"]
EXTRA = ["unnamed.parquet", "../trick.parquet"]
CONTENTS = [b"1", b"2\n2", b"bad"]


class Drops(RuleBasedStateMachine):
    """Objects are put and put again; events are late, doubled, reordered or lost."""

    aws: DropWorld
    numbers = itertools.count()

    @initialize(complete=st.booleans())
    def begin(self, complete):
        # One world for all examples; each has a model of its own, and a ledger that knows no other.
        self.aws.forget()
        self.model = f"m{next(self.numbers)}"
        self.prefix = f"drops/{self.model}/d1/"
        with tempfile.TemporaryDirectory() as folder:
            self.aws.publish(Path(folder), self.model)
        self.pending, self.heard, self.versions = [], [], {}
        if complete:
            for path in NAMED:
                self.put(path, b"1")
            self.the_manifest_arrives()

    def put(self, path, content):
        event = self.aws.put(self.prefix + path, content)
        self.pending.append(event)
        self.versions.setdefault(self.prefix + path, []).append(
            event["detail"]["object"]["version-id"]
        )

    @rule(path=st.sampled_from(NAMED + EXTRA), content=st.sampled_from(CONTENTS))
    def a_file_arrives(self, path, content):
        self.put(path, content)

    @rule()
    def the_manifest_arrives(self):
        self.put("_manifest.json", json.dumps({"files": NAMED}).encode())

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def events_are_delivered(self, data):
        batch = data.draw(st.lists(st.sampled_from(self.pending), min_size=1, max_size=4))
        self.pending = [event for event in self.pending if event not in batch]
        self.heard += batch
        self.aws.hear(*batch)

    @precondition(lambda self: self.heard)
    @rule(data=st.data())
    def an_event_comes_again(self, data):
        self.aws.hear(data.draw(st.sampled_from(self.heard)))

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def an_event_is_lost(self, data):
        self.pending.remove(data.draw(st.sampled_from(self.pending)))

    @rule()
    def the_reconciler_looks(self):
        self.aws.reconciler.run()

    @invariant()
    def one_execution_and_only_of_a_complete_drop(self):
        record = self.aws.drops.find(self.model, "d1")
        sealed = record is not None and record.state == "sealed"
        assert len(self.aws.started(self.model)) == int(sealed)
        if sealed:
            members = self.aws.drops.members(self.model, "d1")
            assert {self.prefix + path for path in NAMED} <= members.keys()

    @invariant()
    def a_member_is_never_older_than_what_was_heard(self):
        record = self.aws.drops.find(self.model, "d1")
        if record is None or record.state != "open":
            return
        for key, member in self.aws.drops.members(self.model, "d1").items():
            heard = [e["detail"]["object"] for e in self.heard]
            newest = max(
                (self.versions[key].index(o["version-id"]) for o in heard if o["key"] == key),
                default=0,
            )
            assert self.versions[key].index(member.version_id) >= newest

    def teardown(self):
        # Whatever is missing comes at last, and what was lost is found.
        for path in [*NAMED, "_manifest.json"]:
            if self.prefix + path not in self.versions:
                self.put(path, json.dumps({"files": NAMED}).encode())
        self.aws.hear(*self.pending)
        self.aws.reconciler.run()
        self.aws.inspect("d1", model=self.model)
        self.every_object_has_one_end()
        assert self.aws.reconciler.run() == {"found": 0, "ended": 0}

    def every_object_has_one_end(self):
        drops = self.aws.drops
        record = drops.find(self.model, "d1")
        assert record.state in {"accepted", "quarantined"}
        assert len(self.aws.started(self.model)) == 1
        members = drops.members(self.model, "d1")
        strays = {(s.object_key, s.version_id): s for s in drops.strays(self.model, "d1")}
        strays |= {(s.object_key, s.version_id): s for s in drops.strays("_", "_")}
        kept = self.aws.kept()
        for key, versions in self.versions.items():
            newest = versions[-1]
            member = members.get(key)
            if member and member.version_id == newest:
                assert (key, newest) not in strays
                assert member.verdict in {"accepted", "quarantined"}
                if member.verdict == "quarantined":
                    assert member.reasons
                    assert quarantine_key(key) in kept
                else:
                    assert member.dataset_version == record.dataset_version
            else:
                # Superseded by the same content, or a stray with its reason.
                etags = {o["ETag"] for o in self.listed(key)}
                stray = strays.get((key, newest))
                assert stray or (member and f'"{member.etag}"' in etags)
                if stray:
                    assert stray.reasons
                    assert stray.quarantine_uri.split("/", 3)[3] in kept
        self.dataset_files_are_the_accepted_members(record, members)

    def listed(self, key):
        return [o for o in self.aws.storage.list(DATA, key) if o["Key"] == key]

    def dataset_files_are_the_accepted_members(self, record, members):
        accepted = {
            (key, m.version_id)
            for key, m in members.items()
            if m.verdict == "accepted" and m.sha256
        }
        if record.state == "quarantined":
            assert not accepted
            return
        described = json.loads(
            self.aws.s3.get_object(
                Bucket=DATA, Key=f"datasets/{self.model}/{record.dataset_version}/dataset.json"
            )["Body"].read()
        )
        sources = [(f["source"]["key"], f["source"]["version_id"]) for f in described["files"]]
        assert len(sources) == len(accepted)
        assert set(sources) == accepted


def test_a_drop_ends_the_same_whatever_happens_to_its_events():
    with drop_world() as aws:
        Drops.aws = aws
        run_state_machine_as_test(
            Drops,
            settings=settings(
                max_examples=6,
                stateful_step_count=10,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
