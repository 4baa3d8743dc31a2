"""Hyperparameter tuning jobs, run for real.

AWS: "How Hyperparameter Tuning Works", "Stop Training Jobs Early", "Run a Warm Start Hyperparameter
Tuning Job", "Track and set completion criteria for your tuning job" (developer guide),
API_CreateHyperParameterTuningJob, API_HyperParameterTrainingJobSummary.
"""

import json
import re
from typing import Any

import pytest

from tests.local.conftest import LocalAws, wait_until
from tests.local.ministack.helpers import execute, jsonata
from tests.local.sagemaker import test_training_xgboost, test_transform
from tests.local.sagemaker.conftest import BUCKET, REGISTRY, ROLE, Clients

IMAGE = f"{REGISTRY}/tune:1"
LOSS = [{"Name": "loss", "Regex": r"loss=([-0-9.e]+);"}]
OBJECTIVE = {"Type": "Minimize", "MetricName": "loss"}
X = {"Name": "x", "MinValue": "0", "MaxValue": "1"}


def definition(**changes: Any) -> dict[str, Any]:
    return {
        "RoleArn": ROLE,
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": LOSS,
        },
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/tuning"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }


def request(
    name: str,
    strategy: str = "Random",
    jobs: int | None = 2,
    parallel: int = 2,
    modes: list[str] | None = None,
    **config: Any,
) -> dict[str, Any]:
    """A tuning job over x, or over modes of the container."""
    limits = {"MaxParallelTrainingJobs": parallel}
    if jobs:
        limits["MaxNumberOfTrainingJobs"] = jobs
    ranges: dict[str, Any] = {"ContinuousParameterRanges": [X]}
    if modes:
        ranges = {"CategoricalParameterRanges": [{"Name": "mode", "Values": modes}]}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": OBJECTIVE,
            "ResourceLimits": limits,
            "ParameterRanges": ranges,
            **config,
        },
        "TrainingJobDefinition": definition(),
    }


def described(clients: Clients, name: str) -> dict[str, Any]:
    return clients.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def tuned(clients: Clients, job: dict[str, Any]) -> dict[str, Any]:
    """Run a tuning job to its end."""
    name = job["HyperParameterTuningJobName"]
    clients.sagemaker.create_hyper_parameter_tuning_job(**job)

    def ended() -> dict[str, Any] | None:
        found = described(clients, name)
        going_on = found["HyperParameterTuningJobStatus"] in ("InProgress", "Stopping")
        return None if going_on else found

    return wait_until(ended, seconds=40, what=f"the end of {name}")


def children(clients: Clients, name: str, **options: Any) -> list[dict[str, Any]]:
    found = clients.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, **options
    )
    return found["TrainingJobSummaries"]


