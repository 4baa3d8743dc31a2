"""The ledger on moto's DynamoDB, which keeps conditional writes as AWS does."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from headrace.aws.ledger import Ledger
from headrace.errors import LedgerError
from headrace.records import DatasetRecord, DropRecord, Key, ObjectRecord


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="ledger",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in ("pk", "sk")],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        )
        yield client


@pytest.fixture
def ledger(dynamodb: Any) -> Ledger:
    return Ledger("ledger", dynamodb)


def drop(**changes: Any) -> DropRecord:
    record = DropRecord(
        model="churn", drop="may", state="open", first_seen_at="2026-01-01", last_seen_at="2026"
    )
    return record.model_copy(update=changes)


def object_record(sequencer: str) -> ObjectRecord:
    return ObjectRecord(
        model="churn",
        drop="may",
        object_key="drops/churn/may/a b+ü.parquet",
        version_id="v",
        sequencer=sequencer,
        size=1,
        etag="e",
        seen_at="2026-01-01T00:00:00Z",
    )


def test_what_is_created_can_be_read(ledger: Ledger) -> None:
    assert ledger.create(drop()) is None
    assert ledger.get(DropRecord, drop().key()) == drop()
    assert ledger.get(DropRecord, Key(pk="no", sk="where")) is None


def test_an_equal_record_counts_as_ours_and_another_does_not(ledger: Ledger) -> None:
    ledger.create(drop())
    assert ledger.create(drop()) is None
    assert ledger.create(drop(state="sealed")) == drop()
    assert ledger.get(DropRecord, drop().key()) == drop()


def test_an_older_fact_never_overwrites_a_newer_one(ledger: Ledger) -> None:
    assert ledger.put_if_newer(object_record("0b"), "sequencer")
    assert not ledger.put_if_newer(object_record("0a"), "sequencer")
    assert not ledger.put_if_newer(object_record("0b"), "sequencer")
    assert ledger.put_if_newer(object_record("0c"), "sequencer")
    stored = ledger.get(ObjectRecord, object_record("").key())
    assert stored is not None
    assert stored.sequencer == "0c"


def test_an_update_needs_its_expectation(ledger: Ledger) -> None:
    ledger.create(drop())
    sealing = {"state": "sealed", "sealed_at": "2026-01-02"}
    assert ledger.update(drop().key(), sealing, expect={"state": "open", "sealed_at": None})
    assert not ledger.update(drop().key(), sealing, expect={"state": "open"})
    assert ledger.update(drop().key(), {"sealed_at": None})
    stored = ledger.get(DropRecord, drop().key())
    assert stored is not None
    assert (stored.state, stored.sealed_at) == ("sealed", None)


def test_an_update_creates_nothing(ledger: Ledger) -> None:
    assert not ledger.update(drop().key(), {"state": "sealed"})
    assert ledger.get(DropRecord, drop().key()) is None


def test_a_query_returns_one_kind_in_order(ledger: Ledger) -> None:
    for name in ("b", "a"):
        ledger.create(drop(drop=name))
    ledger.create(
        DatasetRecord(
            model="churn",
            dataset_version="1",
            drop="a",
            uri="s3://b/k",
            rows=1,
            files=1,
            accepted_at="2026",
        )
    )
    found = list(ledger.query(DropRecord, drop().key().pk, "drop#"))
    assert [record.drop for record in found] == ["a", "b"]


def test_a_record_of_another_kind_is_a_fault(ledger: Ledger) -> None:
    ledger.create(drop())
    with pytest.raises(LedgerError, match="holds a 'drop'"):
        ledger.get(ObjectRecord, drop().key())
