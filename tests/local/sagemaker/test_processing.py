"""Processing jobs, run for real. Facts: sagemaker.md §5."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import BUCKET, ROLE, SCRIPT, STRANGER, Clients

ROOT = "/opt/ml/processing"


def request(name: str, **changes: Any) -> dict[str, Any]:
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    source = {"S3Uri": f"s3://{BUCKET}/{name}/in", "S3DataType": "S3Prefix"}
    target = {"S3Uri": f"s3://{BUCKET}/{name}/out", "S3UploadMode": "EndOfJob"}
    return {
        "ProcessingJobName": name,
        "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": SCRIPT, "ContainerArguments": ["--rows", "7"]},
        "ProcessingResources": {"ClusterConfig": cluster},
        "ProcessingInputs": [
            {
                "InputName": "in",
                "S3Input": {**source, "LocalPath": f"{ROOT}/input", "S3InputMode": "File"},
            }
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {"OutputName": "out", "S3Output": {**target, "LocalPath": f"{ROOT}/output"}}
            ]
        },
        **changes,
    }


def processed(clients: Clients, name: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        job = clients.sagemaker.describe_processing_job(ProcessingJobName=name)
        return job if job["ProcessingJobStatus"] not in ("InProgress", "Stopping") else None

    return wait_until(ended, what=f"the end of {name}")


def test_job_completes(clients: Clients, unique: str) -> None:
    """Inputs, arguments, processingjobconfig.json, EndOfJob outputs, exit message, logs."""
    clients.put(f"{unique}/in/part/a.txt", "abc")
    clients.sagemaker.create_processing_job(**request(unique))
    job = processed(clients, unique)
    assert job["ProcessingJobStatus"] == "Completed", job
    assert job["ExitMessage"] == "arguments: ['--rows', '7']"
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert clients.get(f"s3://{BUCKET}/{unique}/out/a.txt") == b"cba"
    config = json.loads(clients.get(f"s3://{BUCKET}/{unique}/out/config.json"))
    assert config["ProcessingJobArn"] == job["ProcessingJobArn"]
    assert config["ProcessingInputs"] == job["ProcessingInputs"]


def test_exit_code_decides(clients: Clients, unique: str) -> None:
    """A failed container's message is kept, its output is not taken."""
    clients.put(f"{unique}/in/a.txt", "abc")
    clients.sagemaker.create_processing_job(**request(unique, Environment={"FAIL": "1"}))
    job = processed(clients, unique)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].endswith("exit code: 2")
    assert job["ExitMessage"].startswith("arguments: ")
    assert clients.keys(f"{unique}/out") == []


def test_entrypoint_replaces_the_image_s_and_stops(clients: Clients, unique: str) -> None:
    """ContainerEntrypoint as docker's; StopProcessingJob."""
    clients.put(f"{unique}/in/a.txt", "abc")
    application = {"ImageUri": SCRIPT, "ContainerEntrypoint": ["sh", "-c", "echo on; sleep 600"]}
    clients.sagemaker.create_processing_job(**request(unique, AppSpecification=application))
    wait_until(
        lambda: clients.log_lines("/aws/sagemaker/ProcessingJobs", f"{unique}/") == ["on"],
        what="the container's first line",
    )
    clients.sagemaker.stop_processing_job(ProcessingJobName=unique)
    assert processed(clients, unique)["ProcessingJobStatus"] == "Stopped"


def test_role_without_access_to_the_data(clients: Clients, unique: str) -> None:
    clients.put(f"{unique}/in/a.txt", "abc")
    clients.sagemaker.create_processing_job(**request(unique, RoleArn=STRANGER))
    job = processed(clients, unique)
    assert job["ProcessingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]


def test_paths_outside_are_refused(clients: Clients, unique: str) -> None:
    """LocalPath must lie under /opt/ml/processing/; a missing job is told in AWS's words."""
    bad = request(unique)
    bad["ProcessingInputs"][0]["S3Input"]["LocalPath"] = f"{ROOT}/../../etc"
    with pytest.raises(ClientError, match="must lie under /opt/ml/processing"):
        clients.sagemaker.create_processing_job(**bad)
    with pytest.raises(ClientError, match="Could not find requested job with name: never-made"):
        clients.sagemaker.describe_processing_job(ProcessingJobName="never-made")
