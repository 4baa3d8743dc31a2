"""How good predictions were, once the outcomes are known: counts and histograms that merge.

Each kind of problem has a class: `of` takes arrays of one batch of joined rows, `merge` (or +) adds
two batches, `metrics` gives the numbers under the names of Model Monitor ("Model Quality Metrics")
and None where a number is not defined, as recall without any positive.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_profiling.histogram import Histogram, ordered_bits, pack, slices, together, unpack

Metrics = dict[str, float | None]
CALIBRATION_BINS = 20
_SURE = float(np.finfo(float).eps)  # no probability is nearer to 0 in the log loss


@dataclass(frozen=True, eq=False)
class Binary:
    """Predictions of a label that is true or false.

    `confusion` is [[true negatives, false positives], [false negatives, true positives]].
    `positives` and `negatives` are the scores of rows by their outcome. `calibration` has, per
    twentieth of the scores from 0 to 1, the rows and the positives; `scores` their sums of scores.
    `losses` are the sums of the squared errors and of the log losses.
    """

    confusion: npt.NDArray[np.int64]
    positives: Histogram
    negatives: Histogram
    calibration: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    losses: tuple[float, float]

    @classmethod
    def of(
        cls,
        outcomes: npt.ArrayLike,
        scores: npt.ArrayLike,
        threshold: float = 0.5,
        predictions: npt.ArrayLike | None = None,
    ) -> "Binary":
        """Take outcomes (true or false) with scores of 0 to 1, one dimension each.

        `predictions` are the model's labels; without them a score of `threshold` or more is true.
        Raises ValueError for arrays of different lengths and for scores that are not in 0 to 1.
        """
        actual, score = np.asarray(outcomes, bool), np.asarray(scores, float)
        predicted = score >= threshold if predictions is None else np.asarray(predictions, bool)
        if not actual.shape == score.shape == predicted.shape or actual.ndim != 1:
            raise ValueError("Outcomes, scores and predictions must be of the same length.")
        if not ((score >= 0) & (score <= 1)).all():
            raise ValueError("Scores must be probabilities, from 0 to 1.")
        where = np.minimum((score * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
        squared = logged = 0.0
        for part in slices(len(score)):
            squared += float(((score[part] - actual[part]) ** 2).sum())
            right = np.where(actual[part], score[part], 1 - score[part])
            logged -= float(np.log(np.maximum(right, _SURE)).sum())
        return cls(
            confusion=np.bincount(2 * actual + predicted, minlength=4).reshape(2, 2),
            positives=Histogram.of(ordered_bits(score[actual])),
            negatives=Histogram.of(ordered_bits(score[~actual])),
            calibration=np.stack(
                [
                    np.bincount(where, minlength=CALIBRATION_BINS),
                    np.bincount(where[actual], minlength=CALIBRATION_BINS),
                ]
            ),
            scores=np.bincount(where, score, CALIBRATION_BINS).astype(float),
            losses=(squared, logged),
        )

    def merge(self, other: "Binary") -> "Binary":
        """Return both batches together."""
        return Binary(
            self.confusion + other.confusion,
            self.positives.merge(other.positives),
            self.negatives.merge(other.negatives),
            self.calibration + other.calibration,
            self.scores + other.scores,
            (self.losses[0] + other.losses[0], self.losses[1] + other.losses[1]),
        )

    __add__ = merge

    @property
    def rows(self) -> int:
        """How many predictions have their outcome."""
        return int(self.confusion.sum())

    def metrics(self) -> Metrics:
        """Return rates and scores. AUC is exact up to 2,048 scores, else within `auc_error`."""
        (tn, fp), (fn, tp) = self.confusion.tolist()
        auc, error = self._auc()
        return {
            "accuracy": _ratio(tp + tn, self.rows),
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, tp + fn),
            "true_positive_rate": _ratio(tp, tp + fn),
            "true_negative_rate": _ratio(tn, tn + fp),
            "false_positive_rate": _ratio(fp, tn + fp),
            "false_negative_rate": _ratio(fn, tp + fn),
            **{name: _f_score(beta, tp, fp, fn) for name, beta in _F_SCORES.items()},
            "auc": auc,
            "auc_error": error,
            "brier_score": _ratio(self.losses[0], self.rows),
            "log_loss": _ratio(self.losses[1], self.rows),
            "calibration_error": self._calibration_error(),
        }

    def standard_errors(self) -> Metrics:
        """Return how far accuracy, precision, recall and AUC are off by chance (one sigma).

        Binomial; AUC after Hanley and McNeil, Radiology 143 (1982).
        """
        (tn, fp), (fn, tp) = self.confusion.tolist()
        shares = {
            "accuracy": (tp + tn, self.rows),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
        }
        found: Metrics = {name: _binomial_error(*share) for name, share in shares.items()}
        auc, _ = self._auc()
        found["auc"] = None
        if auc is not None:
            q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
            n, m = tp + fn, tn + fp
            variance = auc * (1 - auc) + (n - 1) * (q1 - auc**2) + (m - 1) * (q2 - auc**2)
            found["auc"] = math.sqrt(max(0.0, variance) / (n * m))
        return found

    def cost(self, false_positive: float, false_negative: float) -> float | None:
        """Return what wrong predictions cost per prediction, in the unit of the arguments."""
        (_, fp), (fn, _) = self.confusion.tolist()
        return _ratio(fp * false_positive + fn * false_negative, self.rows)

    def curve(self) -> list[tuple[float, float]]:
        """Return the ROC curve: (false positive rate, true positive rate), both rising."""
        p, n = together(self.positives, self.negatives)
        if not p.total or not n.total:
            return []
        rates = [np.concatenate([[0], np.cumsum(h.counts[::-1])]) / h.total for h in (n, p)]
        return list(zip(rates[0].tolist(), rates[1].tolist(), strict=True))

    def _auc(self) -> tuple[float | None, float | None]:
        """Return the share of pairs in order, ties half, and how far bins may hide the order."""
        p, n = together(self.positives, self.negatives)
        pairs = float(p.total) * float(n.total)
        if not pairs:
            return None, None
        below = np.cumsum(n.counts) - n.counts
        tied = float((p.counts * n.counts.astype(float)).sum())
        auc = (float((p.counts * below.astype(float)).sum()) + tied / 2) / pairs
        return auc, 0.0 if p.exact else tied / 2 / pairs

    def _calibration_error(self) -> float | None:
        """Return the mean distance of scores to the positives' share, over the bins' rows."""
        rows, positives = self.calibration
        if not self.rows:
            return None
        return float(np.abs(self.scores - positives).sum() / rows.sum())

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "confusion": self.confusion.tolist(),
            "positives": self.positives.as_dict(),
            "negatives": self.negatives.as_dict(),
            "calibration": pack(self.calibration),
            "scores": self.scores.tolist(),
            "losses": list(self.losses),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Binary":
        """Read what `as_dict` wrote."""
        squared, logged = values["losses"]
        return cls(
            np.array(values["confusion"], np.int64),
            Histogram.from_dict(values["positives"]),
            Histogram.from_dict(values["negatives"]),
            unpack(values["calibration"]).reshape(2, -1),
            np.array(values["scores"], float),
            (squared, logged),
        )


@dataclass(frozen=True)
class Multiclass:
    """Predictions of one of several labels: rows by (outcome, prediction)."""

    confusion: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, outcomes: Iterable[object], predictions: Iterable[object]) -> "Multiclass":
        """Take outcomes and predictions as labels. Raises ValueError for different lengths."""
        confusion: dict[tuple[str, str], int] = {}
        for pair in zip(map(str, outcomes), map(str, predictions), strict=True):
            confusion[pair] = confusion.get(pair, 0) + 1
        return cls(confusion)

    def merge(self, other: "Multiclass") -> "Multiclass":
        """Return both batches together."""
        pairs = {**self.confusion, **other.confusion}
        return Multiclass(
            {pair: self.confusion.get(pair, 0) + other.confusion.get(pair, 0) for pair in pairs}
        )

    __add__ = merge

    @property
    def rows(self) -> int:
        """How many predictions have their outcome."""
        return sum(self.confusion.values())

    def metrics(self) -> Metrics:
        """Return accuracy, and the others weighted by the outcomes' shares.

        A label that was never predicted, or never the outcome, counts 0, as in scikit-learn.
        """
        right = sum(n for (actual, predicted), n in self.confusion.items() if actual == predicted)
        found: Metrics = {"accuracy": _ratio(right, self.rows)}
        names = ["weighted_precision", "weighted_recall", *(f"weighted_{n}" for n in _F_SCORES)]
        sums = dict.fromkeys(names, 0.0)
        for label in {actual for actual, _ in self.confusion}:
            tp = self.confusion.get((label, label), 0)
            fn = sum(n for (a, p), n in self.confusion.items() if a == label != p)
            fp = sum(n for (a, p), n in self.confusion.items() if a != label == p)
            values = [_ratio(tp, tp + fp), _ratio(tp, tp + fn)]
            values += [_f_score(beta, tp, fp, fn) for beta in _F_SCORES.values()]
            for name, value in zip(names, values, strict=True):
                sums[name] += (value or 0.0) * (tp + fn)
        return found | {name: _ratio(total, self.rows) for name, total in sums.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"confusion": [[a, p, n] for (a, p), n in sorted(self.confusion.items())]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Multiclass":
        """Read what `as_dict` wrote."""
        return cls({(actual, predicted): n for actual, predicted, n in values["confusion"]})


@dataclass(frozen=True)
class Regression:
    """Predictions of a number: sums of errors (prediction - outcome), and the outcomes' spread."""

    rows: int = 0
    error: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0
    mean: float = 0.0  # of the outcomes
    spread: float = 0.0  # sum of squared deviations of the outcomes from their mean

    @classmethod
    def of(cls, outcomes: npt.ArrayLike, predictions: npt.ArrayLike) -> "Regression":
        """Take finite outcomes and predictions. Raises ValueError for others."""
        actual, predicted = np.asarray(outcomes, float), np.asarray(predictions, float)
        if actual.shape != predicted.shape or actual.ndim != 1:
            raise ValueError("Outcomes and predictions must be of the same length.")
        if not (np.isfinite(actual).all() and np.isfinite(predicted).all()):
            raise ValueError("Outcomes and predictions must be finite numbers.")
        if not len(actual):
            return cls()
        error, mean = predicted - actual, float(actual.mean())
        return cls(
            len(actual),
            float(error.sum()),
            float(np.abs(error).sum()),
            float((error**2).sum()),
            mean,
            float(((actual - mean) ** 2).sum()),
        )

    def merge(self, other: "Regression") -> "Regression":
        """Return both batches together."""
        rows = self.rows + other.rows
        if not rows:
            return self
        share = other.rows / rows
        apart = other.mean - self.mean
        return Regression(
            rows,
            self.error + other.error,
            self.absolute + other.absolute,
            self.squared + other.squared,
            self.mean + apart * share,
            self.spread + other.spread + apart * apart * self.rows * share,
        )

    __add__ = merge

    def metrics(self) -> Metrics:
        """Return errors in the outcomes' unit (`mse` in its square) and the explained share r2."""
        mse = _ratio(self.squared, self.rows)
        unexplained = _ratio(self.squared, self.spread)
        return {
            "mae": _ratio(self.absolute, self.rows),
            "mse": mse,
            "rmse": None if mse is None else math.sqrt(mse),
            "r2": None if unexplained is None else 1 - unexplained,
            "bias": _ratio(self.error, self.rows),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Regression":
        """Read what `as_dict` wrote."""
        return cls(**values)


_F_SCORES = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _f_score(beta: float, tp: int, fp: int, fn: int) -> float | None:
    weight = beta * beta
    return _ratio((1 + weight) * tp, (1 + weight) * tp + weight * fn + fp)


def _binomial_error(hits: int, rows: int) -> float | None:
    return math.sqrt(hits / rows * (1 - hits / rows) / rows) if rows else None
