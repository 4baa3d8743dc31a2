"""What a tuning job tries, stops and refuses, without running any of it.

AWS: "Define Hyperparameter Ranges", "Stop Training Jobs Early", "Run a Warm Start Hyperparameter
Tuning Job" (developer guide), API_HyperParameterTuningJobConfig and API_HyperbandStrategyConfig.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.settings import Settings
from local.sagemaker.tuning import ranges, stopping
from local.sagemaker.tuning.search import Grid, Random
from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import IMAGES, MemoryCloud
from tests.local.sagemaker.test_tuning import X, request

CREATE = "CreateHyperParameterTuningJob"
DESCRIBE = "DescribeHyperParameterTuningJob"


def numbers(kind: str, low: str, high: str, scale: str = "Auto") -> dict[str, Any]:
    member = {"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": scale}
    return {f"{kind}ParameterRanges": [member]}


@pytest.mark.parametrize(
    ("given", "middle"),
    [
        (numbers("Continuous", "0", "1", "Linear"), 0.5),
        (numbers("Continuous", "0.0001", "1", "Logarithmic"), 0.01),
        (numbers("Continuous", "0.0001", "1"), 0.01),
        (numbers("Continuous", "1", "9"), 5),
        (numbers("Continuous", "0", "0.9999", "ReverseLogarithmic"), 0.99),
        (numbers("Integer", "1", "10000", "Logarithmic"), 100),
        (numbers("Integer", "0", "10"), 5),
    ],
)
def test_scales(given: dict, middle: float) -> None:
    """Auto is logarithmic for positive ranges of several orders of magnitude."""
    (found,) = ranges.parse(given)
    ends = [float(found.at(position)) for position in (0.0, 1.0)]
    assert ends == pytest.approx([found.low, found.high])
    assert float(found.at(0.5)) == pytest.approx(middle)
    position = found.position(found.at(0.5))
    assert position == pytest.approx(0.5)
    assert found.position("100000") is None


def test_random_draws_repeat_with_their_seed_and_not_themselves() -> None:
    found = ranges.parse(
        {
            **numbers("Integer", "1", "2"),
            "CategoricalParameterRanges": [{"Name": "c", "Values": ["a", "b"]}],
        }
    )
    first, second = Random(found, 7), Random(found, 7)
    draws = [first.ask(number) for number in range(4)]
    assert draws == [second.ask(number) for number in range(4)]
    assert len({tuple(draw.items()) for draw in draws}) == 4


def test_a_grid_is_every_combination_once() -> None:
    categories = [{"Name": "a", "Values": ["1", "2"]}, {"Name": "b", "Values": ["x", "y"]}]
    grid = Grid(ranges.parse({"CategoricalParameterRanges": categories}), 0)
    drawn = [grid.ask(number) for number in range(5)]
    assert drawn[0] == {"a": "1", "b": "x"}
    assert len({str(draw) for draw in drawn[:4]}) == 4
    assert drawn[4] is None


def test_the_median_rule() -> None:
    """Worse than the median of the running averages up to the same epoch."""
    earlier = [[1.0, 3.0], [2.0, 2.0, 9.0], [8.0, 0.0], [0.0]]  # averages 2, 2, 4; one too short
    assert stopping.is_hopeless([0.0, 2.1], earlier, maximize=False)
    assert not stopping.is_hopeless([9.0, 2.0], earlier, maximize=False)
    assert stopping.is_hopeless([9.0, 1.9], earlier, maximize=True)
    assert not stopping.is_hopeless([9.0], [], maximize=False)


def test_improvements_of_less_than_a_percent_are_none() -> None:
    assert stopping.without_improvement([1.0, 0.995, 0.991], maximize=False) == 2
    assert stopping.without_improvement([1.0, 0.98, 1.0], maximize=False) == 1
    assert stopping.without_improvement([], maximize=True) == 0
    assert stopping.has_converged([1.0] * 11, maximize=True)


def config(**changes: Any) -> Callable[[dict], None]:
    return lambda job: job["HyperParameterTuningJobConfig"].update(changes)


def part(**changes: Any) -> Callable[[dict], None]:
    return lambda job: job["TrainingJobDefinition"].update(changes)


CATEGORIES = {"CategoricalParameterRanges": [{"Name": "mode", "Values": ["a", "b"]}]}
THREE = {"MaxParallelTrainingJobs": 1, "MaxNumberOfTrainingJobs": 3}
MAXIMIZE_OTHER = {"Type": "Maximize", "MetricName": "accuracy"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (part(StaticHyperParameters={"x": "1"}), "both static and tuned: x"),
        (part(StaticHyperParameters={"_tuning_objective_metric": "x"}), "set by the tuning job"),
        (config(ParameterRanges={"ContinuousParameterRanges": [X, X]}), "more than one range: x"),
        (config(ParameterRanges=numbers("Integer", "5", "1")), "not be greater"),
        (config(ParameterRanges=numbers("Integer", "1", "2.5")), "not of kind Integer"),
        (config(ParameterRanges=numbers("Continuous", "0", "1", "Logarithmic")), "greater than 0"),
        (config(ParameterRanges=numbers("Integer", "1", "2", "ReverseLogarithmic")), "continuous"),
        (config(ParameterRanges={}), "At least one"),
        (config(Strategy="Grid"), "categorical hyperparameters only"),
        (config(Strategy="Grid", ParameterRanges=CATEGORIES, ResourceLimits=THREE), "must be 2"),
        (config(Strategy="Hyperband"), "MaxResource must be provided"),
        (config(Strategy="Hyperband", TrainingJobEarlyStoppingType="Auto"), "must be Off"),
        (config(ResourceLimits={"MaxParallelTrainingJobs": 1}), "MaxNumberOfTrainingJobs must"),
        (config(HyperParameterTuningJobObjective=MAXIMIZE_OTHER), "A metric is required"),
        (part(HyperParameterTuningResourceConfig={"InstanceCount": 1}), "Exactly one of"),
        (lambda job: job.pop("TrainingJobDefinition"), "Exactly one of"),
        (part(RoleArn="arn:aws:iam::000000000000:role/missing-role"), "Could not assume role"),
    ],
)
def test_refusals(service: SageMaker, change: Callable[[dict], None], message: str) -> None:
    job = request("tune")
    change(job)
    with pytest.raises(ServiceError, match=message) as refusal:
        service.call(CREATE, job)
    assert refusal.value.code == "ValidationException"


def tried(service: SageMaker, name: str, count: int) -> list[dict[str, str]]:
    """What the training jobs try; in memory, they wait in line for ever."""

    def found() -> list[dict[str, Any]] | None:
        listed = service.call(
            "ListTrainingJobsForHyperParameterTuningJob", {"HyperParameterTuningJobName": name}
        )["TrainingJobSummaries"]
        return listed if len(listed) == count else None

    return [child["TunedHyperParameters"] for child in wait_until(found)]


def test_a_seed_gives_the_same_hyperparameters(service: SageMaker) -> None:
    for name in ("one", "two"):
        service.call(CREATE, request(name, jobs=9, parallel=4, RandomSeed=5))
    assert tried(service, "one", 4) == tried(service, "two", 4)
    for name in ("one", "two"):
        service.call("StopHyperParameterTuningJob", {"HyperParameterTuningJobName": name})
    service.close()


def test_parents_must_have_ended_and_be_alike(service: SageMaker) -> None:
    service.call(CREATE, request("parent"))
    job = request("child")
    job["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "TransferLearning",
    }
    with pytest.raises(ServiceError, match="parent must have ended"):
        service.call(CREATE, job)
    job["HyperParameterTuningJobConfig"]["Strategy"] = "Grid"
    job["HyperParameterTuningJobConfig"]["ParameterRanges"] = CATEGORIES
    with pytest.raises(ServiceError, match="Bayesian or Random"):
        service.call(CREATE, job)
    with pytest.raises(ServiceError, match="already exists") as refusal:
        service.call(CREATE, request("parent"))
    assert refusal.value.code == "ResourceInUse"
    service.close()


def test_a_restart_ends_a_tuning_job_and_its_training_jobs(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    settings = Settings(images=(IMAGES,))
    before = SageMaker(tmp_path, cloud, settings)
    before.call(CREATE, request("tune"))
    tried(before, "tune", 2)
    before.close()
    after = SageMaker(tmp_path, cloud, settings)
    after.start()
    job = after.call(DESCRIBE, {"HyperParameterTuningJobName": "tune"})
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert "the local AWS was restarted" in job["FailureReason"]
    assert job["TrainingJobStatusCounters"]["RetryableError"] == 2
    assert job["HyperParameterTuningEndTime"] >= math.floor(job["CreationTime"])
    after.close()
