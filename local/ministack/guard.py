"""Every replaced internal is named and checked here, so that an upgrade fails loudly at start."""

import inspect
from collections.abc import Callable
from typing import Any

PINNED = "1.5.33"


class IncompatibleError(RuntimeError):
    """The installed MiniStack is not the one these corrections were written for."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"MiniStack has changed: {what}. The corrections in local/ministack were written for "
            f"version {PINNED}; install that version or revise the correction."
        )


def expect(condition: object, what: str) -> None:
    """Raise `IncompatibleError` unless the internal described by `what` is as we know it."""
    if not condition:
        raise IncompatibleError(what)


def replace(module: Any, name: str, parameters: str, new: Callable[..., Any]) -> Any:
    """Put `new` in place of `module.name` and return the original.

    `parameters` are the original's parameter names, blank separated: a changed signature is the
    cheapest sign that the function behind it changed too.
    """
    old = getattr(module, name, None)
    where = f"{getattr(module, '__name__', module)}.{name}({parameters})"
    expect(callable(old), f"{where} is missing")
    expect(" ".join(inspect.signature(old).parameters) == parameters, f"{where} differs")
    setattr(module, name, new)
    return old
