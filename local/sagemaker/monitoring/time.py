"""When monitoring runs and which window of data a run looks at.

Expressions and offsets: API_ScheduleConfig and API_EndpointInput. An "hour" lasts as long as the
settings say, so that tests need not wait for one; hours are counted from the epoch.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from local.sagemaker.errors import invalid
from local.sagemaker.store import Record

_DAY = 24
_DAILY = "cron(0 0 ? * * *)"  # "SageMaker AI will pick a time for running every day"
_HOURS = re.compile(r"cron\(0 (\d{1,2})(?:/(\d{1,2}))? \? \* \* \*\)")
_DURATION = re.compile(r"[-+]?P(?=.)(?:(\d+)D)?(?:T(?:(\d+)D)?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_UNITS = (86400, 86400, 3600, 60, 1)


@dataclass(frozen=True)
class Cadence:
    """Runs at the hours `first`, `first + every`, ... of a day; `every` is 0 for one run, now."""

    first: int
    every: int

    def is_due(self, tick: int) -> bool:
        """Whether the hour with this number since the epoch is one to run at."""
        return bool(self.every) and (tick % _DAY - self.first) % _DAY % self.every == 0


def cadence(schedule: Record) -> Cadence:
    """Read a ScheduleConfig. Raises ValidationException for an expression AWS does not know."""
    expression = schedule.get("ScheduleExpression", _DAILY)
    if expression == "NOW":
        return Cadence(0, 0)
    if expression == "cron(0 * ? * * *)":
        return Cadence(0, 1)
    if match := _HOURS.fullmatch(expression):
        first, every = int(match[1]), int(match[2] or _DAY)
        if first < _DAY and 1 <= every <= _DAY:
            return Cadence(first, every)
    raise invalid(
        f'The ScheduleExpression "{expression}" is not supported. Use cron(0 * ? * * *), '
        "cron(0 [00-23] ? * * *), cron(0 [00-23]/[01-24] ? * * *) or NOW."
    )


def seconds(offset: str) -> int:
    """Return how long before the scheduled time an offset such as "-PT1H" lies."""
    match = _DURATION.fullmatch(offset)
    if not match:
        raise invalid(f'The offset "{offset}" is not an ISO 8601 duration such as "-PT1H".')
    return sum(
        int(count) * unit for count, unit in zip(match.groups(), _UNITS, strict=True) if count
    )


def window(scheduled: float, schedule: Record, given: Record, hour: float) -> tuple[float, float]:
    """Return start and end (epoch seconds) of the data a run at `scheduled` looks at.

    Raises ValidationException for a window that is empty, or longer than AWS's 24 hours where the
    schedule sets it.
    """
    start = schedule.get("DataAnalysisStartTime")
    end = schedule.get("DataAnalysisEndTime")
    if not cadence(schedule).every and (start is None or end is None):
        raise invalid(
            "DataAnalysisStartTime and DataAnalysisEndTime are required when ScheduleExpression "
            "is NOW."
        )
    if start is not None and end is not None and seconds(start) - seconds(end) > 86400:
        raise invalid("DataAnalysisStartTime must not precede DataAnalysisEndTime by over 24 hours")
    start = given.get("StartTimeOffset", start)
    end = given.get("EndTimeOffset", end)
    length = cadence(schedule).every * hour
    begins = scheduled - (length if start is None else seconds(start))
    ends = scheduled - (0 if end is None else seconds(end))
    if begins >= ends:
        raise invalid("The start of the data to monitor must precede its end.")
    return begins, ends


def hours(begins: float, ends: float) -> list[str]:
    """Return the yyyy/mm/dd/hh folders of a window, in order."""
    first = int(begins) // 3600
    last = max(first, -(-int(ends) // 3600) - 1)
    times = [dt.datetime.fromtimestamp(hour * 3600, dt.UTC) for hour in range(first, last + 1)]
    return [f"{time:%Y/%m/%d/%H}" for time in times]


def grouped(folders: list[str], limit: int) -> list[str]:
    """Return at most `limit` folders that hold all of these: the hours, else days, months, years.

    AWS too hands over more than the window at times ("Container Contract Inputs").
    """
    found = folders
    while len(found) > limit and "/" in found[0]:
        found = list(dict.fromkeys(folder.rpartition("/")[0] for folder in found))
    return found


def iso(epoch: float) -> str:
    """Return a time as the containers are told it."""
    return dt.datetime.fromtimestamp(int(epoch), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
