"""The feature store through boto3: REST requests, authorization, parquet in S3.

"Amazon SageMaker Feature Store offline store data format", "Create a dataset from your feature
groups" (the query of the latest rows).
"""

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import botocore.exceptions
import duckdb
import pytest

from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import BUCKET, ROLE, Clients

LATEST = """
SELECT * FROM (
    SELECT *, row_number() OVER (
        PARTITION BY id ORDER BY "at" DESC, api_invocation_time DESC, write_time DESC
    ) AS row_num FROM read_parquet($files, union_by_name = true)
) WHERE row_num = 1 AND NOT is_deleted ORDER BY id
"""


@pytest.fixture(scope="module")
def records(sagemaker_aws: LocalAws) -> Any:
    return sagemaker_aws.client("sagemaker-featurestore-runtime")


def create(
    clients: Clients,
    name: str,
    prefix: str = "features",
    bucket: str = BUCKET,
    features: Sequence[dict[str, Any]] = (),
    tier: str = "Standard",
) -> str:
    arn: str = clients.sagemaker.create_feature_group(
        FeatureGroupName=name,
        RecordIdentifierFeatureName="id",
        EventTimeFeatureName="at",
        FeatureDefinitions=[
            {"FeatureName": "id", "FeatureType": "String"},
            {"FeatureName": "at", "FeatureType": "String"},
            {"FeatureName": "age-now", "FeatureType": "Integral"},
            {"FeatureName": "score", "FeatureType": "Fractional"},
            *features,
        ],
        OnlineStoreConfig={"EnableOnlineStore": True, "StorageType": tier},
        OfflineStoreConfig={"S3StorageConfig": {"S3Uri": f"s3://{bucket}/{prefix}"}},
        RoleArn=ROLE,
    )["FeatureGroupArn"]

    def created() -> bool:
        group = clients.sagemaker.describe_feature_group(FeatureGroupName=name)
        assert group["FeatureGroupStatus"] != "CreateFailed", group["FailureReason"]
        return bool(group["FeatureGroupStatus"] == "Created")

    wait_until(created)
    return arn


def record(**values: str) -> list[dict[str, str]]:
    return [
        {"FeatureName": name.replace("_", "-"), "ValueAsString": value}
        for name, value in values.items()
    ]


def test_records_reach_s3_as_parquet(
    clients: Clients, records: Any, unique: str, tmp_path: Path
) -> None:
    arn = create(clients, unique)
    for name, features in (
        (unique, record(id="a", at="2026-03-01T10:00:00Z", age_now="30", score="0.5")),
        (arn, record(id="a", at="2026-03-01T10:59:59.999Z", age_now="31", score="1e-3")),
        (unique, record(id="b", at="2026-03-01T11:00:00Z", score="NaN")),
        (unique, record(id="c", at="2026-03-01T10:30:00Z")),
    ):
        records.put_record(FeatureGroupName=name, Record=features)
    records.delete_record(
        FeatureGroupName=arn, RecordIdentifierValueAsString="c", EventTime="2026-03-02T00:00:00Z"
    )
    found = records.get_record(
        FeatureGroupName=arn, RecordIdentifierValueAsString="a", FeatureNames=["age-now", "score"]
    )
    assert found["Record"] == record(age_now="31", score="1e-3")

    group = clients.sagemaker.describe_feature_group(FeatureGroupName=unique)
    config = group["OfflineStoreConfig"]
    resolved = config["S3StorageConfig"]["ResolvedOutputS3Uri"]
    assert re.fullmatch(
        rf"s3://{BUCKET}/features/000000000000/sagemaker/us-east-1/offline-store"
        rf"/{unique}-\d+/data",
        resolved,
    )
    assert config["DataCatalogConfig"]["Database"] == "sagemaker_featurestore"
    prefix = resolved.removeprefix(f"s3://{BUCKET}/")

    def rows() -> list[Any]:
        files = []
        for number, key in enumerate(clients.keys(prefix)):
            assert re.fullmatch(
                r"/year=2026/month=03/day=0[12]/hour=\d\d/202603\d\dT\d{6}Z_[0-9A-Za-z]{16}\.parquet",
                key.removeprefix(prefix),
            )
            file = tmp_path / f"{number}.parquet"
            clients.s3.download_file(BUCKET, key, str(file))
            files.append(str(file))
        if not files:
            return []
        everything = duckdb.execute("SELECT * FROM read_parquet($files)", {"files": files})
        columns = [(name, str(kind)) for name, kind, *_ in everything.description]
        assert columns == [
            ("id", "VARCHAR"),
            ("at", "VARCHAR"),
            ("age-now", "BIGINT"),
            ("score", "DOUBLE"),
            ("write_time", "TIMESTAMP"),
            ("api_invocation_time", "TIMESTAMP"),
            ("is_deleted", "BOOLEAN"),
        ]
        return files if len(everything.fetchall()) == 5 else []

    files = wait_until(rows, what="five rows in S3")
    latest = duckdb.execute(LATEST, {"files": files}).fetchall()
    assert [(row[0], row[2], str(row[3])) for row in latest] == [
        ("a", 31, "0.001"),
        ("b", None, "nan"),
    ]
    clients.sagemaker.delete_feature_group(FeatureGroupName=unique)


