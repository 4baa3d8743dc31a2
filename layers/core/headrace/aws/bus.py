"""Headrace's own event bus."""

from typing import Any, Self

from headrace.aws.clients import client
from headrace.errors import AnnouncementError
from headrace.events import Event


class Bus:
    """Announces facts."""

    def __init__(self, name: str, events: Any) -> None:
        self._name = name
        self._events = events

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the bus called `name`, with the process's own client."""
        return cls(name, client("events"))

    def announce(self, event: Event) -> None:
        """Put one fact on the bus.

        Raises:
            AnnouncementError: PutEvents answers 200 even when it refuses an entry; that is told.
        """
        reply = self._events.put_events(Entries=[event.entry(self._name)])
        if reply["FailedEntryCount"]:
            raise AnnouncementError(
                f"EventBridge refused {type(event).__name__} of {event.model}: {reply['Entries']}. "
                "Retry; if it persists, look at the bus's policy."
            )
