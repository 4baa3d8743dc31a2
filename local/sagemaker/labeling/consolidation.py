"""Several people's answers made one label, as AWS's built-in classification functions do.

"Consolidate Annotations": classification uses a variant of expectation maximization that estimates
how accurate each worker is. AWS does not publish its variant; this one gives every worker one
accuracy, the same for all classes (Dawid and Skene, 1979, with one parameter), starts it at 0.8 and
holds it there with the weight of five answers.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import invalid

_ROUNDS = 50
_ACCURACY, _WEIGHT = 0.8, 5.0
TYPES = {
    "TextMultiClass": "groundtruth/text-classification",
    "ImageMultiClass": "groundtruth/image-classification",
    "TextMultiClassMultiLabel": "groundtruth/text-classification-multilabel",
    "ImageMultiClassMultiLabel": "groundtruth/image-classification-multilabel",
}
"""The task types whose functions (PRE-..., ACS-...) run here: the `type` of their labels."""


@dataclass(frozen=True)
class Task:
    """A built-in classification: its type's name, and the classes in the order of their index."""

    name: str
    labels: Sequence[str]

    @property
    def is_multi(self) -> bool:
        """Whether an object may have several classes."""
        return self.name.endswith("MultiLabel")

    def chosen(self, content: Any) -> list[str]:
        """Return the classes an answer chooses. Raises ValidationException for a malformed one."""
        forms = content.values() if isinstance(content, dict) else []
        member = "labels" if self.is_multi else "label"
        values = [form[member] for form in forms if isinstance(form, dict) and member in form]
        found = values[0] if values and self.is_multi else values[:1]
        if not values or not isinstance(found, list) or not set(found) <= set(self.labels):
            raise invalid(
                f'The answer must be {{"crowd-classifier": {{"{member}": ...}}}} with one of the '
                f"labels {', '.join(self.labels)}."
            )
        return found


def classify(
    task: Task, job: str, attribute: str, votes: Mapping[str, Mapping[str, Any]], workers: int
) -> dict[str, dict[str, Any]]:
    """Return what each object's line gains: the label and its metadata.

    `votes` are answers by object and worker. With one worker per object confidence is 0
    ("Confidence Score").
    """
    chosen = {
        name: {worker: task.chosen(content) for worker, content in answers.items()}
        for name, answers in votes.items()
    }
    common = {
        "type": TYPES[task.name],
        "job-name": f"labeling-job/{job}",
        "human-annotated": "yes",
        "creation-date": dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(),
    }
    make = _several if task.is_multi else _single
    return {
        name: {attribute: label, f"{attribute}-metadata": {**metadata, **common}}
        for name, (label, metadata) in make(task, chosen, workers).items()
    }


def _single(
    task: Task, chosen: Mapping[str, Mapping[str, list[str]]], workers: int
) -> dict[str, tuple[int, dict[str, Any]]]:
    names = list(chosen)
    votes = [{worker: labels[0] for worker, labels in chosen[name].items()} for name in names]
    result = {}
    for name, chances in zip(names, estimate(votes, task.labels), strict=True):
        best = max(task.labels, key=lambda label: chances[label])
        metadata = {"class-name": best, "confidence": _confidence(chances[best], workers)}
        result[name] = (task.labels.index(best), metadata)
    return result


def _several(
    task: Task, chosen: Mapping[str, Mapping[str, list[str]]], workers: int
) -> dict[str, tuple[list[int], dict[str, Any]]]:
    """Every class that somebody chose is shown, with its confidence."""
    names = list(chosen)
    yes: dict[str, dict[str, float]] = {name: {} for name in names}
    for label in task.labels:
        votes = [
            {worker: str(label in labels) for worker, labels in chosen[name].items()}
            for name in names
        ]
        for name, vote, chances in zip(
            names, votes, estimate(votes, ("True", "False")), strict=True
        ):
            if "True" in vote.values():
                yes[name][str(task.labels.index(label))] = _confidence(chances["True"], workers)
    return {
        name: (
            [int(index) for index in found],
            {
                "class-map": {index: task.labels[int(index)] for index in found},
                "confidence-map": found,
            },
        )
        for name, found in yes.items()
    }


def estimate(votes: Sequence[Mapping[str, str]], classes: Sequence[str]) -> list[dict[str, float]]:
    """Return how likely each class is for each object, given workers' votes (worker -> class)."""
    others = max(1, len(classes) - 1)
    chances = [
        {label: _share(label, list(vote.values()), len(classes)) for label in classes}
        for vote in votes
    ]
    for _ in range(_ROUNDS):
        right: dict[str, float] = {}
        cast: dict[str, int] = {}
        for vote, chance in zip(votes, chances, strict=True):
            for worker, label in vote.items():
                right[worker] = right.get(worker, 0.0) + chance[label]
                cast[worker] = cast.get(worker, 0) + 1
        accuracy = {
            worker: (right[worker] + _ACCURACY * _WEIGHT) / (cast[worker] + _WEIGHT)
            for worker in cast
        }
        prior = {
            label: (sum(chance[label] for chance in chances) + 1) / (len(chances) + len(classes))
            for label in classes
        }
        renewed = [_posterior(vote, prior, accuracy, others) for vote in votes]
        moved = max(
            (
                abs(a[label] - b[label])
                for a, b in zip(renewed, chances, strict=True)
                for label in a
            ),
            default=0.0,
        )
        chances = renewed
        if moved < 1e-6:
            break
    return chances


def _posterior(
    vote: Mapping[str, str], prior: Mapping[str, float], accuracy: Mapping[str, float], others: int
) -> dict[str, float]:
    logs = {
        label: math.log(share)
        + sum(
            math.log(accuracy[worker] if label == given else (1 - accuracy[worker]) / others)
            for worker, given in vote.items()
        )
        for label, share in prior.items()
    }
    highest = max(logs.values())
    weights = {label: math.exp(value - highest) for label, value in logs.items()}
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def _share(label: str, votes: list[str], classes: int) -> float:
    return (votes.count(label) + 1 / classes) / (len(votes) + 1)


def _confidence(chance: float, workers: int) -> float:
    return 0.0 if workers == 1 else round(chance, 2)
