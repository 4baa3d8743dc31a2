"""What a family of operations is, and what families share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from local.sagemaker import shapes
from local.sagemaker.clients import make_client
from local.sagemaker.cloud import Cloud
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.images import Images
from local.sagemaker.jobs import Jobs
from local.sagemaker.logs import Logs
from local.sagemaker.processes import Processes
from local.sagemaker.resources import Handler, Kind, Resources
from local.sagemaker.settings import Settings
from local.sagemaker.store import Record, Store

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass
class Context:
    """What every family works with."""

    state: Path
    settings: Settings
    store: Store
    cloud: Cloud
    images: Images
    processes: Processes
    jobs: Jobs
    logs: Logs
    call: Callable[[str, Record], Record]
    """Carry out an operation of the control plane, for families that build on others."""
    observers: list[Callable[[str, Record], None]] = field(default_factory=list)
    """Told the kind's name and the record of whatever was made or changed; they must be quick."""
    metric_observers: list[Callable[[str, str, float], None]] = field(default_factory=list)
    """Told the job, the metric and the value of whatever a training job emits; be quick, too."""
    scaled: Callable[[str], Collection[str]] = field(default=lambda _: ())
    """Name the variants of an endpoint that Application Auto Scaling scales."""

    def assume(self, role_arn: str, session: str) -> dict[str, str]:
        """Return a role's credentials. Raises AWS's refusal of a role it cannot assume."""
        try:
            return self.cloud.role_credentials(role_arn, session)
        except ServiceError as error:
            raise invalid(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows "
                "principal 'sagemaker.amazonaws.com' to assume the role."
            ) from error

    def client(self, service: str, role_arn: str, session: str) -> Any:
        """Return boto3's client of another service of the local AWS, acting as a role."""
        return make_client(service, self.cloud, self.assume(role_arn, session))


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
