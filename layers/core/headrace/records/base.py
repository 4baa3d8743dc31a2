"""What every record is: something with a key, kept as one item. Times sort as text."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


def now() -> str:
    """Return the present as the ledger writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Key(BaseModel):
    """The primary key of one record."""

    model_config = ConfigDict(frozen=True)
    pk: str
    sk: str


class Record(BaseModel):
    """Something the ledger remembers. Unknown attributes are kept out, so a typo is an error."""

    model_config = ConfigDict(extra="forbid")
    kind: ClassVar[str]

    def key(self) -> Key:
        """Return where this record lives."""
        raise NotImplementedError

    def item(self) -> dict[str, Any]:
        """Return the record as the ledger stores it: key, kind and attributes without nulls."""
        return {
            **self.key().model_dump(),
            "kind": self.kind,
            **self.model_dump(mode="json", exclude_none=True),
        }


def drop_partition(model: str, drop: str) -> str:
    """Return the partition of a drop: its objects."""
    return f"drop#{model}/{drop}"


def model_partition(model: str) -> str:
    """Return the partition of a model: its projects, drops, datasets, runs, deployments."""
    return f"model#{model}"
