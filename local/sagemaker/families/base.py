"""What a family of operations is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from local.sagemaker import shapes
from local.sagemaker.context import Context
from local.sagemaker.resources import Handler, Kind, Resources
from local.sagemaker.store import Record

Method = TypeVar("Method", bound=Callable[..., Any])


def operation(method: Method) -> Method:
    """Mark a method as the operation of its name: `create_model` answers CreateModel."""
    method.is_operation = True  # type: ignore[attr-defined]
    return method


def operations_of(family: object) -> dict[str, Handler]:
    """Return the methods that are marked as operations, by the operations' names.

    Raises KeyError for a method that is named after none: its operation could never be asked for.
    """
    names = shapes.names_in_lower_case()
    return {
        names[attribute.replace("_", "")]: getattr(family, attribute)
        for attribute in dir(type(family))
        if getattr(getattr(type(family), attribute), "is_operation", False)
    }


class Operations:
    """Methods marked `@operation`, gathered by the operations' names.

    `make docs` lists them in docs/local-operations.md, beside the first lines of the subclass's
    docstring.
    """

    stored_only: ClassVar[frozenset[str]] = frozenset()
    """Operations that are accepted and kept, while nothing here acts on them as AWS does."""

    def operations(self) -> dict[str, Handler]:
        """Return every operation by its name."""
        return operations_of(self)


class Family(Operations):
    """Operations on one kind of resource.

    Describe, List and Delete come from the kind, those named in `generic`; a method marked
    `@operation` adds one or replaces one.
    """

    kind: ClassVar[Kind]
    generic: ClassVar[tuple[str, ...]] = ("Describe", "List", "Delete")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.resources = Resources(self.kind, context.store, context.cloud, self._tell)

    def start(self) -> None:
        """Take up what was running when the emulator stopped."""

    def close(self) -> None:
        """Deliver what is left and leave records as they are, for the next start."""

    def changed(self, record: Record) -> None:
        """Tell the world of a record that was made or changed."""

    def _tell(self, record: Record) -> None:
        self.changed(record)
        for observe in self.context.observers:
            observe(self.kind.name, record)

    def operations(self) -> dict[str, Handler]:
        """Return every operation of the family by its name."""
        kind = self.kind
        derived: dict[str, Handler] = {
            "Describe": self.resources.describe,
            "List": self.resources.list,
            "Delete": self._delete,
        }
        named = {"List": kind.lists}
        handlers = {named.get(verb, verb + kind.name): derived[verb] for verb in self.generic}
        return {**handlers, **super().operations()}

    def _delete(self, request: Record) -> None:
        self.resources.delete(request[self.kind.key])
