"""Training job definitions of a tuning job: checked, and made into training jobs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.store import Record
from local.sagemaker.tuning import ranges
from local.sagemaker.tuning.ranges import Range
from local.sagemaker.tuning.search import Values

OBJECTIVE = "_tuning_objective_metric"
_RESOURCES = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
_MOST_RESOURCES = 20_000
_COPIED = (
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "RetryStrategy",
    "Environment",
)


@dataclass(frozen=True)
class Definition:
    """One training job definition: what is fixed, what is tuned, and what for."""

    name: str
    request: Record
    ranges: list[Range]
    metric: str
    maximize: bool

    @property
    def static(self) -> Values:
        """Return the hyperparameters that are not tuned."""
        return dict(self.request.get("StaticHyperParameters", {}))

    @property
    def combinations(self) -> int:
        """Return how many combinations a grid of categories has."""
        count = 1
        for each in self.ranges:
            count *= len(each.choices)
        return count

    def training_job(self, name: str, tuned: Values, tags: list[Record]) -> Record:
        """Return the request of a training job that tries some values."""
        checkpoints = self.request.get("CheckpointConfig")
        if checkpoints:  # jobs that run at once must not overwrite each other's
            uri = f"{checkpoints['S3Uri'].rstrip('/')}/{name}"
            checkpoints = {**checkpoints, "S3Uri": uri}
        members: dict[str, Any] = {
            "TrainingJobName": name,
            "HyperParameters": {**self.static, **tuned, OBJECTIVE: self.metric},
            "AlgorithmSpecification": self.request["AlgorithmSpecification"],
            "ResourceConfig": _resources(self.request),
            "CheckpointConfig": checkpoints,
            "Tags": tags,
            **{member: self.request.get(member) for member in _COPIED},
        }
        return {member: value for member, value in members.items() if value is not None}


def parse(request: Record) -> list[Definition]:
    """Return a tuning job's definitions. Raises ValidationException in what AWS would refuse."""
    config = request["HyperParameterTuningJobConfig"]
    single, several = request.get("TrainingJobDefinition"), request.get("TrainingJobDefinitions")
    if (single is None) == (several is None):
        raise invalid(
            "Exactly one of TrainingJobDefinition and TrainingJobDefinitions must be provided."
        )
    given = several or [single]
    names = [each.get("DefinitionName", "") for each in given]
    if several and (not all(names) or len(set(names)) != len(names)):
        raise invalid("Each of TrainingJobDefinitions needs a DefinitionName of its own.")
    found = [_definition(each, config, bool(several)) for each in given]
    if len({each.maximize for each in found}) > 1:
        raise invalid("The objectives of all TrainingJobDefinitions must be of the same type.")
    return found


def shown(record: Record) -> Record:
    """Return a tuning job as it is described, on which the SDK's HyperparameterTuner.attach relies.

    Definitions have the hyperparameter that the job adds, and a ResourceConfig even where a
    HyperParameterTuningResourceConfig of one kind of instances was given.
    """
    definitions = [
        {
            **each.request,
            **({} if _is_flexible(each.request) else {"ResourceConfig": _resources(each.request)}),
            "StaticHyperParameters": {**each.static, OBJECTIVE: each.metric},
        }
        for each in parse(record)
    ]
    if "TrainingJobDefinition" in record:
        return {**record, "TrainingJobDefinition": definitions[0]}
    return {**record, "TrainingJobDefinitions": definitions}


def _is_flexible(given: Record) -> bool:
    return "InstanceConfigs" in given.get("HyperParameterTuningResourceConfig", {})


