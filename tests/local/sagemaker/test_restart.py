"""Killing the local AWS loses nothing it had answered, and leaves no process behind."""

import signal

from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import Clients, containers


def saved_roles(aws: LocalAws) -> bytes:
    files = (aws.state / "services").rglob("*iam*")
    return b"".join(file.read_bytes() for file in files if file.is_file())


def test_sigkill_and_restart(sagemaker_aws: LocalAws, clients: Clients, unique: str) -> None:
    aws = sagemaker_aws
    clients.config(unique, ("main", clients.model(unique), 1.0))
    clients.deploy(unique, unique)
    first = clients.ask(unique)["pid"]
    clients.train(unique, "ignore stop")
    clients.train(f"{unique}-retry", "save on stop", RetryStrategy={"MaximumRetryAttempts": 1})
    clients.training(unique)
    clients.training(f"{unique}-retry")
    assert len(containers(aws)) >= 2
    # Roles are among what is written every few seconds.
    wait_until(lambda: b"sagemaker-tests" in saved_roles(aws), what="the roles on disk")

    aws.stop(signal.SIGKILL)
    wait_until(lambda: not containers(aws), what="every container to go")

    aws.start(aws.facts["port"])
    job = clients.sagemaker.describe_training_job(TrainingJobName=unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == (
        "InternalServerError: the local AWS was restarted while the job ran"
    )
    retried = {"TrainingJobName": f"{unique}-retry"}
    wait_until(
        lambda: clients.sagemaker.describe_training_job(**retried)["SecondaryStatus"] == "Training",
        what="the retry",
    )
    clients.sagemaker.stop_training_job(TrainingJobName=f"{unique}-retry")
    again = clients.trained(f"{unique}-retry")
    steps = [step["Status"] for step in again["SecondaryStatusTransitions"]]
    assert "Restarting" in steps, "an internal error, which its RetryStrategy covers"
    assert steps.count("Training") == 2
    assert clients.settled(unique)["EndpointStatus"] == "InService"
    answer = clients.ask(unique)
    assert answer["text"] == "one"
    assert answer["pid"] != first
    assert containers(aws), "left in service: an orderly stop must end them too"
