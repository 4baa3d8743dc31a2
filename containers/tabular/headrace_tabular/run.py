"""The settings of a training run: `input/config/run.json` of the config channel."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from headrace_tabular.errors import ProjectError

Problem = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Cost:
    """What a wrong decision costs, in the currency of the business."""

    false_positive: float
    false_negative: float


@dataclass(frozen=True)
class Dataset:
    """A dataset version of this run; `known` means that the champion learned from it."""

    version: str
    role: str


@dataclass(frozen=True)
class Run:
    """Everything a training run is told, as `run.json` has it."""

    run: str
    model: str
    problem: Problem
    label: str
    entity: str | None
    event_time: str | None
    exclude: tuple[str, ...]
    holdout: float
    seed: str
    datasets: tuple[Dataset, ...]
    features: str | None
    training: str | None
    serving: str | None
    metric: str
    cost: Cost | None
    slices: tuple[str, ...]
    facets: Mapping[str, tuple[str, ...]]
    segments: tuple[str, ...]
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def not_learned(self) -> tuple[str, ...]:
        """Columns that never become features, in a fixed order."""
        special = (self.label, self.entity, self.event_time, *self.exclude)
        return tuple(dict.fromkeys(name for name in special if name))


def read_run(config: Path, hyperparameters: Path) -> Run:
    """Read `run.json`; SageMaker's hyperparameters, where there are any, override its own."""
    try:
        document = json.loads(config.read_text())
        return parse_run(document, read_hyperparameters(hyperparameters))
    except FileNotFoundError as error:
        raise ProjectError(f"{error.filename} is missing: the `config` channel holds it") from error
    except json.JSONDecodeError as error:
        raise ProjectError(f"{config} is not JSON: {error}") from error
    except KeyError as error:
        raise ProjectError(f"{config.name} lacks {error}") from error


def parse_run(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> Run:
    """Turn the parsed `run.json` into a Run; raise KeyError or ProjectError."""
    data, evaluation = document["data"], document["evaluation"]
    training, cost = document.get("training") or {}, evaluation.get("cost")
    monitoring = document.get("monitoring") or {}
    problem = document["problem"]
    if problem not in ("binary", "multiclass", "regression"):
        raise ProjectError(f"problem '{problem}' is not one of binary, multiclass, regression")
    holdout = float(data.get("holdout", 0.2))
    if not 0 < holdout < 1:
        raise ProjectError(f"data.holdout is {holdout}: it is a share between 0 and 1")
    return Run(
        run=document["run"],
        model=document["model"],
        problem=cast(Problem, problem),
        label=data["label"],
        entity=data.get("entity"),
        event_time=data.get("event_time"),
        exclude=tuple(data.get("exclude") or ()),
        holdout=holdout,
        seed=str(data.get("seed", "headrace")),
        datasets=tuple(Dataset(item["version"], item["role"]) for item in document["datasets"]),
        features=(document.get("features") or {}).get("entrypoint"),
        training=training.get("entrypoint"),
        serving=(document.get("serving") or {}).get("entrypoint"),
        metric=evaluation["metric"],
        cost=parse_cost(cost) if cost and problem == "binary" else None,
        slices=tuple(evaluation.get("slices") or ()),
        facets={name: tuple(of) for name, of in (monitoring.get("facets") or {}).items()},
        segments=tuple(monitoring.get("segments") or ()),
        hyperparameters={**(training.get("hyperparameters") or {}), **overrides},
    )


def parse_cost(cost: Mapping[str, Any]) -> Cost:
    """Read the cost of errors, which must be two finite numbers that are not negative."""
    parsed = Cost(float(cost["false_positive"]), float(cost["false_negative"]))
    for value in (parsed.false_positive, parsed.false_negative):
        if not (math.isfinite(value) and value >= 0):
            raise ProjectError("evaluation.cost: both costs are numbers of zero or more")
    return parsed


def read_hyperparameters(path: Path) -> dict[str, Any]:
    """Read SageMaker's hyperparameters: strings that may hold JSON.

    Names with an underscore in front or `sagemaker_` belong to SageMaker's tools.
    """
    if not path.exists():
        return {}
    given = json.loads(path.read_text())
    return {
        name: decode(value)
        for name, value in given.items()
        if not name.startswith(("_", "sagemaker_"))
    }


def decode(value: Any) -> Any:
    """Return what a hyperparameter's text means; text that is not JSON means itself."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
