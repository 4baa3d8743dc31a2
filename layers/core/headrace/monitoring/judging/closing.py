"""Which predictions are measured together: those of the newest window whose outcomes are in."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from headrace.monitoring.layout import Slot


class SlotOutcomes(NamedTuple):
    """A slot, until when outcomes count, its predictions (None: not counted yet), its outcomes."""

    slot: Slot
    until: datetime
    predictions: int | None
    outcomes: int

    def is_closed(self, now: datetime) -> bool:
        """Tell whether no more outcomes are awaited: all are known, or they had their time."""
        known = self.predictions is not None and self.outcomes >= self.predictions
        return self.slot.end <= now and (known or self.until <= now)


class Closed(NamedTuple):
    """The slots that are measured together, and whether all their outcomes are in."""

    slots: Sequence[SlotOutcomes]
    complete: bool


def newest_closed(slots: Sequence[SlotOutcomes], window: int, now: datetime) -> Closed:
    """Return the newest window (in seconds) of which every slot is closed.

    `slots` are in their order. Outcomes that come early may be of another kind than late ones (a
    loan fails before it is repaid), so a window that is still open proves nothing: without any that
    is closed the newest one is returned, incomplete. A slot in which nothing was predicted proves
    nothing either, and is no part of a window.
    """
    slots = [each for each in slots if each.predictions != 0]
    closed = newest = range(0)
    first, newest_open = 0, -1
    for last, each in enumerate(slots):
        while slots[first].slot.end <= each.slot.end - timedelta(seconds=window):
            first += 1
        if not each.is_closed(now):
            newest_open = last
        newest = range(first, last + 1)
        if newest_open < first:
            closed = newest
    return Closed([slots[i] for i in closed or newest], complete=bool(closed))
