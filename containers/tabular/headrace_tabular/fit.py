"""Training: XGBoost with early stopping, or the user's own `train` function."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular.columns import Floats
from headrace_tabular.errors import ProjectError
from headrace_tabular.run import Cost, Problem

logger = logging.getLogger(__name__)

OBJECTIVES: dict[Problem, dict[str, Any]] = {
    "binary": {"objective": "binary:logistic", "eval_metric": "logloss"},
    "multiclass": {"objective": "multi:softprob", "eval_metric": "mlogloss"},
    "regression": {"objective": "reg:squarederror", "eval_metric": "rmse"},
}
DEFAULTS = {"eta": 0.1, "max_depth": 6, "tree_method": "hist", "max_bin": 256}
ROUNDS = 500
PATIENCE = 20
CELLS_PER_THREAD = 250_000


@dataclass(frozen=True)
class Part:
    """Encoded rows with their outcomes: 0/1, class positions or values."""

    x: NDArray[np.float32]
    y: Floats


def fit(
    problem: Problem,
    train: Part,
    validation: Part,
    hyperparameters: Mapping[str, Any],
    feature_names: Sequence[str],
    classes: int,
    own: Callable[..., Any] | None = None,
) -> Any:
    """Return a booster, or the onnx.ModelProto that the user's function may also return.

    The booster has only the trees up to its best round. The same rows and settings give the same
    booster: seeded, and with a bounded number of threads.
    """
    if own is not None:
        return own(
            train.x, train.y, validation.x, validation.y, dict(hyperparameters), [*feature_names]
        )
    import xgboost  # slow: imported when something is trained

    settings = {**DEFAULTS, **OBJECTIVES[problem], "seed": 0, "nthread": threads(train.x.size)}
    if problem == "multiclass":
        settings["num_class"] = classes
    given = dict(hyperparameters)
    rounds = integer(given, ("num_boost_round", "num_round", "n_estimators"), ROUNDS)
    patience = integer(given, ("early_stopping_rounds",), PATIENCE)
    settings |= given
    try:
        learned = xgboost.QuantileDMatrix(train.x, train.y, max_bin=settings["max_bin"])
        watched = xgboost.QuantileDMatrix(validation.x, validation.y, ref=learned)
        booster = xgboost.train(
            settings,
            learned,
            num_boost_round=rounds,
            evals=[(watched, "validation")],
            early_stopping_rounds=patience,
            verbose_eval=False,
        )
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        message = str(error).strip().splitlines()[0]
        raise ProjectError(f"XGBoost refused the hyperparameters {given}: {message}") from error
    kept = booster.best_iteration + 1
    logger.info("trained %d rounds, kept %d", booster.num_boosted_rounds(), kept)
    return booster[:kept]


def threads(cells: int) -> int:
    """Return how many threads are worth their waiting for each other, on this much data."""
    return min(os.cpu_count() or 1, max(1, cells // CELLS_PER_THREAD))


def integer(given: dict[str, Any], names: Sequence[str], default: int) -> int:
    """Take the first of these hyperparameters out of `given`, as a positive integer."""
    values = [given.pop(name) for name in names if name in given]
    try:
        value = int(values[0]) if values else default
    except (TypeError, ValueError) as error:
        raise ProjectError(f"hyperparameter {names[0]} is {values[0]!r}, not a number") from error
    if value < 1:
        raise ProjectError(f"hyperparameter {names[0]} is {value}: it is at least 1")
    return value


def check_model(made: Any) -> str:
    """Return the engine (`xgboost` or `onnx`) of what a user's `train` returned."""
    name = f"{type(made).__module__.partition('.')[0]}.{type(made).__name__}"
    engines = {"xgboost.Booster": "xgboost", "onnx.ModelProto": "onnx"}
    if name not in engines:
        raise ProjectError(f"train() returned a {name}: return an xgboost.Booster or onnx model")
    return engines[name]


def save_native(booster: Any, folder: Path, feature_names: Sequence[str]) -> None:
    """Save a booster in XGBoost's own binary JSON, which runs no code when it is read."""
    booster.feature_names = None  # names like `a[b]` are refused by XGBoost; model.json has them
    booster.feature_types = None
    if booster.num_features() != len(feature_names):
        raise ProjectError(
            f"train() returned a booster of {booster.num_features()} features for the"
            f" {len(feature_names)} it was given"
        )
    booster.save_model(folder / "model.ubj")


def importances(booster: Any, feature_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return every feature with its share of the total gain, the largest first."""
    gains = booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    shares = [
        {"name": name, "importance": float(gains.get(f"f{position}", 0.0) / total)}
        for position, name in enumerate(feature_names)
    ]
    return sorted(shares, key=lambda item: (-item["importance"], item["name"]))


def best_threshold(y: Floats, scores: Floats, cost: Cost | None) -> float:
    """Return the threshold on the scores that costs least; 0.5 without costs or without rows.

    A row is called positive when its score is at or above the threshold.
    """
    if cost is None or len(y) == 0:
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order].astype(np.float64), y[order] == 1
    missed = positive.sum() - np.concatenate([[0], np.cumsum(positive)])
    alarmed = np.concatenate([[0], np.cumsum(~positive)])
    costs = missed * cost.false_negative + alarmed * cost.false_positive
    # The first k rows are called positive; a cut between equal scores is not possible.
    possible = np.concatenate([[True], ranked[1:] < ranked[:-1], [True]])
    k = int(np.argmin(np.where(possible, costs, np.inf)))
    if k == 0:
        return float(np.nextafter(ranked[0], np.inf))
    return 0.0 if k == len(ranked) else float((ranked[k - 1] + ranked[k]) / 2)
