"""Warm pools: statuses and times of what a job leaves for the next.

Page: "SageMaker AI Managed Warm Pools" (life cycle, matching training jobs, update, terminate).
"""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import SageMaker
from local.sagemaker.families.training import TrainingJobs
from local.sagemaker.jobs import warm_pools
from local.sagemaker.resources import Resources
from local.sagemaker.store import Store
from tests.local.sagemaker.conftest import Clients, MemoryCloud

WARM = {
    "InstanceType": "ml.m5.large",
    "InstanceCount": 1,
    "VolumeSizeInGB": 1,
    "KeepAlivePeriodInSeconds": 60,
}


@pytest.fixture
def jobs(tmp_path: Path) -> Resources:
    return Resources(TrainingJobs.kind, Store(tmp_path / "store.db"), MemoryCloud())


def job(jobs: Resources, name: str, **resources: Any) -> dict[str, Any]:
    return jobs.insert(name, {"RoleArn": "role", "ResourceConfig": {**WARM, **resources}})


def status(jobs: Resources, name: str, now: float) -> dict[str, Any]:
    return warm_pools.shown(jobs.get(name), now).get("WarmPoolStatus", {})


def run(jobs: Resources, name: str, start: float, end: float, completed: bool = True) -> None:
    warm_pools.take(jobs, jobs.get(name), start)
    warm_pools.release(jobs, name, completed, end)


def test_a_pool_is_reused_or_expires(jobs: Resources) -> None:
    job(jobs, "first")
    warm_pools.take(jobs, jobs.get("first"), 0)
    assert status(jobs, "first", 1) == {"Status": "InUse"}
    warm_pools.release(jobs, "first", True, 10)
    available = {"Status": "Available", "ResourceRetainedBillableTimeInSeconds": 59}
    assert status(jobs, "first", 69) == available
    job(jobs, "larger", InstanceCount=2)
    run(jobs, "larger", 20, 30)
    assert status(jobs, "first", 30)["Status"] == "Available", "another count does not match"
    job(jobs, "last", KeepAlivePeriodInSeconds=0)
    run(jobs, "last", 40, 50)
    assert status(jobs, "first", 50) == {
        "Status": "Reused",
        "ReusedByJob": "last",
        "ResourceRetainedBillableTimeInSeconds": 30,
    }
    assert status(jobs, "last", 50) == {"Status": "Terminated"}, "it asked for no pool of its own"
    assert status(jobs, "larger", 90) == {
        "Status": "Terminated",
        "ResourceRetainedBillableTimeInSeconds": 60,
    }
    job(jobs, "failed")
    run(jobs, "failed", 100, 110, completed=False)
    assert status(jobs, "failed", 110) == {"Status": "Terminated"}
    job(jobs, "cold", KeepAlivePeriodInSeconds=0)
    run(jobs, "cold", 120, 130)
    assert status(jobs, "cold", 130) == {}


def test_a_job_on_spot_takes_no_pool(jobs: Resources) -> None:
    job(jobs, "first")
    run(jobs, "first", 0, 10)
    jobs.insert(
        "spot",
        {"RoleArn": "role", "ResourceConfig": WARM, "EnableManagedSpotTraining": True},
    )
    run(jobs, "spot", 11, 20)
    assert status(jobs, "first", 21)["Status"] == "Available"
    assert not status(jobs, "spot", 21)


def test_a_job_that_a_restart_ended_leaves_no_pool(service: SageMaker) -> None:
    training = next(each for each in service._families if isinstance(each, TrainingJobs))
    training.resources.insert(
        "cut-short",
        {"RoleArn": "role", "ResourceConfig": WARM, "SecondaryStatusTransitions": [{}]},
        TrainingJobStatus="InProgress",
    )
    warm_pools.take(training.resources, training.resources.get("cut-short"), 0)
    training.start()
    found = training.resources.get("cut-short")
    assert (found["TrainingJobStatus"], found["WarmPoolStatus"]["Status"]) == (
        "Failed",
        "Terminated",
    )


def test_update_and_list(clients: Clients, unique: str) -> None:
    """UpdateTrainingJob keeps a pool longer or ends it; List filters by a pool's status."""
    clients.train(unique, ResourceConfig=WARM)
    with pytest.raises(ClientError, match="only be updated when the warm pool's status"):
        clients.sagemaker.update_training_job(
            TrainingJobName=unique, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
        )
    assert clients.trained(unique)["WarmPoolStatus"]["Status"] == "Available"
    longer = {"KeepAlivePeriodInSeconds": 120}
    clients.sagemaker.update_training_job(TrainingJobName=unique, ResourceConfig=longer)
    described = clients.sagemaker.describe_training_job(TrainingJobName=unique)
    assert described["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 120

    def listed(status: str) -> list[str]:
        found = clients.sagemaker.list_training_jobs(
            WarmPoolStatusEquals=status, NameContains=unique
        )
        return [summary["WarmPoolStatus"]["Status"] for summary in found["TrainingJobSummaries"]]

    assert listed("Available") == ["Available"]
    clients.sagemaker.update_training_job(
        TrainingJobName=unique, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
    )
    assert (listed("Available"), listed("Terminated")) == ([], ["Terminated"])
