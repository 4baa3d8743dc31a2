"""A column's values that are numbers, times among them.

They merge: counts, bins and sketches exactly; moments within rounding, as sums are kept to twice
the precision of a float64 and squares about the mean (Chan, Golub and LeVeque 1983).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_profiling.histogram import Histogram
from headrace_profiling.running import RunningNumbers, added
from headrace_profiling.sketches import Distinct


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
    def of(cls, values: npt.NDArray[np.float64]) -> "Numbers":
        """Look at some values."""
        return cls.found(RunningNumbers().add(values))

    @classmethod
    def found(cls, running: RunningNumbers) -> "Numbers":
        """Return what was found in all values of a column that was read."""
        bins, distinct = running.finish()
        return cls(
            running.nans,
            running.infinities,
            running.whole,
            running.minimum,
            running.maximum,
            running.total,
            running.squares,
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
        return Numbers(
            self.nans + other.nans,
            self.infinities + other.infinities,
            self.whole + other.whole,
            min((p.minimum for p in bounds if p.minimum is not None), default=None),
            max((p.maximum for p in bounds if p.maximum is not None), default=None),
            added(self.total, other.total),
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
