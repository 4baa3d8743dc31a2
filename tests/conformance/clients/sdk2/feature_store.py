"""FeatureGroup: definitions from a frame, create, ingest, get_record, delete."""

import os
import time

import pandas
import sagemaker
from sagemaker.feature_store.feature_group import FeatureGroup
from sagemaker.feature_store.feature_store import FeatureStore
from sagemaker.feature_store.inputs import FeatureValue
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
session = sagemaker.Session(default_bucket=BUCKET)
frame = pandas.DataFrame(
    {
        "merchant": pandas.Series(["a", "b", "c"], dtype="string"),
        "amount": [1.5, 2.5, 3.5],
        "orders": [1, 2, 3],
        "at": [1_700_000_000.0] * 3,
    }
)

step("FeatureGroup.load_feature_definitions")
group = FeatureGroup("sdk2-features", sagemaker_session=session)
definitions = group.load_feature_definitions(frame)
assert [each.feature_type.value for each in definitions] == [
    "String",
    "Fractional",
    "Integral",
    "Fractional",
]

step("FeatureGroup.create with both stores; describe until Created")
group.create(
    s3_uri=f"s3://{BUCKET}/sdk2-features",
    record_identifier_name="merchant",
    event_time_feature_name="at",
    role_arn=ROLE,
    enable_online_store=True,
)
deadline = time.time() + 60
while group.describe()["FeatureGroupStatus"] == "Creating" and time.time() < deadline:
    time.sleep(0.2)
assert group.describe()["FeatureGroupStatus"] == "Created", group.describe()

step("FeatureGroup.ingest of a frame")
ingested = group.ingest(data_frame=frame, max_workers=1, wait=True)
assert ingested.failed_rows == [], ingested.failed_rows

step("FeatureGroup.get_record")
record = {
    each["FeatureName"]: each["ValueAsString"]
    for each in group.get_record(record_identifier_value_as_string="b")
}
assert record["merchant"] == "b", record
assert float(record["amount"]) == 2.5, record
assert record["orders"] == "2", record
assert group.get_record(record_identifier_value_as_string="z") in (None, [])

step("FeatureGroup.put_record; a newer event time wins")
newer = {"merchant": "b", "amount": "9.5", "orders": "3", "at": "1700000100.0"}
group.put_record([FeatureValue(name, value) for name, value in newer.items()])
amount = group.get_record("b", feature_names=["amount"])
assert amount == [{"FeatureName": "amount", "ValueAsString": "9.5"}], amount

step("FeatureStore.list_feature_groups")
store = FeatureStore(session)
listed = store.list_feature_groups(name_contains="sdk2-features")["FeatureGroupSummaries"]
assert [each["FeatureGroupName"] for each in listed] == ["sdk2-features"]

step("the offline store: parquet in AWS's layout")
prefix = group.describe()["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
keys, deadline = [], time.time() + 60
while not keys and time.time() < deadline:
    keys = [key for key in session.list_s3_files(BUCKET, prefix.split("/", 3)[3]) if "year=" in key]
    time.sleep(0.2)
assert keys, prefix
assert keys[0].endswith(".parquet"), keys

step("FeatureGroup.delete_record, delete")
group.delete_record("a", "1700000200.0")
assert group.get_record("a") in (None, [])
group.delete()
