"""A column's numbers while they are read: the same as merging each batch, in fewer passes.

What a pass over a batch costs decides what a profile costs, so most batches only count into a table
that is there already (bins that the values so far have, and as much room around them), and only
hashes that could still raise a register of the sketch of distinct values are looked at twice.
"""

import math

import numpy as np
import numpy.typing as npt

from headrace_profiling.histogram import Histogram, Ints, ordered_bits
from headrace_profiling.sketches import Distinct, RunningDistinct

MOST_SLOTS = 1 << 18  # of a table, 2 MB
_PART = 1 << 16  # values looked at together: what is computed of them stays in the cache
_CENTRE = 1024
_LARGE = 1e300
_CENTRE_BITS = 24  # times a count below 2^29 it is a float64 without rounding

_NONE: Ints = np.empty(0, np.int64)


class RunningNumbers:
    """Counts and moments so far, named as in `Numbers`; `finish` gives the rest."""

    def __init__(self, all_whole: bool = False, slots: int = MOST_SLOTS) -> None:
        """Begin; `all_whole` says that no value will have a fraction."""
        self._all_whole = all_whole
        self.nans = self.infinities = self.whole = self.count = 0
        self.minimum: float | None = None
        self.maximum: float | None = None
        self.total = (0.0, 0.0)
        self.squares = 0.0
        self._bins = RunningBins(slots)
        self._distinct = RunningDistinct()

    def add(self, values: npt.NDArray[np.float64]) -> "RunningNumbers":
        """Look at more values."""
        for start in range(0, len(values), _PART):
            self._add(values[start : start + _PART])
        return self

    def finish(self) -> tuple[Histogram, Distinct]:
        """Return the bins and the sketch of all values."""
        bins, exact = self._bins.finish()
        self._distinct.add_numbers(exact)
        return bins, self._distinct.found()

    def _add(self, values: npt.NDArray[np.float64]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = float(values.min()), float(values.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                finite = np.isfinite(values)
                nans = int(np.isnan(values).sum())
                self.nans += nans
                self.infinities += len(values) - nans - int(finite.sum())
                values = values[finite]
                if not len(values):
                    return
                low, high = float(values.min()), float(values.max())
            self._moments(values, low, high)
        # Bits are in order as they are without a sign; adding 0 takes it from -0.
        plain = values if low > 0 else values + 0.0
        bits = plain.view(np.int64) if low >= 0 else ordered_bits(values)
        bounds = ordered_bits(np.array([low, high])).tolist()
        counted, exact = self._bins.add(bits, *bounds)
        if not counted:
            self._distinct.add_numbers(exact)
            self._distinct.add_numbers(bits)

    def _moments(self, values: npt.NDArray[np.float64], low: float, high: float) -> None:
        n = len(values)
        centre = _few_bits(float(values[:_CENTRE].mean()))
        rest = values - centre
        left = float(rest.sum())
        rest *= rest  # not BLAS: its threads wait for each other
        squares = float(rest.sum()) - left * left / n if low < high else 0.0
        more = (centre * n, left) if math.isfinite(left) else (math.inf, 0.0)
        apart = sum(self.total) / self.count - sum(more) / n if self.count else 0.0
        share = self.count / (self.count + n) * n
        self.squares += max(0.0, squares) + apart * apart * share
        if not math.isfinite(self.squares):
            self.squares = math.inf
        self.total = added(self.total, more)
        self.count += n
        self.minimum = low if self.minimum is None else min(self.minimum, low)
        self.maximum = high if self.maximum is None else max(self.maximum, high)
        whole = n if self._all_whole else int(np.count_nonzero(np.rint(values) == values))
        self.whole += whole


class RunningBins:
    """A `Histogram` while it grows: `_bins`, and what is counted in `_table` beside them.

    Slot i of the table is the key `_first` + i of the values' ordered bits >> `_shift`. While all
    values ever counted are in the table without loss, they are their own list of distinct values.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._bins = Histogram.empty()
        self._table: Ints | None = None
        self._first = self._shift = 0

    def add(self, bits: Ints, low: int, high: int) -> tuple[bool, Ints]:
        """Count finite values, given as `ordered_bits`, with the lowest and the highest of them.

        Returns whether they are kept exactly, and if not, what exact values had been kept before:
        from now on the caller looks after distinct values itself.
        """
        if self._table is not None and self._fits(bits, low, high):
            keys = bits >> self._shift
            keys -= self._first
            np.add.at(self._table, keys, 1)
            return self._bins.exact, _NONE
        exact = self._gather()
        self._bins = self._bins.merge(Histogram.of(bits, self._bins.shift))
        self._make_room()
        return False, exact

    def finish(self) -> tuple[Histogram, Ints]:
        """Return all bins, and the exact values that the caller has not looked at."""
        exact = self._gather()
        return self._bins, exact

    def _fits(self, bits: Ints, low: int, high: int) -> bool:
        table = 0 if self._table is None else len(self._table)
        inside = (low >> self._shift) - self._first >= 0
        if not inside or (high >> self._shift) - self._first >= table:
            return False
        dropped = (1 << self._shift) - (1 << self._bins.shift)  # bits that no value had so far
        return not dropped or not int(np.bitwise_or.reduce(bits)) & dropped

    def _gather(self) -> Ints:
        """Take what the table counted into the bins; return the values if they are exact."""
        if self._table is None:
            return _NONE
        used = np.flatnonzero(self._table)
        keys = (used + self._first) << (self._shift - self._bins.shift)
        exact = keys if self._bins.exact else _NONE
        self._bins = self._bins.merge(Histogram(self._bins.shift, keys, self._table[used]))
        self._table = None
        return exact

    def _make_room(self) -> None:
        """Make a table for the bins' range and as much around it, if that is not too wide."""
        keys = self._bins.keys
        either = int(np.bitwise_or.reduce(keys))
        spare = (either & -either).bit_length() - 1 if either else 0
        low, high = int(keys[0]) >> spare, int(keys[-1]) >> spare
        around = high - low + 1
        for margin in (around, around // 8, 0):
            slots = around + 2 * margin
            if slots <= self._slots:
                self._table = np.zeros(slots, np.int64)
                self._first, self._shift = low - margin, self._bins.shift + spare
                return


def added(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Return the sum of two sums, each a rounded value and what rounding took (Knuth's two-sum)."""
    total = one[0] + other[0]
    if not math.isfinite(total):
        return math.inf, 0.0
    gone = total - one[0]
    rounding = (one[0] - (total - gone)) + (other[0] - gone)
    return total, one[1] + other[1] + rounding


def _few_bits(value: float) -> float:
    """Return about the value, in so few bits that its product with a count is not rounded."""
    if not abs(value) < _LARGE:
        return 0.0
    share, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(share, _CENTRE_BITS)), exponent - _CENTRE_BITS)
