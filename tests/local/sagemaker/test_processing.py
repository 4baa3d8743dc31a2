"""Processing jobs, run for real, by "Build Your Own Processing Container" of the guide."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import SageMaker, ServiceError
from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import BUCKET, REGISTRY, ROLE, SCRIPT, STRANGER, Clients

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


SPREAD = """
import json, pathlib, time
folder = pathlib.Path("/opt/ml/processing")
host = json.loads(pathlib.Path("/opt/ml/config/resourceconfig.json").read_text())["current_host"]
names = sorted(file.name for file in (folder / "input").iterdir())
(folder / "output" / host).write_text(" ".join(names))
time.sleep(600)
"""


def test_a_script_on_two_hosts_with_continuous_output(clients: Clients, unique: str) -> None:
    """As ScriptProcessor sends it: the script is an input; each host has its shard."""
    for name in ("a", "b", "c"):
        clients.put(f"{unique}/in/{name}", name)
    clients.put(f"{unique}/code/spread.py", SPREAD)
    given = request(unique)
    given["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 2
    data = given["ProcessingInputs"][0]["S3Input"]
    data["S3DataDistributionType"] = "ShardedByS3Key"
    code = {**data, "S3Uri": f"s3://{BUCKET}/{unique}/code", "LocalPath": f"{ROOT}/code"}
    code["S3DataDistributionType"] = "FullyReplicated"
    given["ProcessingInputs"].append({"InputName": "code", "S3Input": code})
    given["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3UploadMode"] = "Continuous"
    given["AppSpecification"] = {
        "ImageUri": f"{REGISTRY}/sagemaker-scikit-learn:1.2-1-cpu-py3",
        "ContainerEntrypoint": ["python3", f"{ROOT}/code/spread.py"],
    }
    clients.sagemaker.create_processing_job(**given)
    keys = [f"{unique}/out/algo-1", f"{unique}/out/algo-2"]
    wait_until(lambda: clients.keys(f"{unique}/out") == keys, what="the outputs of a running job")
    clients.sagemaker.stop_processing_job(ProcessingJobName=unique)
    assert processed(clients, unique)["ProcessingJobStatus"] == "Stopped"
    assert [clients.get(f"s3://{BUCKET}/{key}") for key in keys] == [b"a c", b"b"]


def test_spark_says_what_it_lacks(clients: Clients, unique: str) -> None:
    """`smspark-submit` of AWS's Spark image, in an environment without PySpark."""
    clients.put(f"{unique}/in/a.txt", "abc")
    application = {
        "ImageUri": f"{REGISTRY}/sagemaker-spark-processing:3.5-cpu-py39-v1",
        "ContainerEntrypoint": ["smspark-submit", "--verbose", f"{ROOT}/input/job.py"],
    }
    clients.sagemaker.create_processing_job(**request(unique, AppSpecification=application))
    reason = processed(clients, unique)["FailureReason"]
    assert "Spark does not run: 'pyspark' is not installed in the environment" in reason


@pytest.mark.parametrize(
    ("where", "change", "message"),
    [
        ("ProcessingInputs", {"AppManaged": True}, "Input in: AppManaged is not implemented"),
        ("ProcessingInputs", {"S3Input": None, "DatasetDefinition": {}}, "DatasetDefinition"),
        ("Outputs", {"AppManaged": True}, "Output out: AppManaged is not implemented"),
    ],
)
def test_what_is_not_done(service: SageMaker, where: str, change: dict, message: str) -> None:
    given = request("refused")
    listed = given["ProcessingOutputConfig"] if where == "Outputs" else given
    entry = {**listed[where][0], **change}
    listed[where] = [{key: value for key, value in entry.items() if value is not None}]
    with pytest.raises(ServiceError, match=message):
        service.call("CreateProcessingJob", given)


def test_what_a_job_names_must_be_there(service: SageMaker) -> None:
    """API_ExperimentConfig: "the name of an existing experiment", "of an existing trial"."""
    for config in ({"ExperimentName": "absent"}, {"TrialName": "absent"}):
        with pytest.raises(ServiceError, match="absent does not exist") as refused:
            service.call("CreateProcessingJob", request("refused", ExperimentConfig=config))
        assert refused.value.code == "ResourceNotFound"
    far = request("refused")
    far["ProcessingInputs"][0]["S3Input"]["S3Uri"] = "https://bucket.s3.amazonaws.com/key"
    with pytest.raises(ServiceError, match=r"S3Uri https.* is not implemented locally"):
        service.call("CreateProcessingJob", far)


def test_paths_outside_are_refused(clients: Clients, unique: str) -> None:
    """LocalPath must lie under /opt/ml/processing/; a missing job is told in AWS's words."""
    bad = request(unique)
    bad["ProcessingInputs"][0]["S3Input"]["LocalPath"] = f"{ROOT}/../../etc"
    with pytest.raises(ClientError, match="must lie under /opt/ml/processing"):
        clients.sagemaker.create_processing_job(**bad)
    with pytest.raises(ClientError, match="Could not find requested job with name: never-made"):
        clients.sagemaker.describe_processing_job(ProcessingJobName="never-made")
