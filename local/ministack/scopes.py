"""What can be stopped at once: an execution, a Parallel branch, a task that waits."""

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions as sfn

_current: contextvars.ContextVar["Scope | None"] = contextvars.ContextVar("scope", default=None)


class StoppedError(sfn._ExecutionError):  # type: ignore[misc]  # an untyped base
    """The execution was stopped while a state waited; no Retry or Catch may see it."""

    def __init__(self) -> None:
        super().__init__("Local.Stopped", "")


class Scope:
    """A part of an execution, with the parts below it and what to do when it is stopped."""

    def __init__(self, role_arn: str, parent: "Scope | None" = None) -> None:
        self.role_arn = role_arn
        self.stopped = threading.Event()
        self.finished = threading.Event()
        self._on_stop: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self.close = parent.on_stop(self.stop) if parent else lambda: None

    def on_stop(self, action: Callable[[], None]) -> Callable[[], None]:
        """Run `action` when this scope stops (now, if it already has); returns how to forget it."""
        with self._lock:
            if not self.stopped.is_set():
                self._on_stop.append(action)
                return lambda: self._forget(action)
        action()
        return lambda: None

    def stop(self) -> None:
        """Stop whatever waits in this scope and below; once."""
        with self._lock:
            if self.stopped.is_set():
                return
            self.stopped.set()
            actions, self._on_stop = self._on_stop, []
        for action in actions:
            action()

    def check(self) -> None:
        """Raise `StoppedError` when the scope has been stopped."""
        if self.stopped.is_set():
            raise StoppedError

    def sleep(self, seconds: float) -> None:
        """Sleep, or raise `StoppedError` as soon as the scope is stopped."""
        if self.stopped.wait(seconds):
            raise StoppedError

    def _forget(self, action: Callable[[], None]) -> None:
        with self._lock:
            if action in self._on_stop:
                self._on_stop.remove(action)


def current() -> Scope | None:
    """The scope this thread runs in; None outside of an execution (TestState)."""
    return _current.get()


def enter(scope: Scope) -> "contextvars.Token[Scope | None]":
    """Make `scope` current until `leave`."""
    return _current.set(scope)


def leave(token: "contextvars.Token[Scope | None]") -> None:
    """Restore the scope before `enter`."""
    _current.reset(token)


def sleep(seconds: float) -> None:
    """Sleep in the current scope."""
    scope = current()
    if scope is None:
        time.sleep(seconds)
    else:
        scope.sleep(seconds)


def in_new_thread(target: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """Start `target` in a thread that keeps the account, the region and the scope."""
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(target, *arguments), daemon=True)
    thread.start()
    return thread
