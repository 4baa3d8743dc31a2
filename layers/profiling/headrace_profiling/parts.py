"""The two parts of a column: its values that are numbers (times among them), and its texts.

Both merge: counts, bins and sketches exactly; moments within rounding, as sums are kept to twice
the precision of a float64 (Knuth's two-sum) and squares about the mean (Chan, Golub and LeVeque
1983).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_profiling.histogram import (
    TABLE,
    Histogram,
    mix,
    ordered_bits,
    pack,
    slices,
    slots_of,
    tally,
    unpack,
)
from headrace_profiling.sketches import MOST_CATEGORIES, Distinct, Frequent

TextsAt = Callable[[npt.NDArray[np.intp]], list[str]]
UNKNOWN = ""
BUCKETS = 256  # by hash, to compare texts of which too many are different to list them


@dataclass(frozen=True)
class Numbers:
    """Values that are numbers. All but the first two fields leave NaN and infinities out."""

    nans: int
    infinities: int
    whole: int  # values without a fraction
    minimum: float | None
    maximum: float | None
    total: tuple[float, float]  # the sum as a rounded value and what rounding took
    squares: float  # sum of squared deviations from the mean
    bins: Histogram
    distinct: Distinct

    @classmethod
    def of(cls, values: npt.NDArray[np.float64], at_least: int = 0) -> "Numbers":
        """Look at a batch; `at_least` is the shift of the bins it will be merged with."""
        nans = infinities = 0
        finite = np.isfinite(values)
        if not finite.all():
            nans = int(np.isnan(values).sum())
            infinities = len(values) - nans - int(finite.sum())
            values = values[finite]
        bits = ordered_bits(values)
        bins = Histogram.of(bits, at_least)
        distinct = Distinct.of(bins.keys if bins.exact else bits, mix)
        if not len(values):
            return cls(nans, infinities, 0, None, None, (0.0, 0.0), 0.0, bins, distinct)
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(values.sum())
            left = squares = 0.0
            whole = 0
            for part in slices(len(values)):
                rest = values[part] - total / len(values)
                left += float(rest.sum())
                rest *= rest
                squares += float(rest.sum())
                whole += int(np.count_nonzero(np.rint(values[part]) == values[part]))
        return cls(
            nans,
            infinities,
            whole,
            float(values.min()),
            float(values.max()),
            (total, left if math.isfinite(total) else 0.0),
            squares - left * left / len(values) if math.isfinite(squares) else math.inf,
            bins,
            distinct,
        )

    @property
    def count(self) -> int:
        """How many finite values there are."""
        return self.bins.total

    @property
    def values(self) -> int:
        """How many there are, NaN and infinities included."""
        return self.count + self.nans + self.infinities

    @property
    def mean(self) -> float | None:
        """Mean of the finite values; None without any, or when their sum has no float64."""
        mean = sum(self.total) / self.count if self.count else math.nan
        return mean if math.isfinite(mean) else None

    @property
    def std(self) -> float | None:
        """Population standard deviation; None as for the mean."""
        if self.mean is None or not math.isfinite(self.squares):
            return None
        return math.sqrt(self.squares / self.count)

    def merge(self, other: "Numbers") -> "Numbers":
        """Return the part of both's values together."""
        bounds = [p for p in (self, other) if p.minimum is not None]
        total = self.total[0] + other.total[0]
        gone = total - self.total[0]
        rounding = (self.total[0] - (total - gone)) + (other.total[0] - gone)
        return Numbers(
            self.nans + other.nans,
            self.infinities + other.infinities,
            self.whole + other.whole,
            min((p.minimum for p in bounds if p.minimum is not None), default=None),
            max((p.maximum for p in bounds if p.maximum is not None), default=None),
            (total, self.total[1] + other.total[1] + (rounding if math.isfinite(total) else 0.0)),
            self._merged_squares(other),
            self.bins.merge(other.bins),
            self.distinct.merge(other.distinct),
        )

    def _merged_squares(self, other: "Numbers") -> float:
        if not self.count or not other.count:
            return self.squares + other.squares
        if self.mean is None or other.mean is None:
            return math.inf
        apart = self.mean - other.mean
        share = self.count / (self.count + other.count) * other.count
        return self.squares + other.squares + apart * apart * share

    def quantile(self, share: float) -> float | None:
        """Return the value below which `share` of the values lie, within the bins' error."""
        value = self.bins.quantile(share)
        if value is None or self.minimum is None or self.maximum is None:
            return None
        return min(max(value, self.minimum), self.maximum)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; a moment that overflowed is null."""
        return {
            "nans": self.nans,
            "infinities": self.infinities,
            "whole": self.whole,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "total": [t if math.isfinite(t) else None for t in self.total],
            "squares": self.squares if math.isfinite(self.squares) else None,
            "distinct": self.distinct.as_text(),
            **self.bins.as_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Numbers":
        """Read what `as_dict` wrote."""
        total, rounding = (math.inf if t is None else t for t in values["total"])
        return cls(
            values["nans"],
            values["infinities"],
            values["whole"],
            values["minimum"],
            values["maximum"],
            (total, rounding),
            math.inf if values["squares"] is None else values["squares"],
            Histogram.from_dict(values),
            Distinct.from_text(values["distinct"]),
        )


@dataclass(frozen=True, eq=False)
class Texts:
    """Values that are texts, lengths in characters.

    `hasher` tells which hash `buckets` and `distinct` are of, as DuckDB's may change with its
    version; it is `UNKNOWN`, and they are empty, after a merge of two that differ.
    """

    count: int
    shortest: int | None
    longest: int | None
    characters: int
    frequent: Frequent
    buckets: npt.NDArray[np.int64]
    distinct: Distinct
    hasher: str

    @classmethod
    def of(
        cls,
        hashes: npt.NDArray[np.uint64],
        lengths: npt.NDArray[np.int64],
        texts: TextsAt,
        hasher: str,
    ) -> "Texts":
        """Look at a batch; `texts` gives the texts of some of its rows."""
        rows, counts, missed = _most_frequent(hashes)
        listed = zip(texts(rows), counts.tolist(), strict=True)
        return cls(
            count=len(hashes),
            shortest=int(lengths.min()) if len(lengths) else None,
            longest=int(lengths.max()) if len(lengths) else None,
            characters=int(lengths.sum()),
            frequent=Frequent.of(dict(listed), missed),
            buckets=np.bincount((hashes >> np.uint64(40)) & np.uint64(255), minlength=BUCKETS),
            distinct=Distinct.of(hashes),
            hasher=hasher,
        )

    def merge(self, other: "Texts") -> "Texts":
        """Return the part of both's values together."""
        if self.hasher != other.hasher:
            return self._without_hashes().merge(other._without_hashes())
        filled = [p for p in (self, other) if p.count]
        return Texts(
            count=self.count + other.count,
            shortest=min((p.shortest for p in filled if p.shortest is not None), default=None),
            longest=max((p.longest for p in filled if p.longest is not None), default=None),
            characters=self.characters + other.characters,
            frequent=self.frequent.merge(other.frequent),
            buckets=self.buckets + other.buckets,
            distinct=self.distinct.merge(other.distinct),
            hasher=self.hasher,
        )

    def _without_hashes(self) -> "Texts":
        nothing = np.zeros(BUCKETS, np.int64)
        unseen = Distinct.of(np.empty(0, np.uint64))
        return replace(self, buckets=nothing, distinct=unseen, hasher=UNKNOWN)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Texts) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "count": self.count,
            "shortest": self.shortest,
            "longest": self.longest,
            "characters": self.characters,
            "categories": dict(self.frequent.counts),
            "missed": self.frequent.missed,
            "buckets": pack(self.buckets),
            "distinct": self.distinct.as_text(),
            "hasher": self.hasher,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Texts":
        """Read what `as_dict` wrote."""
        return cls(
            values["count"],
            values["shortest"],
            values["longest"],
            values["characters"],
            Frequent(values["categories"], values["missed"]),
            unpack(values["buckets"]),
            Distinct.from_text(values["distinct"]),
            values["hasher"],
        )


def _most_frequent(
    hashes: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], int]:
    """Return rows of the most frequent values, their counts less `missed`, and `missed`.

    Only what falls into one of the fullest slots of a table can be frequent: the rest, if there
    are many values, is left out before anything is sorted. No value left out is more frequent than
    the fullest slot left out, and 257 slots at least are as full as that: less than rows / 256.
    """
    slots = slots_of(hashes)
    filled = np.bincount(slots, minlength=TABLE)
    missed = int(np.partition(filled, -MOST_CATEGORIES - 1)[-MOST_CATEGORIES - 1])
    if not missed:
        rows, counts = tally(hashes, hashes)
        return rows, counts, 0
    chosen = np.flatnonzero((filled > missed)[slots])
    rows, counts = tally(hashes[chosen], hashes[chosen])
    top = counts > missed
    return chosen[rows[top]], counts[top] - missed, missed
