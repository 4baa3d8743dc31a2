"""S3 as AWS documents it: what its events carry, checksums."""

import hashlib
import json
from base64 import b64encode

from tests.local.conftest import LocalAws
from tests.local.ministack.helpers import queue, receive, unique


def test_events_carry_version_and_growing_sequencer(aws: LocalAws) -> None:
    s3, events, bucket = aws.client("s3"), aws.client("events"), unique("bucket")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    url, arn = queue(aws)
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}}
    events.put_rule(Name=bucket, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=bucket, Targets=[{"Id": "1", "Arn": arn}])
    key = "odd + key/ü %20.csv"
    written = [s3.put_object(Bucket=bucket, Key=key, Body=body) for body in (b"1", b"22")]
    s3.delete_object(Bucket=bucket, Key=key)
    found = sorted(
        (json.loads(each["Body"]) for each in receive(aws, url, 3)),
        key=lambda each: each["detail"]["object"]["sequencer"],
    )
    assert [each["detail-type"] for each in found] == [
        "Object Created",
        "Object Created",
        "Object Deleted",
    ]
    objects = [each["detail"]["object"] for each in found]
    assert [each["version-id"] for each in objects[:2]] == [each["VersionId"] for each in written]
    assert objects[2]["version-id"]
    assert {each["key"] for each in objects} == {key}
    assert [each["size"] for each in objects[:2]] == [1, 2]
    assert all(int(each["sequencer"], 16) for each in objects)


def test_the_sha256_of_an_object_can_be_read_back(aws: LocalAws) -> None:
    s3, bucket = aws.client("s3"), unique("bucket")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm="SHA256")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == b64encode(hashlib.sha256(b"data").digest()).decode()


def test_encryption_without_a_key_takes_the_managed_one(aws: LocalAws) -> None:
    """API_PutObject: "aws:kms" and no key id."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="managed-key")
    s3.put_object(Bucket="managed-key", Key="a", Body=b"1", ServerSideEncryption="aws:kms")
    head = s3.head_object(Bucket="managed-key", Key="a")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"].endswith("alias/aws/s3")
