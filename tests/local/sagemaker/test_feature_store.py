"""The rules of feature groups and their records, in memory.

API_CreateFeatureGroup, API_feature_store_PutRecord and its neighbours, "Delete records from your
feature groups", "Time to live (TTL) duration for records".
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.features.record_store import RecordStore
from tests.local.conftest import ROOT, wait_until
from tests.local.sagemaker.conftest import ROLE, MemoryCloud

FEATURES = [
    {"FeatureName": "id", "FeatureType": "String"},
    {"FeatureName": "at", "FeatureType": "String"},
    {"FeatureName": "age", "FeatureType": "Integral"},
    {"FeatureName": "score", "FeatureType": "Fractional"},
]
ONLINE = {"EnableOnlineStore": True}


def create(service: SageMaker, name: str = "people", **changes: Any) -> str:
    request = {
        "FeatureGroupName": name,
        "RecordIdentifierFeatureName": "id",
        "EventTimeFeatureName": "at",
        "FeatureDefinitions": FEATURES,
        "OnlineStoreConfig": ONLINE,
        **changes,
    }
    service.call("CreateFeatureGroup", request)
    wait_until(lambda: describe(service, name)["FeatureGroupStatus"] != "Creating")
    return name


def describe(service: SageMaker, name: str) -> dict[str, Any]:
    return service.call("DescribeFeatureGroup", {"FeatureGroupName": name})


def values(**features: Any) -> list[dict[str, Any]]:
    return [
        {
            "FeatureName": name,
            "ValueAsStringList" if isinstance(value, list) else "ValueAsString": value,
        }
        for name, value in features.items()
    ]


def put(service: SageMaker, name: str = "people", /, **features: Any) -> None:
    service.call("PutRecord", {"FeatureGroupName": name, "Record": values(**features)})


def get(service: SageMaker, identifier: str, name: str = "people", **options: Any) -> Any:
    request = {
        "FeatureGroupName": name,
        "RecordIdentifierValueAsString": identifier,
        **options,
    }
    found = service.call("GetRecord", request)
    if not found:
        return None
    record = {each["FeatureName"]: each["ValueAsString"] for each in found["Record"]}
    return (record, found["ExpiresAt"]) if "ExpiresAt" in found else record


def delete(service: SageMaker, identifier: str, event_time: str, **options: Any) -> None:
    request = {
        "FeatureGroupName": "people",
        "RecordIdentifierValueAsString": identifier,
        "EventTime": event_time,
        **options,
    }
    service.call("DeleteRecord", request)


def refusal(service: SageMaker, operation: str, request: dict[str, Any]) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        service.call(operation, request)
    return refused.value


def day(number: int) -> str:
    return f"2026-01-{number:02}T00:00:00Z"


def test_a_group_is_made_and_deleted_with_events(service: SageMaker, cloud: MemoryCloud) -> None:
    create(service, Tags=[{"Key": "team", "Value": "risk"}])
    group = describe(service, "people")
    assert group["FeatureGroupArn"].endswith(":feature-group/people")
    assert group["OnlineStoreConfig"] == {"EnableOnlineStore": True, "StorageType": "Standard"}
    assert group["ThroughputConfig"] == {"ThroughputMode": "OnDemand"}
    duplicate = refusal(
        service,
        "CreateFeatureGroup",
        {
            "FeatureGroupName": "people",
            "RecordIdentifierFeatureName": "id",
            "EventTimeFeatureName": "at",
            "FeatureDefinitions": FEATURES,
            "OnlineStoreConfig": ONLINE,
        },
    )
    assert duplicate.code == "ResourceInUse"
    service.call("DeleteFeatureGroup", {"FeatureGroupName": "people"})
    wait_until(lambda: not service.call("ListFeatureGroups", {})["FeatureGroupSummaries"])
    statuses = [
        detail["FeatureGroupStatus"]
        for kind, detail, _ in cloud.events
        if kind == "SageMaker Feature Group State Change"
    ]
    assert statuses == ["Creating", "Created", "Deleting"]
    missing = refusal(service, "DescribeFeatureGroup", {"FeatureGroupName": "people"})
    assert missing.code == "ResourceNotFound"
    create(service)
    assert get(service, "a") is None, "a group of the same name begins empty"


def test_a_bucket_out_of_reach_fails_the_creation(service: SageMaker) -> None:
    offline = {"S3StorageConfig": {"S3Uri": "s3://bucket/features"}}
    create(service, OfflineStoreConfig=offline, RoleArn=ROLE)
    group = describe(service, "people")
    assert group["FeatureGroupStatus"] == "CreateFailed"
    assert "s3:GetBucketAcl" in group["FailureReason"]
    filtered = {"FeatureGroupStatusEquals": "CreateFailed", "OfflineStoreStatusEquals": "Active"}
    assert len(service.call("ListFeatureGroups", filtered)["FeatureGroupSummaries"]) == 1
    assert not service.call("ListFeatureGroups", {"FeatureGroupStatusEquals": "Created"})[
        "FeatureGroupSummaries"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"OnlineStoreConfig": {}}, "cannot be both disabled"),
        ({"RecordIdentifierFeatureName": "nobody"}, "RecordIdentifierFeatureName nobody"),
        ({"EventTimeFeatureName": "age"}, "must be String or Fractional"),
        (
            {"FeatureDefinitions": [*FEATURES, {"FeatureName": "age", "FeatureType": "String"}]},
            "must be unique",
        ),
        (
            {
                "FeatureDefinitions": [
                    *FEATURES,
                    {"FeatureName": "write_time", "FeatureType": "String"},
                ]
            },
            "write_time are reserved",
        ),
        (
            {
                "FeatureDefinitions": [
                    *FEATURES,
                    {"FeatureName": "l", "FeatureType": "String", "CollectionType": "List"},
                ]
            },
            "InMemory",
        ),
        ({"OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://b/p"}}}, "RoleArn is required"),
        (
            {
                "OfflineStoreConfig": {
                    "S3StorageConfig": {"S3Uri": "s3://b/p"},
                    "TableFormat": "Iceberg",
                }
            },
            "Iceberg .* is not implemented locally",
        ),
    ],
)
def test_groups_that_cannot_be(service: SageMaker, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        create(service, **changes)


def test_the_latest_event_time_stays(service: SageMaker) -> None:
    create(service)
    put(service, id="a", at=day(2), age="30", score="0.5")
    put(service, id="a", at=day(1), age="1")
    assert get(service, "a") == {"id": "a", "at": day(2), "age": "30", "score": "0.5"}
    put(service, id="a", at=day(2), age="31")
    assert get(service, "a") == {"id": "a", "at": day(2), "age": "31"}, "an equal one overwrites"
    assert get(service, "a", FeatureNames=["age"]) == {"age": "31"}
    assert get(service, "nobody") is None
    with pytest.raises(ServiceError, match="not part of") as refused:
        get(service, "a", FeatureNames=["nobody"])
    assert (refused.value.code, refused.value.status) == ("ValidationError", 400)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"id": "a"}, "event time at must have a value"),
        ({"at": day(1)}, "identifier id must have a value"),
        ({"id": "a", "at": "2026-01-01"}, "not an ISO-8601 time"),
        ({"id": "a", "at": "2026-02-30T00:00:00Z"}, "not an ISO-8601 time"),
        ({"id": "a", "at": day(1), "age": "1.5"}, "is not Integral"),
        ({"id": "a", "at": day(1), "age": str(2**63)}, "is not Integral"),
        ({"id": "a", "at": day(1), "score": "high"}, "is not Fractional"),
        ({"id": "a", "at": day(1), "height": "1"}, "height is not part of"),
        ({"id": "a", "at": day(1), "age": ["1"]}, "must be given as ValueAsString"),
        ({"id": "a" * 2049, "at": day(1)}, "at most 2048 bytes"),
        ({"id": "a" * 358000, "at": day(1), "age": "1" * 18}, "at most"),
    ],
)
def test_records_that_cannot_be(service: SageMaker, features: dict[str, Any], message: str) -> None:
    create(service)
    with pytest.raises(ServiceError, match=message) as refused:
        put(service, **features)
    assert refused.value.code == "ValidationError"
    assert not service.call("ListRecords", {"FeatureGroupName": "people"})["RecordIdentifiers"]


def test_collections(service: SageMaker) -> None:
    vector = {
        "FeatureName": "v",
        "FeatureType": "Fractional",
        "CollectionType": "Vector",
        "CollectionConfig": {"VectorConfig": {"Dimension": 2}},
    }
    tags = {"FeatureName": "tags", "FeatureType": "String", "CollectionType": "Set"}
    create(
        service,
        FeatureDefinitions=[*FEATURES, vector, tags],
        OnlineStoreConfig={"EnableOnlineStore": True, "StorageType": "InMemory"},
    )
    put(service, id="a", at=day(1), v=["1.0", "2"], tags=["x", "y"])
    request = {"FeatureGroupName": "people", "RecordIdentifierValueAsString": "a"}
    record = service.call("GetRecord", request)["Record"]
    assert {"FeatureName": "v", "ValueAsStringList": ["1.0", "2"]} in record
    for wrong in ({"v": ["1"]}, {"v": ["1", "x"]}, {"tags": ["x", "x"]}, {"tags": "x"}):
        with pytest.raises(ServiceError):
            put(service, id="a", at=day(2), **wrong)


def test_deletion(service: SageMaker) -> None:
    create(service)
    put(service, id="a", at=day(2), age="1")
    delete(service, "a", day(2))
    assert get(service, "a"), "a deletion that is not later leaves the record"
    with pytest.raises(ServiceError, match="must be later"):
        delete(service, "a", day(2), DeletionMode="HardDelete")
    delete(service, "a", day(3))
    assert get(service, "a") is None
    listed = {"FeatureGroupName": "people"}
    assert service.call("ListRecords", listed)["RecordIdentifiers"] == []
    listed["IncludeSoftDeletedRecords"] = True
    assert service.call("ListRecords", listed)["RecordIdentifiers"] == ["a"]
    put(service, id="a", at=day(2), age="1")
    assert get(service, "a") is None, "older than the deletion"
    put(service, id="a", at=day(4), age="2")
    assert get(service, "a")["age"] == "2"
    delete(service, "a", day(5), DeletionMode="HardDelete")
    put(service, id="a", at=day(1), age="3")
    assert get(service, "a")["age"] == "3", "nothing is left of a hard-deleted record"


def test_time_to_live(service: SageMaker) -> None:
    create(
        service,
        FeatureDefinitions=[FEATURES[0], {"FeatureName": "at", "FeatureType": "Fractional"}],
        OnlineStoreConfig={**ONLINE, "TtlDuration": {"Unit": "Hours", "Value": 1}},
    )
    now = int(time.time())
    put(service, id="group", at=str(now))
    record = {"FeatureGroupName": "people", "Record": values(id="own", at=f"{now}.25")}
    service.call("PutRecord", {**record, "TtlDuration": {"Unit": "Days", "Value": 1}})
    put(service, id="past", at=str(now - 3601))
    asked = {"ExpirationTimeResponse": "Enabled"}
    shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now + 86400))
    assert get(service, "own", **asked) == ({"id": "own", "at": f"{now}.25"}, f"{shown}.250Z")
    assert get(service, "own") == {"id": "own", "at": f"{now}.25"}
    assert get(service, "past") is None
    update = {"FeatureGroupName": "people", "OnlineStoreConfig": {"TtlDuration": {}}}
    service.call("UpdateFeatureGroup", update)
    assert "TtlDuration" not in describe(service, "people")["OnlineStoreConfig"]
    put(service, id="past", at=str(now - 3600))
    assert get(service, "past"), "the time to live is of when a record was put"


def test_batches_spare_each_other(service: SageMaker) -> None:
    create(service)
    good = {"FeatureGroupName": "people", "Record": values(id="a", at=day(1))}
    bad = {"FeatureGroupName": "people", "Record": values(id="b", at="never")}
    lost = {"FeatureGroupName": "nobody", "Record": values(id="c", at=day(1))}
    wrote = service.call("BatchWriteRecord", {"Entries": [bad, good, lost]})
    assert [error["Entry"] for error in wrote["Errors"]] == [bad, lost]
    assert wrote["UnprocessedEntries"] == []
    found = service.call(
        "BatchGetRecord",
        {
            "Identifiers": [
                {"FeatureGroupName": "people", "RecordIdentifiersValueAsString": ["a", "b"]},
                {"FeatureGroupName": "nobody", "RecordIdentifiersValueAsString": ["c"]},
            ]
        },
    )
    [record] = found["Records"]
    assert record["RecordIdentifierValueAsString"] == "a"
    [error] = found["Errors"]
    assert (error["FeatureGroupName"], error["ErrorCode"]) == ("nobody", "ResourceNotFound")


def test_updating_some_features(service: SageMaker) -> None:
    create(service)
    put(service, id="a", at=day(2), age="1", score="0.5")
    update = {
        "FeatureGroupName": "people",
        "RecordIdentifierValueAsString": "a",
        "Features": values(age="2"),
    }
    assert "Standard_V2" in refusal(service, "UpdateRecord", update).message
    tier = {"FeatureGroupName": "people", "OnlineStoreConfig": {"StorageType": "Standard_V2"}}
    service.call("UpdateFeatureGroup", tier)
    service.call("UpdateRecord", update)
    assert get(service, "a") == {"id": "a", "at": day(2), "age": "2", "score": "0.5"}
    older = refusal(service, "UpdateRecord", {**update, "Features": values(at=day(1))})
    assert (older.code, older.status) == ("ConflictException", 409)
    nobody = {**update, "RecordIdentifierValueAsString": "nobody"}
    assert refusal(service, "UpdateRecord", nobody).code == "ResourceNotFound"


def test_features_are_added_and_described(service: SageMaker) -> None:
    create(service)
    added = [{"FeatureName": "height", "FeatureType": "Fractional"}]
    name = {"FeatureGroupName": "people"}
    service.call("UpdateFeatureGroup", {**name, "FeatureAdditions": added})
    assert describe(service, "people")["LastUpdateStatus"]["Status"] == "Successful"
    put(service, id="a", at=day(1), height="1.7")
    update = {
        **name,
        "FeatureName": "height",
        "Description": "metres",
        "ParameterAdditions": [{"Key": "unit", "Value": "m"}, {"Key": "old", "Value": "1"}],
    }
    service.call("UpdateFeatureMetadata", update)
    service.call(
        "UpdateFeatureMetadata",
        {**name, "FeatureName": "height", "ParameterRemovals": ["old"]},
    )
    feature = service.call("DescribeFeatureMetadata", {**name, "FeatureName": "height"})
    assert feature["Description"] == "metres"
    assert feature["Parameters"] == [{"Key": "unit", "Value": "m"}]
    assert feature["FeatureType"] == "Fractional"
    missing = refusal(service, "DescribeFeatureMetadata", {**name, "FeatureName": "nobody"})
    assert missing.code == "ResourceNotFound"


def test_errors_are_those_the_runtime_declares(service: SageMaker) -> None:
    write = {"FeatureGroupName": "nobody", "Record": values(id="a")}
    assert refusal(service, "PutRecord", write).code == "ValidationError"
    read = {"FeatureGroupName": "nobody", "RecordIdentifierValueAsString": "a"}
    missing = refusal(service, "GetRecord", read)
    assert (missing.code, missing.status) == ("ResourceNotFound", 404)
    assert refusal(service, "PutRecord", {**write, "Record": []}).code == "ValidationError"


KILLED = """
import os, signal, sys
from pathlib import Path
from local.sagemaker.features.record_store import Online, RecordStore
store = RecordStore(Path(sys.argv[1]))
for number in range(50):
    with store.transaction():
        store.put("g-1", Online(str(number), 1.0, None, False, [{"FeatureName": "id"}]))
        store.append("g-1", 1.0, {"id": str(number)})
store.assign({"hour/file.parquet": [row for row, _ in store.unassigned("g-1", 20)]})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_accepted_record(tmp_path: Path) -> None:
    database = tmp_path / "features.db"
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(database)], cwd=ROOT, env={**os.environ}, timeout=20
    )
    assert process.returncode == -signal.SIGKILL
    store = RecordStore(database)
    assert len(store.identifiers("g-1", "", 100, 0.0, deleted=False)) == 50
    assert store.files("g-1") == ["hour/file.parquet"], "delivered again under the same name"
    assert len(store.rows("g-1", "hour/file.parquet")) == 20
    assert len(store.unassigned("g-1", 100)) == 30
