"""Channels that are not plain files: pipes, gzip, record wrappers, shuffles, augmented manifests.

Pages: API_Channel, API_S3DataSource, API_ShuffleConfig, "Augmented Manifest File Format for Pipe
Mode Training".
"""

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker.jobs import inputs
from local.sagemaker.jobs.hosts import Host, Hosts
from local.sagemaker.jobs.pipes import Pipe
from local.sagemaker.logs import Logs
from local.sagemaker.transfer import S3, TransferError
from tests.local.conftest import LocalAws
from tests.local.sagemaker.conftest import BUCKET, SCRIPT, Clients, MemoryCloud


@pytest.fixture
def s3(sagemaker_aws: LocalAws) -> S3:
    facts = sagemaker_aws.facts
    keys = {
        "AWS_ACCESS_KEY_ID": facts["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": facts["secret_access_key"],
    }
    return S3(MemoryCloud(endpoint_url=facts["endpoint_url"]), keys)


@pytest.fixture
def hosts(tmp_path: Path) -> list[Host]:
    return Hosts(tmp_path, "group", "job", Logs(MemoryCloud()), 2).hosts


def channel(uri: str, kind: str = "S3Prefix", **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": kind, "S3Uri": uri, **changes.pop("source", {})}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}, **changes}


def stream(s3: S3, given: dict[str, Any], host: Host, epoch: int = 0) -> bytes:
    host.tree.mkdir(exist_ok=True)
    return b"".join(Pipe(s3, given, host, host.tree).stream(epoch))


def records(content: bytes) -> list[bytes]:
    """Read RecordIO: magic, length, content padded to four bytes."""
    found = []
    while content:
        magic, length = struct.unpack("<II", content[:8])
        assert magic == 0xCED7230A
        found.append(content[8 : 8 + length])
        content = content[8 + length + -length % 4 :]
    return found


def test_a_pipe_per_epoch(clients: Clients, unique: str) -> None:
    """`<channel>_<epoch>`: the container reads the same objects twice, shuffled by a seed."""
    for letter in "abcdef":
        clients.put(f"{unique}/{letter}.csv", f"{letter}\n")
    clients.train(
        unique,
        "read pipes",
        InputDataConfig=[
            channel(f"s3://{BUCKET}/{unique}/", InputMode="Pipe", ShuffleConfig={"Seed": 7})
        ],
    )
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == "Completed", job
    artifact = clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"])
    first, second = (artifact[f"epoch-{epoch}"].split() for epoch in range(2))
    assert sorted(first) == sorted(second) == list("abcdef")
    assert first != second
    config = json.loads(
        json.loads(artifact["report.json"])["files"]["input/config/inputdataconfig.json"]
    )
    assert config["train"]["TrainingInputMode"] == "Pipe"


def test_a_pipe_that_cannot_be_fed_fails_the_job(clients: Clients, unique: str) -> None:
    """Though the container, which saw the end of its data too early, ends with 0."""
    clients.train(
        unique,
        "read one pipe",
        AlgorithmSpecification={"TrainingImage": SCRIPT, "TrainingInputMode": "Pipe"},
        InputDataConfig=[channel(f"s3://{BUCKET}/{unique}/none")],
    )
    reason = clients.trained(unique)["FailureReason"]
    assert reason.startswith("ClientError: Data download failed:No S3 objects found under S3 URL")


def test_augmented_manifests_and_wrappers(
    clients: Clients, s3: S3, hosts: list[Host], unique: str
) -> None:
    """Each attribute in its order; what ends in -ref is fetched; lines are shared by hosts."""
    lines = []
    for number, name in enumerate(("one", "two", "three")):
        uri = clients.put(f"{unique}/{name}.txt", name)
        lines.append(json.dumps({"label": number, "text-ref": uri, "other": 1}))
    manifest = clients.put(f"{unique}.manifest", "\n".join(lines))
    source = {"AttributeNames": ["text-ref", "label"]}
    given = channel(manifest, "AugmentedManifestFile", source=source, RecordWrapperType="RecordIO")
    assert records(stream(s3, given, hosts[0])) == [b"one", b"0", b"two", b"1", b"three", b"2"]
    source["S3DataDistributionType"] = "ShardedByS3Key"
    given = channel(manifest, "AugmentedManifestFile", source=source)
    assert stream(s3, given, hosts[1]) == b"two1"
    source["AttributeNames"] = ["absent"]
    given = channel(manifest, "AugmentedManifestFile", source=source)
    with pytest.raises(TransferError, match="with the attributes absent"):
        stream(s3, given, hosts[0])


def test_gzip_and_shards(clients: Clients, s3: S3, hosts: list[Host], unique: str) -> None:
    for number in range(3):
        body = gzip.compress(f"{number} ".encode()) + gzip.compress(b"again ")
        clients.s3.put_object(Bucket=BUCKET, Key=f"{unique}/{number}", Body=body)
    sharded = {"S3DataDistributionType": "ShardedByS3Key"}
    uri = f"s3://{BUCKET}/{unique}/"
    given = channel(uri, source=sharded, CompressionType="Gzip")
    assert stream(s3, given, hosts[0]) == b"0 again 2 again "
    assert stream(s3, given, hosts[1]) == b"1 again "
    listed = inputs.objects(s3, channel(uri)["DataSource"]["S3DataSource"], hosts[0])
    assert [name for name, _ in listed] == ["0", "1", "2"]
