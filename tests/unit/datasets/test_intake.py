import threading

import boto3
import pytest

from headrace.aws.drops import Drops
from headrace.aws.storage import Location
from headrace.errors import DropError
from headrace.projects import archive_key
from headrace.records import Key, ObjectRecord, ProjectRecord
from tests.unit import world
from tests.unit.datasets.dropworld import DATA, MODEL

OLD = "2026-01-01T00:00:00.000Z"


def test_a_late_object_is_kept_with_the_reason_and_a_twin_event_is_not(aws):
    first = aws.put(f"drops/{MODEL}/d1/a")
    aws.hear(first, aws.put(f"drops/{MODEL}/d1/_manifest.json", b'{"files": ["a"]}'))
    assert aws.state("d1") == "sealed"
    aws.hear(first)
    assert aws.drops.strays(MODEL, "d1") == []
    aws.hear(aws.put(f"drops/{MODEL}/d1/a", b"changed"))
    (stray,) = aws.drops.strays(MODEL, "d1")
    assert "was already sealed at" in stray.reasons[0]
    assert "drop the file again under a new name" in stray.reasons[0]
    assert stray.quarantine_uri is not None
    assert aws.storage.get_bytes(Location.of(stray.quarantine_uri), 10) == b"changed"
    assert aws.drops.members(MODEL, "d1")[stray.object_key].version_id != stray.version_id


def test_what_belongs_nowhere_is_kept_with_the_reason(aws):
    for key in ("drops/loose", f"drops/{MODEL}/d1/../x", "drops/unknown/d1/a"):
        aws.hear(aws.put(key))
    assert "lies in no drop" in aws.reason("_/_/drops/loose")
    assert "path" in aws.reason(f"_/_/drops/{MODEL}/d1/%2E%2E/x")
    assert "No project of model unknown is published" in aws.reason("unknown/d1/a")
    assert aws.state("d1") is None


def test_markers_of_folders_are_no_objects(aws):
    aws.hear(aws.put(f"drops/{MODEL}/d1/", b""))
    assert aws.state("d1") is None
    assert aws.kept() == set()


def test_a_drop_waits_for_a_project_that_is_on_its_way(aws):
    aws.s3.put_object(Bucket=DATA, Key=archive_key("coming", "0" * 12), Body=b"")
    event = aws.put("drops/coming/d1/a")
    with pytest.raises(DropError, match="trying again"):
        aws.hear(event)
    aws.drops.put(
        ProjectRecord(
            model="coming",
            project_version="0" * 12,
            uri="s3://x/y",
            status="refused",
            published_at=OLD,
            reasons=["data.label is missing."],
        )
    )
    aws.hear(event)
    assert "was refused: data.label is missing." in aws.reason("coming/d1/a")


def test_success_waits_for_what_s3_lists_though_events_lag(aws, tmp_path):
    aws.publish(tmp_path, "spark", complete="success")
    lagging = aws.put("drops/spark/d1/part-0")
    aws.hear(aws.put("drops/spark/d1/_SUCCESS", b""))
    assert aws.state("d1", "spark") == "sealed"
    assert "drops/spark/d1/part-0" in aws.drops.members("spark", "d1")
    aws.hear(lagging)
    assert aws.drops.strays("spark", "d1") == []


def test_a_crash_after_the_seal_still_starts_one_execution(aws):
    event = aws.put(f"drops/{MODEL}/d1/a")
    aws.hear(event)
    record = aws.drops.find(MODEL, "d1")
    aws.drops.seal(record)
    assert aws.started() == []
    aws.hear(event)
    aws.hear(event)
    assert aws.started() == [aws.intake.execution_name(record)]


def test_sealing_needs_the_objects_to_be_those_that_were_read(aws):
    aws.hear(aws.put(f"drops/{MODEL}/d1/a"))
    read = aws.drops.find(MODEL, "d1")
    aws.hear(aws.put(f"drops/{MODEL}/d1/b"))
    aws.drops.seal(read)
    assert aws.state("d1") == "open"
    aws.drops.seal(aws.drops.find(MODEL, "d1"))
    assert aws.state("d1") == "sealed"
    late = ObjectRecord(
        model=MODEL,
        drop="d1",
        object_key=f"drops/{MODEL}/d1/c",
        version_id="v",
        sequencer="1",
        size=1,
        etag="e",
        seen_at=OLD,
    )
    assert aws.drops.record(MODEL, "d1", [late]) is False
    assert aws.drops.get(ObjectRecord, late.key()) is None


