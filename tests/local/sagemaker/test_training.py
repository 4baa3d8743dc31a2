"""Training jobs, run for real.

AWS: "How Amazon SageMaker AI Provides Training Information", "... Runs Your Training Image", "...
Signals Algorithm Success and Failure", "... Processes Training Output"; API_DescribeTrainingJob.
"""

import json
import time

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import BUCKET, REGISTRY, SCRIPT, STRANGER, Clients

METRICS = {"MetricDefinitions": [{"Name": "loss", "Regex": r"loss=([0-9.]+);"}]}
ALGORITHM = {"TrainingImage": SCRIPT, "TrainingInputMode": "File"}


def channel(name: str, uri: str, kind: str = "S3Prefix", **changes: str) -> dict:
    source = {"S3DataType": kind, "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **changes}


def test_job_completes(clients: Clients, unique: str) -> None:
    """Statuses; paths, environment, artifacts, logs; the last value of a metric."""
    clients.put(f"{unique}/train/part/a.csv", "1,2")
    clients.put(f"{unique}/train/b.csv", "3,4")
    uri = clients.put(f"{unique}/valid.csv", "5,6")
    clients.train(
        unique,
        AlgorithmSpecification={**ALGORITHM, **METRICS},
        HyperParameters={"depth": "3", "note": '"quoted"', "text": "plain"},
        Environment={"COLOUR": "green"},
        InputDataConfig=[
            channel("train", f"s3://{BUCKET}/{unique}/train", ContentType="text/csv"),
            channel("valid", uri.removesuffix(".csv")),
        ],
    )
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed", job
    statuses = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["TrainingStartTime"] <= job["TrainingEndTime"]
    loss = job["FinalMetricDataList"][0]
    assert (loss["MetricName"], loss["Value"]) == ("loss", 0.25)
    filters = [
        {"Name": "TrainingJobName", "Operator": "Equals", "Value": unique},
        {"Name": "Metrics.loss", "Operator": "LessThan", "Value": "0.3"},  # API_Filter
    ]
    search = {"Resource": "TrainingJob", "SearchExpression": {"Filters": filters}}
    assert len(clients.sagemaker.search(**search)["Results"]) == 1
    filters[1]["Value"] = "0.2"
    assert not clients.sagemaker.search(**search)["Results"]

    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert artifact == f"s3://{BUCKET}/output/{unique}/output/model.tar.gz"
    report = json.loads(clients.unpack(artifact)["report.json"])
    files, environment = report["files"], report["environment"]
    assert files["input/data/train/part/a.csv"] == "1,2"
    assert files["input/data/train/b.csv"] == "3,4"
    assert files["input/data/valid/valid.csv"] == "5,6"
    assert json.loads(files["input/config/hyperparameters.json"])["depth"] == "3"
    assert json.loads(files["input/config/inputdataconfig.json"])["train"] == {
        "ContentType": "text/csv",
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    resources = json.loads(files["input/config/resourceconfig.json"])
    assert (resources["current_host"], resources["hosts"]) == ("algo-1", ["algo-1"])
    assert environment["COLOUR"] == "green"
    assert environment["TRAINING_JOB_NAME"] == unique
    assert environment["SM_HP_DEPTH"] == "3"
    assert environment["SM_HP_NOTE"] == "quoted"
    assert (
        environment["SM_CHANNEL_TRAIN"] == environment["SAGEMAKER_BASE_DIR"] + "/input/data/train"
    )
    assert environment["AWS_ACCESS_KEY_ID"].startswith("ASIA"), "the job role's credentials"
    assert "SECRET_OF_THE_HOST" not in environment, "nothing of the host leaks in"
    output = f"s3://{BUCKET}/output/{unique}/output/output.tar.gz"
    assert clients.unpack(output) == {"notes-algo-1.txt": "kept"}

    lines = clients.log_lines("/aws/sagemaker/TrainingJobs", f"{unique}/algo-1-")
    assert "epoch=1 loss=0.5;" in lines
    assert "epoch=2 loss=0.25;" in lines, "stderr is logged too"
    listed = clients.cloudwatch.list_metrics(
        Namespace="/aws/sagemaker/TrainingJobs",
        Dimensions=[{"Name": "TrainingJobName", "Value": unique}],
    )
    assert [metric["MetricName"] for metric in listed["Metrics"]] == ["loss"]


def test_failure_file_is_the_reason(clients: Clients, unique: str) -> None:
    """/opt/ml/output/failure, exit code."""
    clients.train(unique, "fail")
    job = clients.trained(unique)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == "AlgorithmError: the label column is missing, exit code: 4"
    assert clients.keys(f"output/{unique}/") == [f"output/{unique}/output/output.tar.gz"]


def test_stop_keeps_what_is_saved_in_the_grace(clients: Clients, unique: str) -> None:
    """Stop: SIGTERM, artifacts saved in the grace are kept."""
    clients.train(unique, "save on stop")
    clients.training(unique)
    clients.sagemaker.stop_training_job(TrainingJobName=unique)
    job = clients.trained(unique)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"])["saved"] == "in time"
    with pytest.raises(ClientError, match="in status Stopped"):
        clients.sagemaker.stop_training_job(TrainingJobName=unique)


def test_time_limit_kills_what_ignores_sigterm(clients: Clients, unique: str) -> None:
    """MaxRuntimeExceeded; kill after the grace (one second here)."""
    began = time.monotonic()
    clients.train(unique, "ignore stop", StoppingCondition={"MaxRuntimeInSeconds": 1})
    job = clients.trained(unique)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert time.monotonic() - began > 2
    assert "Stopping" in [step["Status"] for step in job["SecondaryStatusTransitions"]]


def test_role_without_access_to_the_data(clients: Clients, unique: str) -> None:
    """IAM is enforced on what the job reads."""
    uri = clients.put(f"{unique}/a.csv", "1")
    clients.train(unique, RoleArn=STRANGER, InputDataConfig=[channel("train", uri)])
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed:")
    assert "AccessDenied" in job["FailureReason"]


def test_manifest(clients: Clients, unique: str) -> None:
    """Input modes: ManifestFile, and FastFile as files."""
    clients.put(f"{unique}/data/2018/jan.csv", "jan")
    clients.put(f"{unique}/data/feb.csv", "feb")
    clients.put(f"{unique}/data/not-listed.csv", "no")
    names = [{"prefix": f"s3://{BUCKET}/{unique}/data/"}, "2018/jan.csv", "feb.csv"]
    manifest = clients.put(f"{unique}/manifest", json.dumps(names))
    clients.train(
        unique,
        InputDataConfig=[channel("train", manifest, "ManifestFile", InputMode="FastFile")],
    )
    job = clients.trained(unique)
    files = json.loads(clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"])["report.json"])[
        "files"
    ]
    data = {name: text for name, text in files.items() if name.startswith("input/data/")}
    assert data == {"input/data/train/2018/jan.csv": "jan", "input/data/train/feb.csv": "feb"}


def test_empty_prefix_fails(clients: Clients, unique: str) -> None:
    """As AWS words it (there at create, here as the job's failure)."""
    clients.train(unique, InputDataConfig=[channel("train", f"s3://{BUCKET}/nothing/here")])
    job = clients.trained(unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert f'No S3 objects found under S3 URL "s3://{BUCKET}/nothing/here"' in job["FailureReason"]


def test_checkpoints_survive_to_the_next_job(clients: Clients, unique: str) -> None:
    """/opt/ml/checkpoints."""
    clients.put(f"{unique}/state.txt", "epoch 7")
    clients.train(
        unique,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/{unique}", "LocalPath": "/opt/ml/input/saved"},
    )
    job = clients.trained(unique)
    report = json.loads(clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"])["report.json"])
    assert report["files"]["input/saved/state.txt"] == "epoch 7"


def test_network_isolation(clients: Clients, unique: str) -> None:
    """EnableNetworkIsolation: no network and no credentials (where Linux allows)."""
    clients.train(unique, EnableNetworkIsolation=True)
    job = clients.trained(unique)
    report = json.loads(clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"])["report.json"])
    assert "AWS_ACCESS_KEY_ID" not in report["environment"]
    if report["mounted"]:  # else Linux allows no namespaces here
        assert report["interfaces"] == ["lo"]


def test_jobs_wait_their_turn_in_starting(clients: Clients, unique: str) -> None:
    """At most N at a time (two here); a stop reaches a job that waits."""
    first, second, third, fourth = (f"{unique}-{number}" for number in range(4))
    clients.train(first, "wait")
    clients.train(second, "wait")
    clients.training(first)
    clients.training(second)
    clients.train(third)
    waiting = clients.sagemaker.describe_training_job(TrainingJobName=third)
    assert waiting["SecondaryStatus"] == "Starting"
    clients.train(fourth)
    clients.sagemaker.stop_training_job(TrainingJobName=fourth)
    assert clients.trained(fourth)["TrainingJobStatus"] == "Stopped", "while the others run"
    clients.sagemaker.stop_training_job(TrainingJobName=first)
    assert clients.trained(first)["TrainingJobStatus"] == "Stopped"
    assert clients.trained(third)["TrainingJobStatus"] == "Completed"
    clients.sagemaker.stop_training_job(TrainingJobName=second)
    assert clients.trained(second)["TrainingJobStatus"] == "Stopped"


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (
            {"TrainingJobName": "under_score"},
            "ValidationException",
            "1 validation error detected: Value 'under_score' at 'trainingJobName' failed to "
            "satisfy constraint: Member must satisfy regular expression pattern: ",
        ),
        (
            {"AlgorithmSpecification": {**ALGORITHM, "TrainingImage": f"{REGISTRY}/unheard-of:1"}},
            "ValidationException",
            "local/images.yaml",
        ),
        (
            {"RoleArn": "arn:aws:iam::000000000000:role/nobody"},
            "ValidationException",
            "Could not assume role arn:aws:iam::000000000000:role/nobody",
        ),
        (
            {"AlgorithmSpecification": {"AlgorithmName": "mine", "TrainingInputMode": "File"}},
            "NotImplementedLocally",
            "AlgorithmName",
        ),
        (
            {
                "InputDataConfig": [
                    {
                        "ChannelName": "train",
                        "DataSource": {
                            "FileSystemDataSource": {
                                "FileSystemId": "fs-12345678901",
                                "FileSystemAccessMode": "ro",
                                "FileSystemType": "EFS",
                                "DirectoryPath": "/data",
                            }
                        },
                    }
                ]
            },
            "NotImplementedLocally",
            "FileSystemDataSource",
        ),
        (
            {"InputDataConfig": [channel("train", "s3://bucket/key", CompressionType="Gzip")]},
            "ValidationException",
            "used only in Pipe input mode",
        ),
        (
            {"InputDataConfig": [channel("train", "s3://bucket/key", "AugmentedManifestFile")]},
            "ValidationException",
            "AugmentedManifestFile can only be used if the Channel's input mode is Pipe",
        ),
        (
            {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 100}},
            "ResourceLimitExceeded",
            "'ml.m5.large for training job usage' is 8 Instances",
        ),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59},
            },
            "ValidationException",
            "MaxWaitTimeInSeconds must be present",
        ),
    ],
)
def test_refused_requests(
    clients: Clients, unique: str, changes: dict, code: str, message: str
) -> None:
    """Error codes and messages."""
    with pytest.raises(ClientError) as refusal:
        clients.train(unique, **changes)
    assert refusal.value.response["Error"]["Code"] == code
    assert message in refusal.value.response["Error"]["Message"]


