"""Keys and slots: every time has one slot, names sort as times do."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.monitoring import layout
from headrace.monitoring.layout import Slot, VersionFolder

times = st.datetimes(
    datetime(1971, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.just(UTC),
)
widths = st.integers(60, 86400)
NOW = datetime(2026, 11, 22, 13, 20, 5, 123000, tzinfo=UTC)


@given(times, widths)
def test_every_time_is_in_the_one_slot_whose_name_leads_back_to_it(time, seconds):
    slot = Slot.at(time, seconds)
    assert slot.start <= time < slot.end
    assert Slot.at(slot.end, seconds).start == slot.end
    assert slot.start.timestamp() % seconds == 0
    assert Slot.named(slot.name, seconds) == slot
    assert layout.slot_of_key(VersionFolder("m", 3).slot_key(slot.name)) == slot.name


@given(times, times, widths)
def test_names_sort_as_their_times(one, other, seconds):
    slots = [Slot.at(one, seconds), Slot.at(other, seconds)]
    assert sorted(slots) == sorted(slots, key=lambda slot: slot.name)


@given(times, st.integers(0, 500_000), st.integers(600, 86400))
def test_the_slots_of_a_window_are_those_that_overlap_it(start, lasting, seconds):
    end = start + timedelta(seconds=lasting)
    found = list(layout.slots_between(start, end, seconds))
    assert all(slot.overlaps(start, end) or lasting == 0 for slot in found)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    if found:
        before, after = Slot.at(found[0].start - timedelta(seconds=1), seconds), found[-1].end
        assert not before.overlaps(start, end)
        assert after >= end


def test_a_width_of_a_day_starts_at_midnight_in_utc():
    slot = Slot.at(datetime.fromisoformat("2026-11-22T23:30:00-05:00"), 86400)
    assert slot.name == "2026-11-23T00-00-00Z"


@given(times)
def test_a_capture_file_tells_its_time_and_sorts_behind_its_hour(time):
    name = f"{time:%M-%S}-{time.microsecond // 1000:03d}-0f3c.jsonl"
    key = f"{layout.captures_folder('headrace-m')}{time:%Y/%m/%d/%H}/{name}"
    told = layout.capture_time(key, NOW)
    assert told == time.replace(microsecond=time.microsecond // 1000 * 1000)
    assert layout.captures_from("headrace-m", time) < key
    assert layout.captures_from("headrace-m", time + timedelta(hours=1)) > key


@pytest.mark.parametrize(
    "name", ["2026/11/22/13/part-0.jsonl", "2026/13/22/13/20-05-123-x.jsonl", "20-05-123-x.jsonl"]
)
def test_a_file_of_another_name_is_of_when_it_was_modified(name):
    assert layout.capture_time(f"captures/e/champion/{name}", NOW) == NOW


def test_an_input_never_takes_the_place_of_what_headrace_writes():
    assert layout.input_column("amount") == "amount"
    assert {layout.input_column(n) for n in ("id", "AT")} == {"input.id", "input.AT"}
