"""Strategies: which hyperparameters to try next.

See "How Hyperparameter Tuning Works" of the developer guide. Random and Grid are ours; Bayesian is
Optuna's tree-structured Parzen estimator, Hyperband its successive halving in brackets. Optuna is
imported when it is first used: that takes a second.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

from local.sagemaker.tuning.ranges import Range

Values: TypeAlias = dict[str, str]
_DRAWS = 100  # for a combination that was not tried yet
_FIRST = 5  # random combinations before the Bayesian strategy has something to learn from
_REDUCTION = 3  # of a Hyperband rung, this part goes on
_LARGEST_SEED = 2**32


class Search(Protocol):
    """A strategy at work on one training job definition."""

    def ask(self, number: int) -> Values | None:
        """Return what the training job of that number tries, None when all has been tried."""

    def tell(self, number: int, value: float | None) -> None:
        """Take a training job's final objective, None if it has none."""

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Take an objective after an epoch (from 1 on); return whether to stop the job."""

    def learn(self, values: Values, value: float) -> None:
        """Take what an earlier tuning job found out."""


class Random:
    """Every combination at random, none twice as long as there are others."""

    def __init__(self, ranges: list[Range], seed: int) -> None:
        self._ranges = ranges
        self._random = random.Random(seed)  # noqa: S311 - a search, not a secret
        self._tried: set[tuple[str, ...]] = set()

    def ask(self, number: int) -> Values | None:  # noqa: ARG002 - as a Search
        """Draw a combination."""
        for _ in range(_DRAWS):
            drawn = tuple(each.at(self._random.random()) for each in self._ranges)
            if drawn not in self._tried:
                break
        self._tried.add(drawn)
        return {each.name: value for each, value in zip(self._ranges, drawn, strict=True)}

    def tell(self, number: int, value: float | None) -> None:
        """Nothing is learnt."""

    def report(self, number: int, epoch: int, value: float) -> bool:  # noqa: ARG002 - as a Search
        """Nothing is stopped."""
        return False

    def learn(self, values: Values, value: float) -> None:
        """Nothing is learnt."""


class Grid(Random):
    """Every combination of categories once, in their order."""

    def __init__(self, ranges: list[Range], seed: int) -> None:
        super().__init__(ranges, seed)
        self._left: Iterator[tuple[str, ...]] = itertools.product(
            *(each.choices for each in ranges)
        )

    def ask(self, number: int) -> Values | None:  # noqa: ARG002 - as a Search
        """Take the next combination."""
        taken = next(self._left, None)
        if taken is None:
            return None
        return {each.name: value for each, value in zip(self._ranges, taken, strict=True)}


class Study:
    """One of Optuna's studies; with `resources` (least, most) it is Hyperband."""

    def __init__(
        self,
        ranges: list[Range],
        seed: int,
        maximize: bool,
        resources: tuple[int, int] | None = None,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._ranges = {each.name: each for each in ranges}
        self._distributions: dict[str, Any] = {
            each.name: optuna.distributions.CategoricalDistribution(each.choices)
            if each.choices
            else optuna.distributions.FloatDistribution(0, 1)
            for each in ranges
        }
        seed %= _LARGEST_SEED
        self._most = resources[1] if resources else math.inf
        self._study = optuna.create_study(
            direction="maximize" if maximize else "minimize",
            sampler=optuna.samplers.RandomSampler(seed=seed)
            if resources
            else optuna.samplers.TPESampler(seed=seed, n_startup_trials=_FIRST),
            pruner=optuna.pruners.HyperbandPruner(*resources, reduction_factor=_REDUCTION)
            if resources
            else optuna.pruners.NopPruner(),
        )
        self._trials: dict[int, Any] = {}

    def ask(self, number: int) -> Values | None:
        """Have Optuna choose."""
        trial = self._study.ask(self._distributions)
        self._trials[number] = trial
        return {
            name: value if self._ranges[name].choices else self._ranges[name].at(value)
            for name, value in trial.params.items()
        }

    def tell(self, number: int, value: float | None) -> None:
        """Take a training job's final objective."""
        trial = self._trials.pop(number)
        if value is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, value)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Have the pruner judge; a job that used the most of its resource has had its turn."""
        trial = self._trials[number]
        trial.report(value, epoch)
        return epoch >= self._most or bool(trial.should_prune())

    def learn(self, values: Values, value: float) -> None:
        """Add a trial, unless it lies outside the ranges of now."""
        params: dict[str, Any] = {}
        for name, each in self._ranges.items():
            position = each.position(values[name]) if name in values else None
            if position is None:
                return
            params[name] = values[name] if each.choices else position
        self._study.add_trial(
            self._optuna.trial.create_trial(
                params=params, distributions=self._distributions, value=value
            )
        )