def test_names_are_unique_and_absence_is_told(clients: Clients, unique: str) -> None:
    """ResourceInUse; "Requested resource not found." as a ValidationException."""
    clients.train(unique)
    with pytest.raises(clients.sagemaker.exceptions.ResourceInUse, match="already exists"):
        clients.train(unique)
    with pytest.raises(ClientError, match="Requested resource not found") as refusal:
        clients.sagemaker.describe_training_job(TrainingJobName="never-made")
    assert refusal.value.response["Error"]["Code"] == "ValidationException"
    clients.trained(unique)
    clients.sagemaker.delete_training_job(TrainingJobName=unique)
    wait_until(
        lambda: (
            not clients.sagemaker.list_training_jobs(NameContains=unique)["TrainingJobSummaries"]
        )
    )


def test_waiter_and_paginator(clients: Clients, unique: str) -> None:
    """Waiters; List filters, order and pages."""
    names = [f"{unique}-{number}" for number in range(3)]
    for name in names:
        clients.train(name)
    waiter = clients.sagemaker.get_waiter("training_job_completed_or_stopped")
    for name in names:
        waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    pages = clients.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains=unique,
        StatusEquals="Completed",
        SortBy="Name",
        SortOrder="Descending",
        PaginationConfig={"PageSize": 2},
    )
    listed = [[job["TrainingJobName"] for job in page["TrainingJobSummaries"]] for page in pages]
    assert listed == [[names[2], names[1]], [names[0]]]