def _definition(given: Record, config: Record, is_one_of_several: bool) -> Definition:
    objective = given.get("TuningObjective") or config.get("HyperParameterTuningJobObjective")
    wanted = given.get("HyperParameterRanges") or config.get("ParameterRanges")
    if objective is None or wanted is None:
        where = "TrainingJobDefinitions" if is_one_of_several else "HyperParameterTuningJobConfig"
        raise invalid(f"{where} needs an objective and ranges of hyperparameters.")
    found = ranges.parse(wanted)
    static = given.get("StaticHyperParameters", {})
    if clashes := sorted({each.name for each in found} & set(static)):
        raise invalid(f"Hyperparameters are both static and tuned: {', '.join(clashes)}.")
    if OBJECTIVE in {*static, *(each.name for each in found)}:
        raise invalid(f"The hyperparameter {OBJECTIVE} is set by the tuning job itself.")
    if "TrainingImage" not in given["AlgorithmSpecification"]:
        raise not_implemented("A tuning job by AlgorithmName (give TrainingImage)")
    _resources(given)
    name = given.get("DefinitionName", "")
    maximize = objective["Type"] == "Maximize"
    return Definition(name, given, found, objective["MetricName"], maximize)


def _resources(given: Record) -> Record:
    """Return the ResourceConfig of a definition's training jobs, whichever way it was given."""
    plain, flexible = given.get("ResourceConfig"), given.get("HyperParameterTuningResourceConfig")
    if (plain is None) == (flexible is None):
        raise invalid(
            "Exactly one of ResourceConfig and HyperParameterTuningResourceConfig must be provided."
        )
    if plain is not None:
        return dict(plain)
    assert flexible is not None  # noqa: S101 - one of the two
    choices = flexible.get("InstanceConfigs")
    if choices and flexible.keys() & {"InstanceType", "InstanceCount", "VolumeSizeInGB"}:
        raise invalid("InstanceConfigs excludes InstanceType, InstanceCount and VolumeSizeInGB.")
    chosen = choices[0] if choices else flexible  # the first has capacity: this machine's
    members = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
    both = {**flexible, **chosen}
    return {"VolumeSizeInGB": 30, **{member: both[member] for member in members if member in both}}


def check_limits(config: Record, definitions: list[Definition]) -> None:
    """Refuse what a strategy cannot work with."""
    strategy, limits = config["Strategy"], config["ResourceLimits"]
    criteria = config.get("TuningJobCompletionCriteria", {})
    if strategy == "Grid":
        _check_grid(limits, definitions)
    elif not (limits.keys() & {"MaxNumberOfTrainingJobs", "MaxRuntimeInSeconds"} or criteria):
        raise invalid("MaxNumberOfTrainingJobs must be provided, or another completion criterion.")
    if strategy == "Hyperband":
        if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
            raise invalid("TrainingJobEarlyStoppingType must be Off with the strategy Hyperband.")
        for definition in definitions:
            hyperband_resources(config, definition)
    elif "StrategyConfig" in config:
        raise invalid("StrategyConfig is only for the strategy Hyperband.")


def _check_grid(limits: Record, definitions: list[Definition]) -> None:
    if any(each.kind != "Categorical" for part in definitions for each in part.ranges):
        raise invalid("The strategy Grid takes categorical hyperparameters only.")
    count = sum(each.combinations for each in definitions)
    if limits.get("MaxNumberOfTrainingJobs", count) != count:
        raise invalid(
            f"MaxNumberOfTrainingJobs must be {count}, the number of combinations of the grid."
        )


def hyperband_resources(config: Record, definition: Definition) -> tuple[int, int]:
    """Return the least and the most resource of a training job, such as epochs.

    See API_HyperbandStrategyConfig, also for where the most is looked for.
    """
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    least, most = given.get("MinResource", 1), given.get("MaxResource")
    static = definition.static
    if most is None:
        most = next((static[name] for name in _RESOURCES if static.get(name, "").isdigit()), None)
    if most is None:
        raise invalid(
            "MaxResource must be provided with the strategy Hyperband, or one of the static "
            f"hyperparameters {', '.join(_RESOURCES)}."
        )
    if not least <= int(most) <= _MOST_RESOURCES:
        raise invalid(f"MaxResource must be within MinResource and {_MOST_RESOURCES}.")
    return int(least), int(most)


def child_name(tuning_job: str, number: int) -> str:
    """Return a training job's name: the tuning job's, a count, and what makes it unique."""
    return f"{tuning_job}-{number:03d}-{uuid.uuid4().hex[:8]}"
