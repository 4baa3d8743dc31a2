"""Storage on moto's S3."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from headrace.aws.storage import Location, Storage

BUCKET = "the-bucket"


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield Storage(s3)


@given(st.text(min_size=1, max_size=60))
def test_every_key_survives_its_address(key: str) -> None:
    assert Location.of(Location("bucket", key).uri) == Location("bucket", key)


@pytest.mark.parametrize("uri", ["bucket/key", "https://bucket/key", "s3://"])
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="expected s3://"):
        Location.of(uri)


def test_a_pinned_version_is_read_though_a_newer_one_exists(
    storage: Storage, tmp_path: Path
) -> None:
    key = Location(BUCKET, "odd/ä +../k.parquet")
    storage.put_bytes(key, b"old", "text/plain")
    pinned = key._replace(version_id=storage.head(key)["VersionId"])
    storage.put_bytes(key, b"new", "text/plain")
    assert storage.download(pinned, tmp_path / "file") == hashlib.sha256(b"old").hexdigest()
    assert (tmp_path / "file").read_bytes() == b"old"
    storage.copy(pinned, Location(BUCKET, "copy"))
    assert storage.get_bytes(Location(BUCKET, "copy"), limit=10) == b"old"


def test_absence_is_an_answer_and_denial_is_not(storage: Storage) -> None:
    assert not storage.exists(Location(BUCKET, "nothing"))
    s3 = boto3.client("s3", region_name="us-east-1")
    with Stubber(s3) as stubber:
        stubber.add_client_error("head_object", "Forbidden", "Forbidden", 403)
        with pytest.raises(ClientError, match="Forbidden"):
            Storage(s3).exists(Location(BUCKET, "nothing"))


def test_a_larger_object_than_expected_is_refused(storage: Storage) -> None:
    storage.put_bytes(Location(BUCKET, "k"), b"12345", "text/plain")
    with pytest.raises(ValueError, match="more than the 4 bytes"):
        storage.get_bytes(Location(BUCKET, "k"), limit=4)


def test_nan_never_becomes_json(storage: Storage) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        storage.put_json(Location(BUCKET, "k"), {"x": float("nan")})


def test_of_two_that_read_the_same_object_one_replaces_it(storage: Storage) -> None:
    location = Location(BUCKET, "a.json")
    assert storage.find_tagged(location) is None
    assert storage.replace_json(location, {"n": 1}, None)
    assert not storage.replace_json(location, {"n": 2}, None)
    content, tag = storage.find_tagged(location) or (b"", "")
    assert content == b'{"n":1}'
    assert storage.replace_json(location, {"n": 2}, tag)
    assert not storage.replace_json(location, {"n": 3}, tag)
    assert storage.get_json(location) == {"n": 2}


def test_a_list_goes_on_behind_a_key(storage: Storage) -> None:
    for key in ("f/1/a", "f/2/a", "f/2/b", "g/1"):
        storage.put_json(Location(BUCKET, key), {})
    assert [each["Key"] for each in storage.list(BUCKET, "f/", "f/2/")] == ["f/2/a", "f/2/b"]
