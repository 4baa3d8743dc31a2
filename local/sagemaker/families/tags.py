"""Tags of any resource that lives here."""

from __future__ import annotations

from collections.abc import Callable

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.families.base import Operations, operation
from local.sagemaker.resources import merge_tags, paginate
from local.sagemaker.store import Record

_PAGE = 50  # ListTags: MaxResults is at least 50


class Tags(Operations):
    """Tags of any resource that lives here.

    They are part of its record.
    """

    def __init__(self, context: Context) -> None:
        self._store = context.store

    @operation
    def add_tags(self, request: Record) -> Record:
        """Add tags; a key that exists takes the new value."""

        def change(record: Record) -> None:
            record["Tags"] = merge_tags(record["Tags"], request["Tags"])

        return self._update(request["ResourceArn"], change)

    @operation
    def delete_tags(self, request: Record) -> Record:
        """Remove tags by key."""

        def change(record: Record) -> None:
            kept = [tag for tag in record["Tags"] if tag["Key"] not in request["TagKeys"]]
            record["Tags"] = kept

        return self._update(request["ResourceArn"], change)

    @operation
    def list_tags(self, request: Record) -> Record:
        """List a page of tags, by key."""
        found = self._store.find(request["ResourceArn"])
        record = self._store.get(*found) if found else None
        if record is None:
            raise _not_found(request["ResourceArn"])
        page, token = paginate(record["Tags"], request, lambda tag: [tag["Key"]], size=_PAGE)
        return {"Tags": page, **({"NextToken": token} if token else {})}

    def _update(self, arn: str, change: Callable[[Record], None]) -> Record:
        found = self._store.find(arn)
        record = self._store.update(*found, change) if found else None
        if record is None:
            raise _not_found(arn)
        return record


def _not_found(arn: str) -> ServiceError:
    return invalid(f"Could not find resource with ARN {arn}.")
