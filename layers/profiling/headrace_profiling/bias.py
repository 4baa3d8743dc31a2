"""Bias between a group and the others, before and after training, named as Clarify names it.

Facet d is the group that may be disadvantaged (`facet` true), facet a the others; the positive
label is the favourable one. All measures but the fliptest follow from counts, which merge.
Definitions: "Pre-training Bias Metrics" and "Post-training Data and Model Bias Metrics" in the
SageMaker developer guide; 0 / 0 is 0, a quotient by zero infinite, as in AWS's smclarify.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_profiling.distances import l_infinity, shares

Measures = dict[str, float | None]
_FIELDS = ("d", "label", "actual", "predicted", "stratum")
_NEIGHBOURS = 5
_FEW = 10  # with so few others the nearest one alone is asked


@dataclass(frozen=True)
class Facet:
    """Counts of rows by (facet d?, outcome, positive outcome?, positive prediction?, stratum).

    `outcome` is the label as text; predictions may be unknown (None), as before training.
    """

    counts: Mapping[tuple[bool, str, bool, bool | None, str], int]

    @classmethod
    def of(
        cls,
        facet: npt.ArrayLike,
        outcomes: npt.ArrayLike,
        positive: object,
        predictions: npt.ArrayLike | None = None,
        strata: npt.ArrayLike | None = None,
    ) -> "Facet":
        """Count rows. `positive` is the favourable label, of outcomes and of predictions.

        `strata` parts rows into groups within which to compare (CDDL, CDDPL). One dimension each.
        """
        group, actual = np.asarray(facet, bool), np.asarray(outcomes)
        predicted = [None] * len(group) if predictions is None else np.asarray(predictions)
        parted = [""] * len(group) if strata is None else np.asarray(strata)
        counts: Counter[tuple[bool, str, bool, bool | None, str]] = Counter()
        for d, label, answer, stratum in zip(group, actual, predicted, parted, strict=True):
            said = None if answer is None else bool(answer == positive)
            counts[bool(d), str(label), bool(label == positive), said, str(stratum)] += 1
        return cls(dict(counts))

    def merge(self, other: "Facet") -> "Facet":
        """Return both batches together."""
        return Facet(dict(Counter(self.counts) + Counter(other.counts)))

    __add__ = merge

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of facet a and of facet d."""
        return self._count(d=False), self._count(d=True)

    def pre_training(self) -> Measures:
        """Return the measures of the labels; all None while a facet has no rows."""
        names = ["CI", "DPL", "KL", "JS", "LP", "TVD", "KS", "CDDL"]
        a, d = self.rows
        if not a or not d:
            return dict.fromkeys(names)
        labels = sorted({key[1] for key in self.counts})
        counts = [[self._count(d=side, label=x) for x in labels] for side in (False, True)]
        p, q = (shares(side) for side in counts)
        apart = np.abs(p - q)
        values = (
            (a - d) / (a + d),
            self._count(d=False, actual=True) / a - self._count(d=True, actual=True) / d,
            _kullback_leibler(p, q),
            (_kullback_leibler(p, (p + q) / 2) + _kullback_leibler(q, (p + q) / 2)) / 2,
            float(np.sqrt((apart**2).sum())),
            float(apart.sum() / 2),
            l_infinity(counts[0], counts[1]),
            self._conditional_disparity("actual"),
        )
        return dict(zip(names, values, strict=True))

    def post_training(self) -> Measures:
        """Return the measures of predictions; all None without any, or without rows of a facet."""
        names = ["DPPL", "DI", "DCA", "DCR", "SD", "RD", "DAR", "DRR", "AD", "TE", "CDDPL", "GE"]
        known = all(key[3] is not None for key in self.counts)
        if not all(self.rows) or not known:
            return dict.fromkeys(names)
        a, d = self._rates(d=False), self._rates(d=True)
        values = (
            a["predicted"] - d["predicted"],
            _divide(d["predicted"], a["predicted"]),
            _minus(a["acceptance"], d["acceptance"]),
            _minus(d["rejection"], a["rejection"]),
            d["specificity"] - a["specificity"],
            a["recall"] - d["recall"],
            a["precision"] - d["precision"],
            d["negative_precision"] - a["negative_precision"],
            a["accuracy"] - d["accuracy"],
            _minus(d["treatment"], a["treatment"]),
            self._conditional_disparity("predicted"),
            self._generalized_entropy(),
        )
        return dict(zip(names, values, strict=True))

    def _count(self, **wanted: object) -> int:
        """Count rows by d, label, actual, predicted and stratum: those that are wanted."""
        where = [(_FIELDS.index(name), value) for name, value in wanted.items()]
        return sum(n for key, n in self.counts.items() if all(key[i] == v for i, v in where))

    def _rates(self, d: bool) -> dict[str, float]:
        tp, fp = (self._count(d=d, actual=x, predicted=True) for x in (True, False))
        fn, tn = (self._count(d=d, actual=x, predicted=False) for x in (True, False))
        return {
            "predicted": (tp + fp) / (tp + fp + fn + tn),
            "acceptance": _divide(tp + fn, tp + fp),
            "rejection": _divide(tn + fp, tn + fn),
            "specificity": _divide(tn, tn + fp),
            "recall": _divide(tp, tp + fn),
            "precision": _divide(tp, tp + fp),
            "negative_precision": _divide(tn, tn + fn),
            "accuracy": (tp + tn) / (tp + fp + fn + tn),
            "treatment": _divide(fn, fp),
        }

    def _conditional_disparity(self, kind: str) -> float | None:
        """Return the disparity of each stratum, weighted by its rows."""
        if not self._count(**{kind: True}) or not self._count(**{kind: False}):
            return None
        total = 0.0
        for stratum in {key[4] for key in self.counts}:
            rejected, accepted = (
                _divide(
                    self._count(d=True, stratum=stratum, **{kind: side}),
                    self._count(stratum=stratum, **{kind: side}),
                )
                for side in (False, True)
            )
            total += (rejected - accepted) * self._count(stratum=stratum)
        return total / self._count()

    def _generalized_entropy(self) -> float | None:
        """Return half the squared variation of benefits (prediction - outcome + 1)."""
        benefits = {
            0: self._count(actual=True, predicted=False),
            1: self._count(actual=True, predicted=True)
            + self._count(actual=False, predicted=False),
            2: self._count(actual=False, predicted=True),
        }
        rows = sum(benefits.values())
        mean = sum(b * n for b, n in benefits.items()) / rows
        if not mean:
            return None
        return sum(n * ((b / mean) ** 2 - 1) for b, n in benefits.items()) / (2 * rows)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"counts": [[*key, n] for key, n in sorted(self.counts.items(), key=repr)]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Facet":
        """Read what `as_dict` wrote."""
        return cls({(d, x, y, z, s): n for d, x, y, z, s, n in values["counts"]})


