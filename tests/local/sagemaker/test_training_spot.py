"""Managed spot training: interruptions on demand, checkpoints, and what is billed.

Pages: "Managed Spot Training" (life cycles), "Checkpoints in Amazon SageMaker AI",
API_DescribeTrainingJob.
"""

from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import BUCKET, Clients

LIMITS = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}


def interrupted(seconds: str) -> list[dict[str, str]]:
    return [{"Key": "headrace:interrupt-after", "Value": seconds}]


def statuses(job: dict) -> list[str]:
    return [step["Status"] for step in job["SecondaryStatusTransitions"]]


def test_an_interrupted_job_goes_on_from_its_checkpoint(clients: Clients, unique: str) -> None:
    """Interrupted, Starting, Downloading, Training again; checkpoints reach S3 meanwhile."""
    uri = f"s3://{BUCKET}/{unique}/checkpoints"
    clients.train(
        unique,
        "count",
        EnableManagedSpotTraining=True,
        StoppingCondition=LIMITS,
        CheckpointConfig={"S3Uri": uri},
        Tags=interrupted("0.8"),
    )
    wait_until(lambda: clients.keys(f"{unique}/checkpoints/"), what="a checkpoint of a running job")
    job = clients.trained(unique)
    attempt = ["Starting", "Downloading", "Training"]
    assert statuses(job) == [*attempt, "Interrupted", *attempt, "Uploading", "Completed"]
    assert clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"])["number"] == "12"
    assert clients.get(f"{uri}/number") == b"12"
    lines = clients.log_lines("/aws/sagemaker/TrainingJobs", f"{unique}/")
    first, left, second = (line for line in lines if line.startswith(("began", "left")))
    assert first == "began at 0"
    assert second.removeprefix("began at ") == left.removeprefix("left at "), (
        "SIGTERM, then restored"
    )
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]


def test_the_wait_for_spot_capacity_ends(clients: Clients, unique: str) -> None:
    """MaxWaitTimeInSeconds counts from the job's start, MaxRuntimeInSeconds its training alone."""
    limits = {"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": 2}
    clients.train(
        unique,
        "save on stop",
        EnableManagedSpotTraining=True,
        StoppingCondition=limits,
        Tags=interrupted("0.5"),
    )
    job = clients.trained(unique)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert "Interrupted" in statuses(job)
    assert statuses(job)[-3:] == ["Training", "Stopping", "MaxWaitTimeExceeded"]