def test_concurrent_batches_seal_and_start_once(aws):
    files = [aws.put(f"drops/{MODEL}/d1/{i}") for i in range(6)]
    manifest = b'{"files": ["0", "1", "2", "3", "4", "5"]}'
    files.append(aws.put(f"drops/{MODEL}/d1/_manifest.json", manifest))
    faults = []

    def deliver(event):
        try:
            aws.hear(event)
        except Exception as error:  # noqa: BLE001 — a thread's fault must reach the test
            faults.append(error)

    threads = [threading.Thread(target=deliver, args=(event,)) for event in files]
    with aws.one_request_at_a_time():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert faults == []
    assert aws.state("d1") == "sealed"
    assert len(aws.drops.members(MODEL, "d1")) == 7
    assert len(aws.started()) == 1


def test_a_quiet_drop_is_looked_at_once_when_due(aws, tmp_path):
    aws.publish(tmp_path, "quiet", complete="quiet", quiet_seconds=10)
    aws.hear(aws.put("drops/quiet/d1/a"))
    aws.hear(aws.put("drops/quiet/d1/b"))
    (schedule,) = aws.scheduler.list_schedules(GroupName="quiet")["Schedules"]
    described = aws.scheduler.get_schedule(GroupName="quiet", Name=schedule["Name"])
    assert described["ActionAfterCompletion"] == "DELETE"
    assert described["ScheduleExpression"].startswith("at(2")
    assert described["Target"]["Input"] == '{"model": "quiet", "drop": "d1"}'
    # It comes due, but not all is quiet: another look is scheduled.
    record = aws.drops.find("quiet", "d1")
    aws.drops.update(record.key(), {"quiet_check_at": OLD})
    aws.intake.settle("quiet", "d1")
    assert len(aws.scheduler.list_schedules(GroupName="quiet")["Schedules"]) == 2
    assert aws.state("d1", "quiet") == "open"
    # Now nothing has come for long; an object whose event lags makes the drop wait again.
    aws.drops.update(record.key(), {"last_seen_at": OLD, "quiet_check_at": OLD})
    aws.put("drops/quiet/d1/c")
    aws.intake.settle("quiet", "d1")
    assert aws.state("d1", "quiet") == "open"
    aws.drops.update(record.key(), {"last_seen_at": OLD, "quiet_check_at": OLD})
    aws.intake.settle("quiet", "d1")
    assert aws.state("d1", "quiet") == "sealed"
    assert len(aws.drops.members("quiet", "d1")) == 3


def test_an_event_without_a_version_is_pinned_to_the_present_one(aws):
    event = aws.put(f"drops/{MODEL}/d1/a")
    pinned = event["detail"]["object"].pop("version-id")
    aws.hear(event)
    assert aws.drops.members(MODEL, "d1")[f"drops/{MODEL}/d1/a"].version_id == pinned


def test_more_objects_than_one_transaction_takes(aws):
    template = aws.put(f"drops/{MODEL}/d1/0")["detail"]["object"]
    keys = {f"drops/{MODEL}/d1/{i}" for i in range(101)}
    aws.hear(*[{"detail": {"object": template | {"key": key}}} for key in keys])
    members = aws.drops.members(MODEL, "d1")
    assert members.keys() == keys
    aws.drops.put_all([m.model_copy(update={"verdict": "accepted"}) for m in members.values()])
    judged = aws.drops.members(MODEL, "d1").values()
    assert [m.verdict for m in judged] == ["accepted"] * 101


def test_the_ledger_is_one_row_per_object_and_drop(aws):
    event = aws.put(f"drops/{MODEL}/d1/a")
    for _ in range(3):
        aws.hear(event, event)
    dynamodb = boto3.client("dynamodb", region_name=world.REGION)
    rows = dynamodb.scan(TableName="ledger")["Items"]
    of_drop = [r for r in rows if "d1" in r["pk"]["S"] + r["sk"]["S"]]
    assert len(of_drop) == 2
    assert isinstance(aws.drops, Drops)
    assert aws.drops.get(ObjectRecord, Key(pk=f"drop#{MODEL}/d1", sk="object#missing")) is None
