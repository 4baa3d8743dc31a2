"""The ledger's adapter: conditional writes to one DynamoDB table.

A conditional write whose reply is lost looks failed on the SDK's own retry, so `create` reads the
item back (`ReturnValuesOnConditionCheckFailure`) and calls an equal item its own.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Self, TypeVar

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from headrace.aws.clients import client
from headrace.errors import LedgerBusyError, LedgerError
from headrace.records import Key, Record

_TRANSACTION_ITEMS = 100  # TransactWriteItems, API reference
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)

R = TypeVar("R", bound=Record)

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class Ledger:
    """Reads and conditional writes of records in one table."""

    def __init__(self, table: str, dynamodb: Any) -> None:
        self._table = table
        self._dynamodb = dynamodb

    @classmethod
    def of(cls, table: str) -> Self:
        """Return the ledger in `table`, with the process's own client."""
        return cls(table, client("dynamodb"))

    def get(self, kind: type[R], key: Key) -> R | None:
        """Return the record at `key`, read consistently, or None when there is none."""
        reply = self._dynamodb.get_item(
            TableName=self._table, Key=marshal(key.model_dump()), ConsistentRead=True
        )
        return _record(kind, reply["Item"]) if "Item" in reply else None

    def query(self, kind: type[R], pk: str, sk_prefix: str = "") -> Iterator[R]:
        """Yield the records of a partition whose sort key starts with `sk_prefix`, in its order."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk" + (" AND begins_with(sk, :sk)" if sk_prefix else ""),
            ExpressionAttributeValues=marshal(
                {":pk": pk} | ({":sk": sk_prefix} if sk_prefix else {})
            ),
        )
        for page in pages:
            for item in page["Items"]:
                yield _record(kind, item)

    def create(self, record: R) -> R | None:
        """Write a new record. Return None when it is ours, or the record that was there before.

        An equal record that is already there counts as ours: a lost reply looks the same.
        """
        item = record.item()
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item=marshal(item),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            existing = _record(type(record), error.response["Item"])
            return None if existing == record else existing
        return None

    def put(self, record: Record) -> None:
        """Write a record whatever was there; for facts that are recomputed, never claimed."""
        self._dynamodb.put_item(TableName=self._table, Item=marshal(record.item()))

    def put_all(self, records: Sequence[Record]) -> None:
        """Write many records whatever was there, 100 a request; for facts only one writer knows.

        Transactions, because BatchWriteItem would need a permission that also deletes.

        Raises:
            LedgerBusyError: DynamoDB cancels again and again (conflicts or throttling).
        """
        for start in range(0, len(records), _TRANSACTION_ITEMS):
            self._put_together(records[start : start + _TRANSACTION_ITEMS])

    def _put_together(self, records: Sequence[Record]) -> None:
        puts = [
            {"Put": {"TableName": self._table, "Item": marshal(record.item())}}
            for record in records
        ]
        for pause in _PAUSES_SECONDS:
            try:
                self._dynamodb.transact_write_items(TransactItems=puts)
            except self._dynamodb.exceptions.TransactionCanceledException:
                time.sleep(random.uniform(0, pause))  # noqa: S311 — jitter, not a secret
            else:
                return
        raise LedgerBusyError(
            f"DynamoDB cancelled a write of {len(records)} records {len(_PAUSES_SECONDS)} times: "
            "others write them too, or it is throttling. It will be tried again."
        )

    def create_guarded(self, record: Record, guard: Record, expect: Mapping[str, Any]) -> bool:
        """Write a new record and replace `guard`, both or neither.

        Returns whether that was done: not when the record is there already, when `guard` is not as
        expected any more (None: it is not there yet), or while another writes either.

        Raises:
            LedgerBusyError: DynamoDB cancels for another reason, such as throttling.
        """
        names, values, conditions = _expectation(expect)
        guarded: dict[str, Any] = {
            "TableName": self._table,
            "Item": marshal(guard.item()),
            "ConditionExpression": " AND ".join(conditions),
            "ExpressionAttributeNames": names,
        }
        if values:
            guarded["ExpressionAttributeValues"] = marshal(values)
        created = {
            "TableName": self._table,
            "Item": marshal(record.item()),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        try:
            self._dynamodb.transact_write_items(
                TransactItems=[{"Put": created}, {"Put": guarded}],
            )
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            reasons = {reason["Code"] for reason in error.response["CancellationReasons"]}
            if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                return False
            raise LedgerBusyError(
                f"DynamoDB cancelled a write: {sorted(reasons)}. It will be tried again."
            ) from error
        return True

    def put_if_newer(self, record: Record, attribute: str, *, or_as_new: bool = False) -> bool:
        """Write unless the stored record's `attribute` (text that sorts) is as new or newer.

        Returns whether it was written: an older fact never overwrites a newer one. With `or_as_new`
        one just as new does, for times that are too coarse to tell.
        """
        item = record.item()
        older = "<=" if or_as_new else "<"
        return self._conditionally(
            lambda: self._dynamodb.put_item(
                TableName=self._table,
                Item=marshal(item),
                ConditionExpression=f"attribute_not_exists(pk) OR #a {older} :new",
                ExpressionAttributeNames={"#a": attribute},
                ExpressionAttributeValues=marshal({":new": item[attribute]}),
            )
        )

    def update(
        self, key: Key, changes: Mapping[str, Any], expect: Mapping[str, Any] | None = None
    ) -> bool:
        """Set attributes of an existing record (None removes one) if `expect` still holds.

        Returns whether the change was made; an expected value of None means "absent".
        """
        names, values, expected = _expectation(expect or {})
        names |= {f"#{a}": a for a in changes}
        values |= {f":{a}": v for a, v in changes.items() if v is not None}
        sets = [f"#{a} = :{a}" for a, v in changes.items() if v is not None]
        removes = [f"#{a}" for a, v in changes.items() if v is None]
        conditions = ["attribute_exists(pk)", *expected]
        expression = (f"SET {', '.join(sets)}" if sets else "") + (
            f" REMOVE {', '.join(removes)}" if removes else ""
        )
        return self._conditionally(
            lambda: self._dynamodb.update_item(
                TableName=self._table,
                Key=marshal(key.model_dump()),
                UpdateExpression=expression.strip(),
                ConditionExpression=" AND ".join(conditions),
                ExpressionAttributeNames=names,
                **({"ExpressionAttributeValues": marshal(values)} if values else {}),
            )
        )

    def _conditionally(self, write: Any) -> bool:
        try:
            write()
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _expectation(expect: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    """Return names, values and conditions of "these attributes are as expected"; None: absent."""
    names = {f"#{attribute}": attribute for attribute in expect}
    values = {f":expected_{a}": v for a, v in expect.items() if v is not None}
    conditions = [
        f"attribute_not_exists(#{a})" if v is None else f"#{a} = :expected_{a}"
        for a, v in expect.items()
    ]
    return names, values, conditions


def marshal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as DynamoDB's API takes them."""
    return {k: _serialize(_to_decimal(v)) for k, v in values.items()}


def _to_decimal(value: Any) -> Any:
    """DynamoDB has no floats: write them as the decimal a person would."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {k: _to_decimal(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_to_decimal(v) for v in value]
    return value


def _from_decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {k: _from_decimal(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_from_decimal(v) for v in value]
    return value


def _record(kind: type[R], item: Mapping[str, Any]) -> R:
    attributes = {k: _from_decimal(_deserialize(v)) for k, v in item.items()}
    found = attributes.pop("kind", None)
    if found != kind.kind:
        raise LedgerError(
            f"The ledger holds a {found!r} at {attributes.get('pk')} / {attributes.get('sk')} "
            f"where a {kind.kind!r} belongs. Was the table written by hand?"
        )
    return kind.model_validate({k: v for k, v in attributes.items() if k not in {"pk", "sk"}})
