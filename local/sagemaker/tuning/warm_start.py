"""Warm start: what earlier tuning jobs found out.

See "Run a Warm Start Hyperparameter Tuning Job" of the developer guide. It is not recursive.
"""

from __future__ import annotations

from local.sagemaker.errors import invalid
from local.sagemaker.families.jobs import TERMINAL
from local.sagemaker.store import Record, Store
from local.sagemaker.tuning import children, definitions
from local.sagemaker.tuning.definitions import Definition
from local.sagemaker.tuning.search import Values
from local.sagemaker.tuning.stopping import is_better


def check(config: Record, found: list[Definition], parents: list[Record]) -> None:
    """Refuse parents that a tuning job cannot start from."""
    if parents and (len(found) > 1 or config["Strategy"] not in ("Bayesian", "Random")):
        raise invalid(
            "WarmStartConfig needs a single TrainingJobDefinition and the strategy Bayesian or "
            "Random."
        )
    for parent in parents:
        name = parent["HyperParameterTuningJobName"]
        if parent["HyperParameterTuningJobStatus"] not in TERMINAL:
            raise invalid(f"The parent tuning job {name} must have ended.")
        (new,), (old, *_) = found, definitions.parse(parent)
        if (new.metric, new.maximize) != (old.metric, old.maximize):
            raise invalid(f"The objective must be that of the parent tuning job {name}.")
        if len(new.static) + len(new.ranges) != len(old.static) + len(old.ranges):
            raise invalid(
                "The number of static plus tunable hyperparameters must be that of the parent "
                f"tuning job {name}."
            )
        kinds = {each.name: each.kind for each in old.ranges}
        if any(kinds.get(each.name, each.kind) != each.kind for each in new.ranges):
            raise invalid(f"Hyperparameters must be of the kinds of the parent tuning job {name}.")


def lessons(store: Store, parents: list[Record]) -> list[tuple[Values, float]]:
    """Return the values and objectives of the parents' training jobs, static values included."""
    found = []
    for parent in parents:
        static = definitions.parse(parent)[0].static
        for shown in children.summaries(store, parent):
            value = children.value_of(shown)
            if value is not None:
                found.append(({**static, **shown["TunedHyperParameters"]}, value))
    return found


def overall_best(
    parents: list[Record], record: Record, winner: Record | None, maximize: bool
) -> Record | None:
    """Return the best training job of a tuning job and its parents, with whose it is."""
    leading = None
    candidates = [(record, winner), *((each, each.get("BestTrainingJob")) for each in parents)]
    for owner, shown in candidates:
        if shown is None:
            continue
        value = children.value_of(shown)
        best = children.value_of(leading) if leading else None
        if value is not None and (best is None or is_better(value, best, maximize)):
            leading = {**shown, "TuningJobName": owner["HyperParameterTuningJobName"]}
    return leading