def fliptest(
    features: npt.ArrayLike, facet: npt.ArrayLike, predictions: npt.ArrayLike
) -> float | None:
    """Return FT: how many of facet d would rather get the positive prediction among facet a.

    `features` are numbers, rows by columns; `predictions` true where positive. Of each row of d the
    5 nearest of a vote (1 where a has 10 rows or fewer). FT = (F+ - F-) / rows of d, as the
    developer guide defines it: F+ are refused though their neighbours are not, F- the opposite.
    None while a facet has no rows. Takes rows of a times rows of d steps: sample before.
    """
    x, group = np.asarray(features, float), np.asarray(facet, bool)
    said = np.asarray(predictions, bool)
    others, labels = x[~group], said[~group]
    if not group.any() or group.all():
        return None
    k = _NEIGHBOURS if len(others) > _FEW else 1
    flips = 0
    for row, own in zip(x[group], said[group], strict=True):
        nearest = np.argsort(((others - row) ** 2).sum(axis=1), kind="stable")[:k]
        flips += int(labels[nearest].sum() * 2 > k) - int(own)
    return flips / int(group.sum())


def _divide(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return math.inf if part else 0.0


def _minus(one: float, other: float) -> float:
    return 0.0 if one == other else one - other


def _kullback_leibler(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """Return the divergence in nats over the labels that both have."""
    both = (p > 0) & (q > 0)
    return float((p[both] * np.log(p[both] / q[both])).sum())
