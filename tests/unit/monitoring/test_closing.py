"""Which predictions are measured together: no window whose outcomes may still come."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from headrace.monitoring.judging.closing import SlotOutcomes, newest_closed
from headrace.monitoring.layout import Slot

START = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = 3600


def slots(*known: int | None, wait: float = 100) -> list[SlotOutcomes]:
    """Return slots of ten predictions in consecutive hours, with so many outcomes (None: none)."""
    return [
        SlotOutcomes(
            Slot(hours(i), HOUR), hours(i + 1 + wait), None if each is None else 10, each or 0
        )
        for i, each in enumerate(known)
    ]


def hours(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def test_the_newest_closed_window_is_measured() -> None:
    known = slots(10, 10, 10, 3, None)
    found = newest_closed(known, 2 * HOUR, hours(5))
    assert (found.slots, found.complete) == (known[1:3], True)
    # An open slot within the window keeps it open, though later slots are closed.
    known = slots(3, 10, 10)
    assert newest_closed(known, 2 * HOUR, hours(3)).slots == known[1:]
    found = newest_closed(known, 3 * HOUR, hours(3))
    assert (found.slots, found.complete) == (known, False)
    # What had its time is closed, whatever came; what has not ended may still grow.
    known = slots(None, 10, 10, wait=1)
    assert newest_closed(known, 3 * HOUR, hours(2.5)).slots == known[:2]
    assert newest_closed([], HOUR, hours(1)).slots == []


def test_a_slot_without_predictions_does_not_stand_for_the_others() -> None:
    """Two versions answered in it, so that all its rows were left out."""
    *known, last = slots(3, 3, 0)
    found = newest_closed([*known, last._replace(predictions=0)], HOUR, hours(3))
    assert (found.slots, found.complete) == (known[1:], False)


@given(
    known=st.lists(st.sampled_from([None, 0, 9, 10]), min_size=1, max_size=12),
    window=st.integers(1, 5),
    wait=st.integers(0, 8),
    now=st.integers(0, 20),
)
def test_a_complete_window_has_no_open_slot_and_none_is_newer(
    known: list[int | None], window: int, wait: int, now: int
) -> None:
    every, at = slots(*known, wait=wait), hours(now)
    found = newest_closed(every, window * HOUR, at)

    def closed(last: int) -> bool:
        return all(s.is_closed(at) for s in every[max(0, last - window + 1) : last + 1])

    newest = max((i for i in range(len(every)) if closed(i)), default=None)
    assert found.complete is (newest is not None)
    last = len(every) - 1 if newest is None else newest
    assert found.slots == every[max(0, last - window + 1) : last + 1]
