"""Faults: killed at any moment, a full disk, a container that hangs.

Others are with what they break: a taken port in tests/local/ministack/test_process.py, containers
that crash or answer 500 in test_endpoints.py, one that ignores SIGTERM in test_training.py.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker.families.jobs import RESTARTED
from tests.local.conftest import PYTHON, ROOT, LocalAws, wait_until
from tests.local.sagemaker.conftest import (
    BUCKET,
    IMAGES,
    ROLE,
    SCRIPT,
    Clients,
    containers,
    furnish,
)
from tests.local.sagemaker.labeling import WORKTEAM, label, people, put_material, request

MEGABYTE = 2**20


# Killed


@pytest.fixture(scope="module")
def at_work(sagemaker_aws: LocalAws, clients: Clients) -> Iterator[str]:
    """An endpoint in service and a labeling job that waits for people."""
    name = "killed"
    clients.config(name, ("main", clients.model(name), 1.0))
    clients.deploy(name, name)
    put_material(clients, ["a", "b", "c"])
    clients.sagemaker.create_workteam(**{**WORKTEAM, "WorkteamName": "night-shift"})
    team = "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/night-shift"
    human = {"WorkteamArn": team, "NumberOfHumanWorkersPerDataObject": 1}
    clients.sagemaker.create_labeling_job(**request(name, **human))
    # Roles and buckets are among what is written every few seconds.
    saved = (sagemaker_aws.state / "services").rglob
    wait_until(
        lambda: any(b"sagemaker-tests" in f.read_bytes() for f in saved("*iam*") if f.is_file()),
        what="the roles on disk",
    )
    yield name
    clients.delete(name)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment(
    sagemaker_aws: LocalAws, clients: Clients, at_work: str, seed: int
) -> None:
    """Finished work stays, unfinished work says why, nothing is left running."""
    aws, chance = sagemaker_aws, random.Random(seed)
    operator = {
        "AccessKeyId": aws.facts["access_key_id"],
        "SecretAccessKey": aws.facts["secret_access_key"],
    }
    work = people(aws, operator)
    team = {"WorkteamName": "night-shift", "Worker": "ana"}
    tasks = wait_until(lambda: work.list_labeling_tasks(**team)["Tasks"], what="tasks")
    names = [f"killed-{seed}-{number}" for number in range(4)]
    for name in names:
        clients.train(name, "count" if name.endswith("3") else "succeed")
    task = {**team, "TaskId": tasks[0]["TaskId"]}
    work.claim_labeling_task(**task)
    work.answer_labeling_task(**task, Answer=label("glad"))
    time.sleep(chance.uniform(0.0, 2.0))  # any moment
    before = {name: described(clients, name)["TrainingJobStatus"] for name in names}

    aws.stop(signal.SIGKILL)
    wait_until(lambda: not containers(aws), what="every container to go")
    aws.start(aws.facts["port"])

    for name in names:
        job = described(clients, name)
        if before[name] == "Completed" or job["TrainingJobStatus"] == "Completed":
            assert job["TrainingJobStatus"] == "Completed"
            assert clients.unpack(job["ModelArtifacts"]["S3ModelArtifacts"])
        else:
            assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", RESTARTED)
    assert clients.settled(at_work)["EndpointStatus"] == "InService"
    assert clients.ask(at_work)["text"] == "one"
    left = work.list_labeling_tasks(**team)["Tasks"]
    assert task["TaskId"] not in [each["TaskId"] for each in left]
    labelled = clients.sagemaker.describe_labeling_job

    def counted() -> bool:
        return labelled(LabelingJobName=at_work)["LabelCounters"]["TotalLabeled"] == seed

    wait_until(counted, what="the answer to count, before the kill or after")


def described(clients: Clients, name: str) -> dict[str, Any]:
    return clients.sagemaker.describe_training_job(TrainingJobName=name)


# Full, and slow


class SmallDisk(LocalAws):
    """An instance whose state lies on a file system of its own, of 64 MB, and is soon full."""

    def start(self, port: int = 0) -> None:
        folder = self.state
        script = (
            f"mount -t tmpfs -o size=64m tmpfs {folder} && "
            f"exec {PYTHON} -m local --state {folder} --port {port}"
        )
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script],
            cwd=ROOT,
            env={**os.environ, **self._environment},
            stderr=subprocess.DEVNULL,
        )
        # The mount is seen by the instance alone, and by its entry in /proc.
        self.state = Path(f"/proc/{self.process.pid}/root{folder}")
        ready = self.state / "local-aws.json"
        wait_until(lambda: self.process.poll() is None and ready.exists(), what="local-aws.json")
        self.facts = json.loads(ready.read_text())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root may mount a file system")
    aws = SmallDisk(
        tmp_path_factory.mktemp("small"),
        HEADRACE_LOCAL_IMAGES=str(IMAGES),
        HEADRACE_LOCAL_INVOCATION_TIMEOUT="0.5",
        HEADRACE_LOCAL_SERVE_STOP_GRACE="1",
    )
    furnish(aws)
    yield aws
    assert aws.stop() == 0
    assert not containers(aws)


def test_a_full_disk_is_the_reason(small: LocalAws) -> None:
    """A job that fills the disk fails and says so; what follows has its place again."""
    clients = Clients.of(small)
    for number in range(2):
        clients.s3.put_object(Bucket=BUCKET, Key=f"large/{number}", Body=b"0" * 20 * MEGABYTE)
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/large/"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    clients.train("full", InputDataConfig=[channel])
    job = clients.trained("full")
    assert job["TrainingJobStatus"] == "Failed"
    assert "No space left on device" in job["FailureReason"]
    assert job["FailureReason"].startswith("ClientError: Data download failed")

    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    script = "head -c 60000000 /dev/zero > $SAGEMAKER_BASE_DIR/processing/too-large"
    application = {"ImageUri": SCRIPT, "ContainerEntrypoint": ["sh", "-c", script]}
    clients.sagemaker.create_processing_job(
        ProcessingJobName="full",
        RoleArn=ROLE,
        AppSpecification=application,
        ProcessingResources={"ClusterConfig": cluster},
    )
    describe = clients.sagemaker.describe_processing_job
    wait_until(
        lambda: describe(ProcessingJobName="full")["ProcessingJobStatus"] == "Failed",
        what="the processing job's failure",
    )
    reason = describe(ProcessingJobName="full")["FailureReason"]
    assert "No space left on device" in reason or "disk is full" in reason

    clients.train("after")
    assert clients.trained("after")["TrainingJobStatus"] == "Completed"


def test_a_container_that_hangs(small: LocalAws) -> None:
    """A request times out as ModelError; the endpoint stays and answers the next."""
    clients = Clients.of(small)
    clients.config("hangs", ("main", clients.model("hangs"), 1.0))
    clients.deploy("hangs", "hangs")
    began = time.monotonic()
    with pytest.raises(clients.runtime.exceptions.ModelError, match=r"timed out|did not") as late:
        clients.ask("hangs", "hang")
    assert time.monotonic() - began < 5
    assert late.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424
    answered = wait_until(lambda: clients.ask("hangs"), what="an answer")
    assert answered["text"] == "one"
    assert clients.settled("hangs")["EndpointStatus"] == "InService"
    clients.delete("hangs")