def test_batches_and_deletion_over_rest(clients: Clients, records: Any, unique: str) -> None:
    create(clients, unique)
    record_a = record(id="a", at="2026-03-01T10:00:00Z")
    entries = [
        {"FeatureGroupName": unique, "Record": record_a, "TargetStores": ["OnlineStore"]},
    ]
    assert records.batch_write_record(Entries=entries)["Errors"] == []
    found = records.batch_get_record(
        Identifiers=[{"FeatureGroupName": unique, "RecordIdentifiersValueAsString": ["a", "b"]}]
    )
    assert [each["Record"] for each in found["Records"]] == [record_a]
    assert records.list_records(FeatureGroupName=unique)["RecordIdentifiers"] == ["a"]
    records.delete_record(
        FeatureGroupName=unique,
        RecordIdentifierValueAsString="a",
        EventTime="2026-03-02T00:00:00Z",
        TargetStores=["OnlineStore"],
        DeletionMode="HardDelete",
    )
    missing = records.get_record(FeatureGroupName=unique, RecordIdentifierValueAsString="a")
    assert "Record" not in missing
    with pytest.raises(records.exceptions.ResourceNotFound):
        records.get_record(FeatureGroupName="nobody", RecordIdentifierValueAsString="a")
    with pytest.raises(records.exceptions.ValidationError, match="not part of"):
        records.put_record(FeatureGroupName=unique, Record=record(height="1"))
    clients.sagemaker.delete_feature_group(FeatureGroupName=unique)


def test_rows_wait_for_a_bucket_that_is_gone(
    clients: Clients, records: Any, unique: str, tmp_path: Path
) -> None:
    clients.s3.create_bucket(Bucket=unique)
    vector = {
        "FeatureName": "v",
        "FeatureType": "Fractional",
        "CollectionType": "Vector",
        "CollectionConfig": {"VectorConfig": {"Dimension": 2}},
    }
    create(clients, unique, bucket=unique, features=[vector], tier="InMemory")
    clients.s3.delete_bucket(Bucket=unique)
    now = int(time.time())
    record_a = [
        *record(id="a", at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))),
        {"FeatureName": "v", "ValueAsStringList": ["1.5", "2"]},
    ]
    short = {"Unit": "Seconds", "Value": 1}
    records.put_record(FeatureGroupName=unique, Record=record_a, TtlDuration=short)

    def describe() -> Any:
        return clients.sagemaker.describe_feature_group(FeatureGroupName=unique)

    def status() -> str:
        found: str = describe()["OfflineStoreStatus"]["Status"]
        return found

    wait_until(lambda: status() == "Blocked", what="the offline store to be blocked")
    clients.sagemaker.delete_feature_group(FeatureGroupName=unique)
    wait_until(lambda: describe()["FeatureGroupStatus"] == "DeleteFailed")
    clients.s3.create_bucket(Bucket=unique)
    wait_until(lambda: status() == "Active", what="the offline store to be active again")
    clients.sagemaker.delete_feature_group(FeatureGroupName=unique)

    listed = clients.s3.list_objects_v2(Bucket=unique)["Contents"]
    files = []
    for number, entry in enumerate(listed):
        files.append(str(tmp_path / f"{number}.parquet"))
        clients.s3.download_file(unique, entry["Key"], files[-1])
    found = duckdb.execute("SELECT id, v, is_deleted FROM read_parquet($f)", {"f": files})
    assert ("a", [1.5, 2.0], False) in found.fetchall()


def test_an_expired_record_leaves_a_marker(
    clients: Clients, records: Any, unique: str, tmp_path: Path
) -> None:
    create(clients, unique, prefix=unique)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    short = {"Unit": "Seconds", "Value": 1}
    records.put_record(FeatureGroupName=unique, Record=record(id="a", at=at), TtlDuration=short)

    def rows() -> list[Any]:
        files = []
        for number, key in enumerate(clients.keys(f"{unique}/")):
            files.append(str(tmp_path / f"{number}.parquet"))
            clients.s3.download_file(BUCKET, key, files[-1])
        query = "SELECT id, is_deleted FROM read_parquet($f) ORDER BY is_deleted"
        return duckdb.execute(query, {"f": files}).fetchall() if files else []

    wait_until(lambda: rows() == [("a", False), ("a", True)], what="the marker")
    assert "Record" not in records.get_record(
        FeatureGroupName=unique, RecordIdentifierValueAsString="a"
    )
    clients.sagemaker.delete_feature_group(FeatureGroupName=unique)


def test_requests_are_authorized_by_group(
    sagemaker_aws: LocalAws, clients: Clients, unique: str
) -> None:
    arn = create(clients, unique)
    iam = sagemaker_aws.client("iam")
    iam.create_user(UserName=unique)
    allowed = {"Effect": "Allow", "Action": "sagemaker:*Record", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=unique, PolicyName="records", PolicyDocument=policy)
    key = iam.create_access_key(UserName=unique)["AccessKey"]
    theirs = sagemaker_aws.client(
        "sagemaker-featurestore-runtime",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    features = record(id="a", at="2026-03-01T10:00:00Z")
    theirs.put_record(FeatureGroupName=unique, Record=features)
    wanted = {"RecordIdentifiersValueAsString": ["a"]}
    batch = [{"FeatureGroupName": arn, **wanted}]
    assert theirs.batch_get_record(Identifiers=batch)["Records"]
    for identifiers in (
        [{"FeatureGroupName": "other", **wanted}],
        [*batch, {"FeatureGroupName": "other", **wanted}],
    ):
        with pytest.raises(botocore.exceptions.ClientError, match="not authorized"):
            theirs.batch_get_record(Identifiers=identifiers)
    with pytest.raises(botocore.exceptions.ClientError, match="not authorized"):
        theirs.put_record(FeatureGroupName="other", Record=features)
    clients.sagemaker.delete_feature_group(FeatureGroupName=unique)
