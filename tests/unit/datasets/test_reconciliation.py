from tests.unit.datasets.dropworld import MODEL

OLD = "2026-01-01T00:00:00.000Z"


def test_lost_events_are_found(aws):
    aws.put(f"drops/{MODEL}/lost/a b+ü")
    aws.put(f"drops/{MODEL}/lost/_manifest.json", b'{"files": ["a b+\xc3\xbc"]}')
    assert aws.reconciler.run()["found"] == 2
    assert aws.state("lost") == "sealed"
    assert len(aws.started()) == 1
    assert aws.reconciler.run()["found"] == 0


def test_a_newer_version_whose_event_was_lost_is_found(aws):
    aws.hear(aws.put(f"drops/{MODEL}/d1/a", b"1"))
    newer = aws.put(f"drops/{MODEL}/d1/a", b"22")["detail"]["object"]["version-id"]
    aws.reconciler.run()
    assert aws.drops.members(MODEL, "d1")[f"drops/{MODEL}/d1/a"].version_id == newer


def test_what_came_after_the_seal_unheard_is_kept_once(aws):
    aws.drop("d1", {"a": b"1"})
    aws.put(f"drops/{MODEL}/d1/late")
    aws.put(f"drops/{MODEL}/d1/../trick")
    assert aws.reconciler.run()["found"] == 2
    assert aws.reconciler.run()["found"] == 0
    assert len(aws.drops.strays(MODEL, "d1")) == 1


def test_a_drop_that_waits_too_long_is_reported_once_and_may_still_complete(aws):
    aws.hear(aws.put(f"drops/{MODEL}/d1/_manifest.json", b'{"files": ["a"]}'))
    record = aws.drops.find(MODEL, "d1")
    assert aws.reconciler.run()["ended"] == 0
    aws.drops.update(record.key(), {"last_seen_at": OLD})
    assert aws.reconciler.run()["ended"] == 1
    assert aws.drops.find(MODEL, "d1").reasons == ["Still waiting for a after 24 hours."]
    assert aws.state("d1") == "incomplete"
    assert aws.reconciler.run()["ended"] == 0
    aws.hear(aws.put(f"drops/{MODEL}/d1/a"))
    assert aws.state("d1") == "sealed"
    assert aws.drops.find(MODEL, "d1").reasons == []


def test_a_dead_execution_fails_its_drop_and_every_object_gets_an_end(aws):
    aws.drop("d1", {"a": b"1"})
    record = aws.drops.find(MODEL, "d1")
    aws.stepfunctions.stop_execution(executionArn=record.execution_arn)
    assert aws.reconciler.run()["ended"] == 1
    failed = aws.drops.find(MODEL, "d1")
    assert failed.state == "failed"
    assert "ended as ABORTED without a verdict" in failed.reasons[0]
    aws.reconciler.run()
    assert {m.verdict for m in aws.drops.members(MODEL, "d1").values()} == {"quarantined"}
    assert "ABORTED" in aws.reason(f"{MODEL}/d1/a")


def test_a_sealed_drop_whose_execution_never_started_is_started(aws):
    aws.hear(aws.put(f"drops/{MODEL}/d1/a"))
    record = aws.drops.find(MODEL, "d1")
    aws.drops.seal(record)
    aws.drops.update(record.key(), {"execution_arn": "arn:somebody:said:so"})
    aws.reconciler.run()
    assert len(aws.started()) == 1


def test_settled_drops_are_left_alone(aws):
    aws.drop("d1", {"a": b"1"})
    aws.inspect("d1")
    record = aws.drops.find(MODEL, "d1")
    aws.drops.update(record.key(), {"ended_at": OLD})
    aws.put(f"drops/{MODEL}/d1/much-later")
    assert aws.reconciler.run() == {"found": 0, "ended": 0}
