"""Every replaced internal is named and checked here, so that an upgrade fails loudly at start."""

import inspect
from collections.abc import Callable
from typing import Any

PINNED = "1.5.33"

_stock: dict[Any, Callable[..., Any]] = {}


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


def replace(module: Any, name: str, parameters: str, new: Callable[..., Any]) -> None:
    """Put `new` in place of `module.name`; `stock(new)` is the original.

    `parameters` are the original's parameter names, blank separated: a changed signature is the
    cheapest sign that the function behind it changed too.
    """
    old = getattr(module, name, None)
    where = f"{getattr(module, '__name__', module)}.{name}({parameters})"
    if old is None:
        raise IncompatibleError(f"{where} is missing")
    first = old
    while first in _stock:  # replaced before: what counts is MiniStack's own
        first = _stock[first]
    expect(" ".join(inspect.signature(first).parameters) == parameters, f"{where} differs")
    _stock[new] = old
    setattr(module, name, new)


def stock(new: Callable[..., Any]) -> Callable[..., Any]:
    """What `new` replaced."""
    return _stock[new]
