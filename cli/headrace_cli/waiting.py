"""Waiting for what another system does, with a limit."""

import time
from collections.abc import Callable
from typing import TypeVar

from headrace_cli.errors import TimedOutError

T = TypeVar("T")


def wait_for(
    look: Callable[[], T | None], what: str, *, timeout: float, interval: float, hint: str = ""
) -> T:
    """Call `look` every `interval` seconds until it returns something.

    Raises:
        TimedOutError: after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while (found := look()) is None:
        if time.monotonic() >= deadline:
            raise TimedOutError(f"Waited {timeout:.0f} s in vain for {what}.", hint)
        time.sleep(interval)
    return found
