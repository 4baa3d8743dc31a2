"""Training of the built-in XGBoost, on one host or several."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from xgboost import collective
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker

from headrace_images import contract
from headrace_images.contract import UserError
from headrace_images.xgboost.data import Rows, read_folder

MODEL = "xgboost-model"
_TRACKER_PORT = 9099
_CONNECT_SECONDS = 60
_CHECKPOINTS_KEPT = 5
_CHECKPOINT = re.compile(r"xgboost-checkpoint\.(\d+)")
# What is not a parameter of the booster itself.
_OWN = {
    "num_round",
    "early_stopping_rounds",
    "csv_weights",
    "eval_metric",
    "save_model_on_termination",
}
_PARAMETERS = _OWN | {
    *("alpha", "base_score", "booster", "colsample_bylevel", "colsample_bynode"),
    *("colsample_bytree", "deterministic_histogram", "eta", "gamma", "grow_policy", "huber_slope"),
    *("interaction_constraints", "lambda", "lambda_bias", "max_bin", "max_delta_step", "max_depth"),
    *("max_leaves", "min_child_weight", "monotone_constraints", "normalize_type", "nthread"),
    *("num_class", "num_parallel_tree", "objective", "one_drop", "process_type", "rate_drop"),
    *("refresh_leaf", "sample_type", "sampling_method", "scale_pos_weight", "seed", "sketch_eps"),
    *("single_precision_histogram", "skip_drop", "subsample", "tree_method", "updater"),
    *("tweedie_variance_power", "verbosity", "aft_loss_distribution"),
    "aft_loss_distribution_scale",
}
# Parameters that AWS's image knows and this release of XGBoost does not.
_GONE = {"deterministic_histogram", "sketch_eps", "single_precision_histogram"}

_WHOLE = {"num_round", "early_stopping_rounds"}  # whole numbers that are read here


def main(hyperparameters: dict[str, Any]) -> None:
    """Train and leave the model. Raises UserError."""
    given = {k: v for k, v in hyperparameters.items() if not k.startswith(("sagemaker_", "_"))}
    for name in given:
        if name not in _PARAMETERS:
            raise UserError(f"Extraneous hyperparameter found: {name}")
    if "num_round" not in given:
        raise UserError("Missing required hyperparameter: num_round")
    for name in _WHOLE & given.keys():
        if not str(given[name]).strip().isdecimal():
            raise UserError(f"Hyperparameter {name}: could not parse value {given[name]!r}")
    given["eval_metric"] = _metrics(hyperparameters)
    resources = contract.read_config("resourceconfig.json")
    with _cluster(resources["hosts"], resources["current_host"]) as is_first:
        train, validation = _load(str(given.get("csv_weights", 0)) == "1")
        booster = _train(given, train, validation)
        if is_first:
            booster.save_model(contract.base() / "model" / f"{MODEL}.ubj")
    if is_first:  # AWS's file has no extension; the library warns about that
        (contract.base() / "model" / f"{MODEL}.ubj").rename(contract.base() / "model" / MODEL)


@contextlib.contextmanager
def _cluster(hosts: list[str], current: str) -> Iterator[bool]:
    """Join the hosts' collective; whether this is the host that leaves the model."""
    is_first = current == min(hosts)
    if len(hosts) == 1:
        yield True
        return
    tracker = None
    address = socket.gethostbyname(min(hosts))
    if is_first:
        tracker = RabitTracker(
            n_workers=len(hosts), host_ip=address, port=_TRACKER_PORT, sortby="task"
        )
        tracker.start()
    _connect(address, sorted(hosts).index(current))
    contract.log(f"{current} has joined {collective.get_world_size()} hosts by {address}")
    try:
        yield is_first
    finally:
        collective.finalize()
    if tracker:
        tracker.wait_for()


