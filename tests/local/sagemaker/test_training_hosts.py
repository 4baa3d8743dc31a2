"""Training on several hosts, and volumes: processes of one machine that end together.

Pages: "Distributed Training Configuration", "How Amazon SageMaker AI Processes Training Output".
"""

import json
import time

from tests.local.sagemaker.conftest import BUCKET, Clients

TWO = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}


def test_hosts_have_shards_names_and_one_artifact(clients: Clients, unique: str) -> None:
    """ShardedByS3Key; resourceconfig.json; algo-N resolves; models of all hosts in one archive."""
    for number in range(3):
        clients.put(f"{unique}/{number}.csv", str(number))
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"s3://{BUCKET}/{unique}/",
        "S3DataDistributionType": "ShardedByS3Key",
    }
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    clients.train(unique, "a file each", ResourceConfig=TWO, InputDataConfig=[channel])
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == "Completed", job
    artifact = clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"])
    assert set(artifact) == {"report.json", "from-algo-1", "from-algo-2"}
    assert artifact["from-algo-2"] == "algo-1 algo-2"
    output = clients.unpack(f"s3://{BUCKET}/output/{unique}/output/output.tar.gz")
    assert set(output) == {"notes-algo-1.txt", "notes-algo-2.txt"}
    report = json.loads(artifact["report.json"])
    files, environment = report["files"], report["environment"]
    assert [name for name in files if "/data/" in name] == [
        "input/data/train/0.csv",
        "input/data/train/2.csv",
    ]
    resources = json.loads(files["input/config/resourceconfig.json"])
    assert (resources["current_host"], resources["hosts"]) == ("algo-1", ["algo-1", "algo-2"])
    assert resources["network_interface_name"] == "lo"
    assert environment["SM_MASTER_ADDR"] == environment["SM_CURRENT_HOST"] == "algo-1"
    if report["mounted"]:  # else Linux allows no namespaces here
        assert "algo-2" in report["hosts"]
    for host in ("algo-1", "algo-2"):
        assert clients.log_lines("/aws/sagemaker/TrainingJobs", f"{unique}/{host}-")


def test_a_host_that_fails_ends_the_others(clients: Clients, unique: str) -> None:
    began = time.monotonic()
    clients.train(unique, "fail on the second host", ResourceConfig=TWO)
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == "Failed"
    reason = "AlgorithmError: the second host broke, exit code: 3 (algo-2)"
    assert job["FailureReason"] == reason
    assert time.monotonic() - began < 15, "the first would have slept for ten minutes"


def test_a_full_volume_ends_the_job(clients: Clients, unique: str) -> None:
    """No quota holds a process back here: it is found out and killed within seconds."""
    clients.train(unique, "fill")
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert "more than the volume's 1 GB" in job["FailureReason"]
