"""Kinds of resource, and what every kind does alike: describe, list, delete, tags."""

from __future__ import annotations

import base64
import json
import operator
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from local.sagemaker import shapes
from local.sagemaker.cloud import Cloud
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.store import DuplicateError, Record, Store

Handler: TypeAlias = Callable[[Record], Record | None]
Position: TypeAlias = list[Any]
_PAGE = 10  # "This value defaults to 10" (API_ListEndpoints)


@dataclass(frozen=True)
class Kind:
    """A kind of resource. What is not given follows from its name and the service model.

    `missing` and `duplicate` are AWS's messages, with `{name}` and `{arn}`.
    """

    name: str
    missing: str
    duplicate: str
    slug: str
    duplicate_code: str = "ValidationException"
    missing_code: str = "ValidationException"
    order: str = "Ascending"
    status: str = ""
    list_operation: str = ""
    ignores_case: bool = False
    """Whether two names may not differ by case alone."""

    @property
    def key(self) -> str:
        """Name the member that names the resource."""
        return f"{self.name}Name"

    @property
    def arn_member(self) -> str:
        """Name the member that holds the ARN."""
        return f"{self.name}Arn"

    @property
    def lists(self) -> str:
        """Name the operation that lists the kind."""
        return self.list_operation or f"List{self.name}s"

    @cached_property
    def summaries(self) -> str:
        """Name the member of the list operation's output that holds the summaries."""
        members = shapes.service_model().operation_model(self.lists).output_shape.members
        return next(str(name) for name, shape in members.items() if shape.type_name == "list")


@dataclass
class Resources:
    """The records of one kind."""

    kind: Kind
    store: Store
    cloud: Cloud
    on_change: Callable[[Record], None] = field(default=lambda _: None)

    def arn(self, name: str) -> str:
        """Return the ARN that a resource of this name has or would have."""
        return (
            f"arn:aws:sagemaker:{self.cloud.region}:{self.cloud.account_id}:{self.kind.slug}/{name}"
        )

    def name(self, name_or_arn: str) -> str:
        """Return the name, given a name or an ARN."""
        if not name_or_arn.startswith("arn:"):
            return name_or_arn
        return name_or_arn.split(":", 5)[-1].partition("/")[2]

    def get(self, name_or_arn: str) -> Record:
        """Return a record. Raises what AWS answers for one that does not exist."""
        name = self.name(name_or_arn)
        record = self.store.get(self.kind.name, name)
        if record is None:
            raise self.not_found(name)
        return record

    def not_found(self, name: str) -> ServiceError:
        """Return what AWS answers for a resource that does not exist."""
        message = self.kind.missing.format(name=name, arn=self.arn(name))
        return ServiceError(self.kind.missing_code, message)

    def create(self, name: str, record: Record, **members: Any) -> Record:
        """Add a record with its ARN and times, and tell of it."""
        record = self.insert(name, record, **members)
        self.on_change(record)
        return record

    def insert(self, name: str, record: Record, **members: Any) -> Record:
        """Add a record with its ARN and times."""
        now = time.time()
        arn = self.arn(name)
        record = {
            **record,
            self.kind.key: record.get(self.kind.key, name),
            self.kind.arn_member: arn,
            "CreationTime": now,
            "LastModifiedTime": now,
            **members,
        }
        record["Tags"] = merge_tags([], record.get("Tags") or [])
        with self.store.lock:
            if self.kind.ignores_case and self.store.differs_by_case(self.kind.name, name):
                raise self._duplicate(name)
            try:
                self.store.insert(self.kind.name, name, arn, record)
            except DuplicateError as error:
                raise self._duplicate(name) from error
        return record

    def _duplicate(self, name: str) -> ServiceError:
        message = self.kind.duplicate.format(name=name, arn=self.arn(name))
        return ServiceError(self.kind.duplicate_code, message)

    def update(self, name: str, change: Callable[[Record], None] | Record) -> Record:
        """Change a record (by a function, or by new members; None removes one) and tell of it."""

        def apply(record: Record) -> None:
            if callable(change):
                change(record)
            else:
                record.update(change)
            for member in [key for key, value in record.items() if value is None]:
                del record[member]
            record["LastModifiedTime"] = time.time()

        record = self.store.update(self.kind.name, name, apply)
        if record is None:
            raise self.not_found(name)
        self.on_change(record)
        return record

    def delete(self, name_or_arn: str) -> Record:
        """Remove a record and return it."""
        with self.store.lock:
            record = self.get(name_or_arn)
            self.store.delete(self.kind.name, self.name(name_or_arn))
        return record

    def all(self) -> list[Record]:
        """Return every record."""
        return self.store.all(self.kind.name)

    def describe(self, request: Record) -> Record:
        """Answer a Describe operation."""
        return self.get(request[self.kind.key])

    def list(self, request: Record, records: Iterable[Record] | None = None) -> Record:
        """Answer a List operation: filtered, sorted, one page of it."""
        rows = self.all() if records is None else records
        rows = [record for record in rows if self._matches(record, request)]
        order = {"Name": self.kind.key, "Status": self.kind.status}
        sort_by = order.get(request.get("SortBy", ""), "CreationTime")
        descending = request.get("SortOrder", self.kind.order) == "Descending"
        page, token = paginate(
            rows, request, lambda record: self._position(record, sort_by), descending
        )
        return {self.kind.summaries: page, **({"NextToken": token} if token else {})}

    def _position(self, record: Record, sort_by: str) -> Position:
        return [record[sort_by], record["CreationTime"], record[self.kind.arn_member]]

    def _matches(self, record: Record, request: Record) -> bool:
        for member, value in request.items():
            if member in ("SortBy", "SortOrder", "NextToken", "MaxResults"):
                continue
            if time_filter := re.fullmatch(r"(\w+Time)(After|Before)", member):
                when = record.get(time_filter[1], 0.0)
                if not (when > value if time_filter[2] == "After" else when < value):
                    return False
            elif member == "NameContains":
                if value.lower() not in record[self.kind.key].lower():
                    return False
            elif record.get(self.kind.status if member == "StatusEquals" else member) != value:
                return False
        return True


def paginate(
    rows: list[Record],
    request: Record,
    position: Callable[[Record], Position],
    descending: bool = False,
    size: int = _PAGE,
) -> tuple[list[Record], str]:
    """Return a page of rows in order, and the token of the next page ("" at the end).

    The token is the position of the last row shown, so that rows made or deleted meanwhile shift
    nothing.
    """
    rows = sorted(rows, key=position, reverse=descending)
    if token := request.get("NextToken"):
        comes_later = operator.lt if descending else operator.gt
        try:
            last = json.loads(base64.urlsafe_b64decode(token))
            rows = [row for row in rows if comes_later(position(row), last)]
        except (ValueError, TypeError) as error:  # a text of somebody's own, another list's token
            raise invalid("The NextToken is invalid.") from error
    page = rows[: request.get("MaxResults") or size]
    if len(page) == len(rows):
        return page, ""
    return page, base64.urlsafe_b64encode(json.dumps(position(page[-1])).encode()).decode()


def merge_tags(tags: list[Record], added: list[Record]) -> list[Record]:
    """Return tags with others added; a key that exists takes the new value."""
    if any(tag["Key"].lower().startswith("aws:") for tag in added):
        raise invalid("aws: prefixed tag key names are not allowed for external use.")
    merged = {tag["Key"]: tag for tag in [*tags, *added]}
    if len(merged) > 50:
        raise invalid("The maximum number of tags is 50.")
    return list(merged.values())