def loss(child: dict[str, Any]) -> float:
    return child["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]


@pytest.fixture
def name(unique: str) -> str:
    return unique[:26].strip("-")


def test_training_jobs_are_made_listed_and_compared(clients: Clients, name: str) -> None:
    job = request(name, jobs=3)
    job["TrainingJobDefinition"]["StaticHyperParameters"] = {"colour": "green"}
    job["Tags"] = [{"Key": "team", "Value": "risk"}]
    ended = tuned(clients, job)
    assert ended["HyperParameterTuningJobStatus"] == "Completed", ended
    assert ended["TrainingJobStatusCounters"] == {
        "Completed": 3,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert ended["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    assert ended["TrainingJobDefinition"]["StaticHyperParameters"] == {
        "colour": "green",
        "_tuning_objective_metric": "loss",
    }
    first, *others = children(clients, name, SortBy="FinalObjectiveMetricValue")
    assert [loss(first)] == sorted([loss(first), *map(loss, others)])[:1]
    assert ended["BestTrainingJob"] == first
    for child in (first, *others):
        assert re.fullmatch(rf"{name}-00[123]-[0-9a-f]{{8}}", child["TrainingJobName"])
        x = float(child["TunedHyperParameters"]["x"])
        assert loss(child) == pytest.approx((x - 0.3) ** 2)
    training = clients.sagemaker.describe_training_job(TrainingJobName=first["TrainingJobName"])
    assert training["TuningJobArn"] == ended["HyperParameterTuningJobArn"]
    assert training["HyperParameters"] == {
        "colour": "green",
        "_tuning_objective_metric": "loss",
        **first["TunedHyperParameters"],
    }
    tags = clients.sagemaker.list_tags(ResourceArn=training["TrainingJobArn"])["Tags"]
    assert tags == job["Tags"]
    artifact = training["ModelArtifacts"]["S3ModelArtifacts"]
    assert artifact.endswith(f"/tuning/{first['TrainingJobName']}/output/model.tar.gz")
    (listed,) = clients.sagemaker.list_hyper_parameter_tuning_jobs(NameContains=name)[
        "HyperParameterTuningJobSummaries"
    ]
    assert (listed["Strategy"], listed["TrainingJobStatusCounters"]["Completed"]) == ("Random", 3)


def test_early_stopping_ends_what_is_worse_than_the_median(clients: Clients, name: str) -> None:
    job = request(
        name,
        "Grid",
        None,
        parallel=1,
        modes=["good", "bad"],
        TrainingJobEarlyStoppingType="Auto",
    )
    ended = tuned(clients, job)
    assert ended["HyperParameterTuningJobStatus"] == "Completed", ended
    shown = {child["TunedHyperParameters"]["mode"]: child for child in children(clients, name)}
    statuses = {mode: child["TrainingJobStatus"] for mode, child in shown.items()}
    assert statuses == {"good": "Completed", "bad": "Stopped"}
    assert loss(shown["bad"]) == 9, "what was stopped counts with its last value"
    assert ended["BestTrainingJob"]["TunedHyperParameters"] == {"mode": "good"}


def test_hyperband_gives_each_job_its_resource_at_most(clients: Clients, name: str) -> None:
    job = request(
        name,
        "Hyperband",
        StrategyConfig={"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 3}},
    )
    job["TrainingJobDefinition"]["StaticHyperParameters"] = {"mode": "endless"}
    ended = tuned(clients, job)
    assert ended["TrainingJobStatusCounters"]["Stopped"] == 2, ended
    assert ended["ObjectiveStatusCounters"]["Succeeded"] == 2


def test_bayesian_learns_from_a_parent(clients: Clients, name: str) -> None:
    """Warm start, the overall best, and a target that ends the job."""
    parent = tuned(clients, request(f"{name}-0", jobs=2))
    best = loss(parent["BestTrainingJob"])
    job = request(
        name,
        "Bayesian",
        jobs=20,
        TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 1.0},
    )
    job["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": f"{name}-0"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    flexible = job["TrainingJobDefinition"].pop("ResourceConfig")
    job["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"] = flexible
    ended = tuned(clients, job)
    assert ended["HyperParameterTuningJobStatus"] == "Completed", ended
    assert sum(ended["TrainingJobStatusCounters"].values()) < 20, "the target was reached at once"
    overall = ended["OverallBestTrainingJob"]
    assert loss(overall) == min(best, loss(ended["BestTrainingJob"]))
    assert overall["TuningJobName"] in (name, f"{name}-0")


def test_what_fails_or_emits_nothing_is_told(clients: Clients, name: str) -> None:
    failing = request(name, "Grid", None, modes=["fail"])
    ended = tuned(clients, failing)
    assert ended["HyperParameterTuningJobStatus"] == "Failed"
    assert ended["FailureReason"].startswith("ClientError: All training jobs failed.")
    assert ended["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    (child,) = children(clients, name)
    assert child["FailureReason"] == "AlgorithmError: no rows are left, exit code: 3"

    mute = request(f"{name}-mute", "Grid", None, modes=["mute"])
    ended = tuned(clients, mute)
    assert ended["HyperParameterTuningJobStatus"] == "Failed"
    assert "No objective metrics found after running 1 training jobs" in ended["FailureReason"]
    (child,) = children(clients, f"{name}-mute")
    assert (child["TrainingJobStatus"], child["ObjectiveStatus"]) == ("Completed", "Failed")


def test_a_stop_stops_the_training_jobs(clients: Clients, name: str) -> None:
    job = request(name, jobs=5)
    job["TrainingJobDefinition"]["StaticHyperParameters"] = {"mode": "wait"}
    clients.sagemaker.create_hyper_parameter_tuning_job(**job)
    wait_until(lambda: len(children(clients, name)) == 2, what="two training jobs")
    with pytest.raises(clients.sagemaker.exceptions.ResourceInUse):
        clients.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    clients.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    wait_until(lambda: described(clients, name)["HyperParameterTuningJobStatus"] == "Stopped")
    assert {child["TrainingJobStatus"] for child in children(clients, name)} == {"Stopped"}
    clients.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    with pytest.raises(clients.sagemaker.exceptions.ClientError, match="can't find a tuning job"):
        described(clients, name)


def test_several_definitions_take_turns(clients: Clients, name: str) -> None:
    job = request(name)
    config = job["HyperParameterTuningJobConfig"]
    shared = {
        "TuningObjective": config.pop("HyperParameterTuningJobObjective"),
        "HyperParameterRanges": config.pop("ParameterRanges"),
    }
    del job["TrainingJobDefinition"]
    job["TrainingJobDefinitions"] = [
        definition(DefinitionName=each, **shared) for each in ("first", "second")
    ]
    ended = tuned(clients, job)
    assert ended["HyperParameterTuningJobStatus"] == "Completed", ended
    made = {child["TrainingJobDefinitionName"] for child in children(clients, name)}
    assert made == {"first", "second"}


def test_a_built_in_algorithm_has_the_metric_that_is_optimised(clients: Clients, name: str) -> None:
    """XGBoost evaluates it unasked, and the metric needs no definition."""
    rows = "\n".join(f"{3 * x},{x},{y}" for x in range(20) for y in range(3))
    clients.put(f"{name}/train/a.csv", rows)
    clients.put(f"{name}/validation/a.csv", rows)
    job = request(
        name,
        jobs=1,
        HyperParameterTuningJobObjective={"Type": "Minimize", "MetricName": "validation:mae"},
        ParameterRanges={
            "IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "2", "MaxValue": "4"}]
        },
    )
    channels = [
        test_training_xgboost.channel(each, f"s3://{BUCKET}/{name}/{each}/", "csv")
        for each in ("train", "validation")
    ]
    job["TrainingJobDefinition"].update(
        AlgorithmSpecification=test_training_xgboost.ALGORITHM,
        StaticHyperParameters={"num_round": "3", "nthread": "1"},
        InputDataConfig=channels,
    )
    ended = tuned(clients, job)
    assert ended["HyperParameterTuningJobStatus"] == "Completed", ended
    assert loss(ended["BestTrainingJob"]) > 0


def test_step_functions_waits_for_both_kinds_of_jobs(
    sagemaker_aws: LocalAws, clients: Clients, name: str
) -> None:
    """`.sync` of createHyperParameterTuningJob and createTransformJob."""
    clients.put(f"{name}/in/a.csv", "1\n")
    clients.model(name, None, test_transform.IMAGE)
    tasks = {
        "Tune": ("createHyperParameterTuningJob", request(name, "Grid", None, modes=["good"])),
        "Transform": ("createTransformJob", test_transform.request(name)),
    }
    states = {
        state: {
            "Type": "Task",
            "Resource": f"arn:aws:states:::sagemaker:{call}.sync",
            "Arguments": arguments,
        }
        for state, (call, arguments) in tasks.items()
    }
    states["Tune"]["Next"] = "Transform"
    states["Tune"]["Assign"] = {"best": "{% $states.result.BestTrainingJob.TrainingJobStatus %}"}
    states["Transform"]["End"] = True
    states["Transform"]["Output"] = [
        "{% $best %}",
        "{% $states.result.TransformJobStatus %}",
    ]
    ended = execute(sagemaker_aws, jsonata("Tune", **states))
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"]) == ["Completed", "Completed"]
