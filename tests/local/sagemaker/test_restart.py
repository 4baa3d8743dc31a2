"""Killing the local AWS loses nothing it had answered, and leaves no process behind."""

import os
import signal
from pathlib import Path

from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import Clients, furnish, make_aws


def containers(aws: LocalAws) -> list[int]:
    """The processes whose environment says that they are containers of this instance."""
    mark = f"AWS_ENDPOINT_URL={aws.facts['endpoint_url']}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it ended, or is another user's
    return found


def test_sigkill_and_restart(tmp_path: Path, unique: str) -> None:
    aws = make_aws(tmp_path)
    try:
        clients = Clients.of(aws)
        furnish(aws)
        clients.config(unique, ("main", clients.model(unique), 1.0))
        clients.deploy(unique, unique)
        first = clients.ask(unique)["pid"]
        clients.train(unique, "ignore stop")
        clients.training(unique)
        assert len(containers(aws)) >= 2
        # The roles are among what MiniStack writes now and then.
        wait_until(lambda: b"sagemaker-tests" in saved_roles(tmp_path), what="the roles on disk")

        aws.stop(signal.SIGKILL)
        wait_until(lambda: not containers(aws), what="every container to go")

        aws.start()
        clients = Clients.of(aws)
        job = clients.sagemaker.describe_training_job(TrainingJobName=unique)
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"] == (
            "InternalServerError: the local AWS was restarted while the job ran"
        )
        assert clients.settled(unique)["EndpointStatus"] == "InService"
        answer = clients.ask(unique)
        assert answer["text"] == "one"
        assert answer["pid"] != first

        assert aws.stop() == 0
        assert not containers(aws), "an orderly stop leaves none either"
    finally:
        if aws.process.poll() is None:
            os.kill(aws.process.pid, signal.SIGKILL)


def saved_roles(state: Path) -> bytes:
    return b"".join(
        file.read_bytes() for file in (state / "services").rglob("*iam*") if file.is_file()
    )
