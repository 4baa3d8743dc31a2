"""Feature store: groups and records through the runtime client."""

import datetime as dt
import os
import time

import boto3
from botocore.exceptions import ClientError
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
sagemaker = boto3.client("sagemaker")
records = boto3.client("sagemaker-featurestore-runtime")


def record(**values):
    return [{"FeatureName": name, "ValueAsString": value} for name, value in values.items()]


def amount(merchant):
    answer = records.get_record(
        FeatureGroupName="boto3-features", RecordIdentifierValueAsString=merchant
    )
    return {each["FeatureName"]: each["ValueAsString"] for each in answer.get("Record", [])}


step("create_feature_group with both stores, describe_feature_group")
sagemaker.create_feature_group(
    FeatureGroupName="boto3-features",
    RecordIdentifierFeatureName="merchant",
    EventTimeFeatureName="at",
    FeatureDefinitions=[
        {"FeatureName": "merchant", "FeatureType": "String"},
        {"FeatureName": "amount", "FeatureType": "Fractional"},
        {"FeatureName": "at", "FeatureType": "String"},
    ],
    OnlineStoreConfig={"EnableOnlineStore": True},
    OfflineStoreConfig={"S3StorageConfig": {"S3Uri": f"s3://{BUCKET}/boto3-features"}},
    RoleArn=ROLE,
)
group = {"FeatureGroupStatus": "Creating"}
while group["FeatureGroupStatus"] == "Creating":
    time.sleep(0.1)
    group = sagemaker.describe_feature_group(FeatureGroupName="boto3-features")
assert group["FeatureGroupStatus"] == "Created", group
assert isinstance(group["CreationTime"], dt.datetime)

step("put_record, get_record")
first = record(merchant="a", amount="1.5", at="2026-01-01T00:00:00Z")
records.put_record(FeatureGroupName="boto3-features", Record=first)
assert amount("a") == {"merchant": "a", "amount": "1.5", "at": "2026-01-01T00:00:00Z"}
assert amount("z") == {}

step("put_record of an older event time changes nothing online")
older = record(merchant="a", amount="9", at="2025-01-01T00:00:00Z")
records.put_record(FeatureGroupName="boto3-features", Record=older)
assert amount("a")["amount"] == "1.5"

step("batch_get_record")
answer = records.batch_get_record(
    Identifiers=[
        {
            "FeatureGroupName": "boto3-features",
            "RecordIdentifiersValueAsString": ["a", "z"],
            "FeatureNames": ["amount"],
        }
    ]
)
assert [each["RecordIdentifierValueAsString"] for each in answer["Records"]] == ["a"], answer
assert answer["Records"][0]["Record"] == record(amount="1.5"), answer

step("delete_record")
records.delete_record(
    FeatureGroupName="boto3-features",
    RecordIdentifierValueAsString="a",
    EventTime="2026-02-01T00:00:00Z",
)
assert amount("a") == {}

step("mistake: a feature that is not defined raises ValidationError")
try:
    records.put_record(
        FeatureGroupName="boto3-features",
        Record=record(merchant="a", at="2026-03-01T00:00:00Z", colour="red"),
    )
except ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationError", error
else:
    raise AssertionError("the record was accepted")

step("mistake: an unknown group raises ResourceNotFound")
try:
    records.get_record(FeatureGroupName="boto3-none", RecordIdentifierValueAsString="a")
except records.exceptions.ResourceNotFound as error:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
else:
    raise AssertionError("an unknown group was read")

step("list_feature_groups, delete_feature_group")
listed = sagemaker.list_feature_groups(NameContains="boto3")["FeatureGroupSummaries"]
assert [each["FeatureGroupName"] for each in listed] == ["boto3-features"], listed
sagemaker.delete_feature_group(FeatureGroupName="boto3-features")
