"""Who answered when, and runs that add captures: exactly once, whoever runs when."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import MonitoringError
from headrace.monitoring.layout import baseline_key
from headrace.monitoring.slots import SlotDocument, serving_times
from tests.unit import world
from tests.unit.monitoring.captured import BASE, Traffic, count, deployment, project, record

MINUTE = timedelta(minutes=1)


def at(minutes):
    return BASE + minutes * MINUTE


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return project(tmp_path_factory.mktemp("project"))


def spans(records):
    def minutes(each):
        return tuple(None if time is None else (time - BASE) / MINUTE for time in each)

    return {
        times.package_version: ([minutes(s) for s in times.alone], [*map(minutes, times.leaving)])
        for times in serving_times(records)
    }


def test_a_version_answers_alone_from_its_deployments_end_until_the_next_moves_traffic():
    one, two = deployment(1, at(0), at(10)), deployment(2, at(60), at(70))
    assert spans([two, one]) == {1: ([(10, 60)], [(60, 70)]), 2: ([(70, None)], [])}
    under_way = deployment(2, at(60), None)
    assert spans([one, under_way]) == {1: ([(10, 60)], [(60, None)])}


@pytest.mark.parametrize("status", ["rolled back", "failed"])
def test_a_version_that_was_taken_back_leaves_the_one_before_alone_again(status):
    records = [
        deployment(1, at(0), at(10)),
        deployment(2, at(60), at(70), status=status),
        deployment(3, at(80), at(81), status="refused", moving_since=None),
        deployment(3, at(90), None, status="comparing", moving_since=None),
    ]
    assert spans(records) == {1: ([(10, 60), (70, None)], [(60, 70)])}


def test_a_version_that_comes_back_has_two_stretches():
    records = [
        deployment(1, at(0), at(1)),
        deployment(2, at(5), at(6)),
        deployment(1, at(8), at(9)),
    ]
    alone, leaving = spans(records)[1]
    assert (alone, leaving) == ([(1, 5), (9, None)], [(5, 6)])


def test_a_document_takes_a_file_once():
    one = SlotDocument(slot="2026-11-22T13-00-00Z", seconds=60, files=["a"], unreadable={"x": 1})
    other = one.model_copy(update={"files": ["b"], "unreadable": {"x": 2, "y": 1}})
    assert one.adding(other).unreadable == {"x": 3, "y": 1}
    with pytest.raises(MonitoringError, match="already"):
        one.adding(one)
    with pytest.raises(MonitoringError, match="no slot document"):
        SlotDocument.from_json(b'{"slot": 3}')


# A story: files of records, deployments, and runs in between, in minutes since the beginning.
minutes = st.integers(0, 400)
stories = st.fixed_dictionaries(
    {
        "files": st.lists(
            st.tuples(minutes, st.integers(0, 3), st.integers(1, 100)), min_size=1, max_size=12
        ),
        "moves": st.lists(st.tuples(st.integers(20, 300), st.integers(1, 60)), max_size=2),
        "runs": st.lists(st.tuples(minutes, st.sampled_from([300.0, 0.0])), max_size=6),
        "meanwhile": st.lists(st.integers(0, 12), max_size=3),
        "schedule": st.sampled_from(["10m", "1h"]),
    }
)


def play(story, archive, *, only_the_last_run):
    """Play a story; a run in between finds what had come until then, and others write meanwhile."""
    traffic = Traffic(archive, count)
    traffic.ledger.put(deployment(1, at(-30), at(-20)))
    events = []
    for number, (time, delay, records) in enumerate(story["files"]):
        rows = [record([{"amount": 1}], at(time - n / 10)) for n in range(records)]
        events.append(
            (
                time + delay + 0.5,
                lambda t=time, r=rows, n=number: traffic.capture(at(t), *r, number=n),
            )
        )
    start = 0
    for version, (after, lasting) in enumerate(story["moves"], start=2):
        start, end = start + after, start + after + lasting
        events.append(
            (start, lambda v=version, s=start: traffic.ledger.put(deployment(v, at(s), None)))
        )
        ended = deployment(version, at(start), at(end))
        events.append((end, lambda e=ended: traffic.ledger.put(e)))
        start = end
    if not only_the_last_run:
        for time, remaining in story["runs"]:
            events.append((time, lambda t=time, r=remaining: run(traffic, at(t), r, story)))
    for _, happens in sorted(events, key=lambda each: each[0]):
        happens()
    while run(traffic, at(460), 300.0, story).more:
        pass
    return {
        key: document.model_copy(update={"parts": []}) for key, document in traffic.slots().items()
    }, traffic


def run(traffic, now, remaining, story):
    """Run once, and in the middle of it, before some of its writes, another one."""
    writes = iter(range(100))
    before = traffic.bucket.before_write

    def meanwhile():
        if next(writes) in story["meanwhile"]:
            traffic.bucket.before_write = before
            traffic.run(now)
            traffic.bucket.before_write = meanwhile

    traffic.remaining = remaining
    traffic.bucket.before_write = meanwhile
    try:
        return traffic.run(now)
    finally:
        traffic.bucket.before_write = before


@settings(max_examples=25, deadline=None)
@given(story=stories)
def test_whoever_runs_when_the_documents_are_those_of_one_run_over_everything(archive, story):
    found, traffic = play(story, archive, only_the_last_run=False)
    expected, _ = play(story, archive, only_the_last_run=True)
    assert found == expected
    for document in traffic.slots().values():
        # Every row is in one part that a document names, and no file is in twice.
        parts = [traffic.bucket.objects[uri.split("/", 3)[3]] for uri in document.parts]
        assert sum(len(part.splitlines()) for part in parts) == document.rows
        assert len(set(document.files)) == len(document.files)


def test_a_version_that_is_brought_back_after_it_was_over_is_watched_again(archive):
    traffic = Traffic(archive, count)
    traffic.ledger.put(deployment(1, at(-2), at(-1)))
    traffic.capture(at(1), record([{"amount": 1}], at(1)))
    traffic.ledger.put(deployment(2, at(60), at(61)))
    assert [traffic.run(at(minutes)).rows for minutes in (10, 400, 401)] == [1, 0, 0]
    traffic.ledger.put(deployment(1, at(500), at(501)))
    traffic.capture(at(510), record([{"amount": 1}], at(510)))
    assert traffic.run(at(515)).rows == 1
    # What comes last is found though the first life was finished long ago.
    traffic.ledger.put(deployment(2, at(520), at(521)))
    traffic.capture(at(519), record([{"amount": 1}], at(519)))
    assert [traffic.run(at(minutes)).rows for minutes in (900, 901)] == [1, 0]
    assert sum(d.rows for (version, _), d in traffic.slots().items() if version == 1) == 3


def test_a_baseline_nobody_can_read_does_not_hold_up_the_versions_after(archive):
    traffic = Traffic(archive, count)
    traffic.ledger.put(deployment(1, at(-2), at(-1)))
    traffic.ledger.put(deployment(2, at(60), at(61)))
    traffic.bucket.objects[baseline_key(world.MODEL, "run-1")] = b'{"schema_version": 0}'
    for minutes in (1, 70):
        traffic.capture(at(minutes), record([{"amount": 1}], at(minutes)))
    assert traffic.run(at(75)).rows == 2
