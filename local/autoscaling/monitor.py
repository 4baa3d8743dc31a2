"""What Application Auto Scaling needs of the rest of the local AWS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Alarm:
    """An alarm in ALARM: `value` is its metric's newest statistic, None without data."""

    name: str
    threshold: float
    value: float | None
    period: float


class Monitor(Protocol):
    """CloudWatch and the calendar. Every method may be called from any thread."""

    region: str
    account_id: str

    def put_alarm(self, alarm: dict[str, Any]) -> str:
        """Make or replace an alarm (PutMetricAlarm's request); return its ARN."""

    def delete_alarms(self, names: list[str]) -> None:
        """Remove alarms; those that are gone already are no error."""

    def ringing(self, action: str) -> list[Alarm]:
        """Return the alarms in ALARM whose enabled actions name an ARN."""

    def record(self, namespace: str, metric: str, value: float, names: Mapping[str, str]) -> None:
        """Add a value to a metric with these dimensions."""

    def next_run(self, schedule: str, timezone: str, since: float) -> float | None:
        """Return when a schedule is due next after a moment (epoch seconds), None for never.

        Raises ValueError for an expression that is not one.
        """