def _connect(address: str, rank: int) -> None:
    """Meet the tracker, which may not listen yet."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            collective.init(
                dmlc_tracker_uri=address,
                dmlc_tracker_port=_TRACKER_PORT,
                dmlc_task_id=str(rank),
                dmlc_timeout=_CONNECT_SECONDS,
            )
        except XGBoostError as error:
            if time.monotonic() > deadline:
                raise UserError(f"The tracker {address} does not answer: {error}") from error
            time.sleep(0.2)
        else:
            return


def _load(weighted: bool) -> tuple[Any, Any]:
    """Return the matrices of the channels train and validation, the latter None if not given."""
    channels = contract.read_config("inputdataconfig.json")
    if "train" not in channels:
        raise UserError("Missing required data channel: train")
    loaded: dict[str, Rows | None] = {}
    for name in ("train", "validation"):
        if name not in channels:
            continue
        if channels[name]["TrainingInputMode"] == "Pipe":
            raise UserError(f"The {name} channel: Pipe mode is not read by the local XGBoost")
        kind = channels[name].get("ContentType", "text/libsvm")
        loaded[name] = read_folder(contract.base() / "input" / "data" / name, kind, weighted)
    if loaded["train"] is None:
        raise UserError("The train channel has no data on this host")
    columns = max(rows.columns for rows in loaded.values() if rows)
    if collective.is_distributed():
        columns = int(collective.allreduce(np.array([columns]), collective.Op.MAX)[0])
    validation = loaded.get("validation")
    return loaded["train"].matrix(columns), validation.matrix(columns) if validation else None


def _metrics(hyperparameters: dict[str, Any]) -> list[str]:
    """Return what to evaluate: what is asked for, then what a tuning job optimises for."""
    asked = hyperparameters.get("eval_metric", [])
    metrics = asked if isinstance(asked, list) else str(asked).split(",")
    metrics = [metric.strip() for metric in metrics]
    objective = str(hyperparameters.get("_tuning_objective_metric", "")).partition(":")[2]
    return [*metrics, *([objective] if objective and objective not in metrics else [])]


def _train(given: dict[str, Any], train: Any, validation: Any) -> Any:
    parameters = {k: v for k, v in given.items() if k not in _OWN | _GONE}
    if given["eval_metric"]:
        parameters["eval_metric"] = given["eval_metric"]
    watched = [(train, "train"), *([(validation, "validation")] if validation else [])]
    rounds = int(given["num_round"])
    checkpoints = Checkpoints.of_job()
    previous, done = checkpoints.latest() if checkpoints else (None, 0)
    callbacks: list[Any] = [Log(done)]
    if str(given.get("save_model_on_termination", "")).lower() == "true":
        callbacks.append(StopOnTermination())
    if checkpoints:
        callbacks.append(checkpoints)
    if patience := int(given.get("early_stopping_rounds", 0)):
        name = "validation" if validation else "train"
        callbacks.append(
            xgboost.callback.EarlyStopping(rounds=patience, data_name=name, save_best=True)
        )
    try:
        return xgboost.train(
            parameters,
            train,
            num_boost_round=max(0, rounds - done),
            evals=watched,
            verbose_eval=False,
            callbacks=callbacks,
            xgb_model=previous,
        )
    except (XGBoostError, ValueError) as error:
        told = str(error).partition("\nStack trace")[0]
        raise UserError(f"XGB train call failed with exception:\n{told}") from error


class Log(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # XGBoost is untyped here
    """Writes each round's evaluation as AWS's container does, tabs spelled `#011`."""

    def __init__(self, done: int) -> None:
        self._done = done

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Write a round's line; only one of several hosts does."""
        del model
        parts = [
            f"#011{data}-{metric}:{history[-1]:.5f}"
            for data, metrics in evals_log.items()
            for metric, history in metrics.items()
        ]
        if collective.get_rank() == 0:
            contract.log(f"[{epoch + self._done}]{''.join(parts)}")
        return False


class StopOnTermination(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # XGBoost is untyped here
    """Ends the training after the round in which SIGTERM came, so that its model is kept."""

    def __init__(self) -> None:
        self._stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: Any) -> None:
        self._stopped = True

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Return whether to end."""
        del model, epoch, evals_log
        return self._stopped


class Checkpoints(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # XGBoost is untyped here
    """Keeps the last rounds' models in the job's checkpoint folder, for a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_job(cls) -> Checkpoints | None:
        """Return the job's checkpoints, None if it has no CheckpointConfig."""
        config = contract.read_config("checkpointconfig.json")
        return cls(contract.local(config["LocalPath"])) if config else None

    def latest(self) -> tuple[Any, int]:
        """Return the newest model and how many rounds it had, (None, 0) if there is none."""
        found = self._found()
        if not found:
            return None, 0
        newest = max(found)
        contract.log(f"Checkpoint loaded from {found[newest]}")
        booster = xgboost.Booster()
        booster.load_model(bytearray(found[newest].read_bytes()))
        return booster, newest + 1

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Save a round; a file appears whole or not at all."""
        del evals_log, epoch
        if collective.get_rank() != 0:
            return False
        number = model.num_boosted_rounds() - 1
        temporary = contract.base() / "tmp" / f"checkpoint-{os.getpid()}"
        temporary.write_bytes(model.save_raw("ubj"))
        temporary.rename(self._folder / f"xgboost-checkpoint.{number}")
        for old, file in self._found().items():
            if old <= number - _CHECKPOINTS_KEPT:
                file.unlink()
        return False

    def _found(self) -> dict[int, Path]:
        files = ((file, _CHECKPOINT.fullmatch(file.name)) for file in self._folder.iterdir())
        return {int(match[1]): file for file, match in files if match}
