"""Two columns over the same few buckets, which a person can read: what distances are taken of."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace_profiling.columns import ColumnProfile, iso
from headrace_profiling.histogram import Histogram, together
from headrace_profiling.numbers import Numbers
from headrace_profiling.texts import UNKNOWN, Texts

QUANTILE_BUCKETS = 10
MOST_VALUES = 20  # numbers with no more different values are compared value by value
MOST_NAMED = 50  # categories; the baseline's rarer ones are counted together
_NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Buckets:
    """Counts of both columns per bucket. The first `numeric` buckets are numbers, in order."""

    labels: tuple[str, ...]
    baseline: npt.NDArray[np.int64]
    current: npt.NDArray[np.int64]
    numeric: int = 0

    def __add__(self, other: "Buckets") -> "Buckets":
        return Buckets(
            self.labels + other.labels,
            np.concatenate([self.baseline, other.baseline]),
            np.concatenate([self.current, other.current]),
            self.numeric + other.numeric,
        )


def bucket(baseline: ColumnProfile, current: ColumnProfile) -> Buckets:
    """Return both columns' finite values over the same buckets: numbers, then texts."""
    times = {baseline.type, current.type} <= {"date", "timestamp", "null"}
    return _numbers(baseline.numbers, current.numbers, times) + _texts(
        baseline.texts, current.texts
    )


def _numbers(baseline: Numbers | None, current: Numbers | None, times: bool) -> Buckets:
    one, other = together(_bins(baseline), _bins(current))
    if not len(one.keys):
        return Buckets((), _NOTHING, _NOTHING)
    starts = _starts(one, other)
    lower, upper = one.lower[starts], one.upper[[*(starts[1:] - 1), len(one.keys) - 1]]
    ends = zip(lower.tolist(), upper.tolist(), strict=True)
    labels = tuple(_label(start, end, times) for start, end in ends)
    sums = [np.add.reduceat(h.counts, starts) for h in (one, other)]
    return Buckets(labels, sums[0], sums[1], len(labels))


def _starts(baseline: Histogram, current: Histogram) -> npt.NDArray[np.intp]:
    """Return where buckets start among the bins: at the baseline's quantiles, or at every value.

    Where the outermost bucket of the baseline is a single bin, as with flags and constants, what
    lies beyond has a bucket of its own; else it belongs to the outermost.
    """
    if len(baseline.keys) <= MOST_VALUES:
        return np.arange(len(baseline.keys))
    reference = baseline if baseline.total else current
    below = np.cumsum(reference.counts)
    ranks = np.arange(1, QUANTILE_BUCKETS) / QUANTILE_BUCKETS * below[-1]
    starts = np.unique([0, *(np.searchsorted(below, ranks, side="left") + 1)])
    starts = starts[starts < len(below)]
    used = np.flatnonzero(reference.counts)
    first, last = used[0], used[-1]
    if len(starts) == 1 or starts[1] == first + 1:
        starts = np.append(starts, [first, first + 1])
    if starts.max() <= last and np.count_nonzero(reference.counts[starts.max() :]) == 1:
        starts = np.append(starts, [last, last + 1])
    starts = np.unique(starts)
    return starts[starts < len(below)]


def _texts(baseline: Texts | None, current: Texts | None) -> Buckets:
    if not baseline and not current:
        return Buckets((), _NOTHING, _NOTHING)
    listed = all(side is None or side.frequent.complete for side in (baseline, current))
    hashers = {side.hasher for side in (baseline, current) if side}
    if not listed and len(hashers) == 1 and UNKNOWN not in hashers:
        sums = [side.buckets if side else np.zeros(256, np.int64) for side in (baseline, current)]
        return Buckets(tuple(f"hash {i}" for i in range(256)), sums[0], sums[1])
    names = list((baseline or current).frequent.counts)[:MOST_NAMED]  # type: ignore[union-attr]  # one is there
    counts = [_named(side, names, baseline) for side in (baseline, current)]
    return Buckets((*names, "rarer ones", "unseen ones"), counts[0], counts[1])


def _named(side: Texts | None, names: list[str], baseline: Texts | None) -> npt.NDArray[np.int64]:
    if side is None:
        return np.zeros(len(names) + 2, np.int64)
    found = side.frequent.counts
    named = [found.get(name, 0) for name in names]
    known = baseline.frequent.counts if baseline else {}
    rarer = sum(n for value, n in found.items() if value in known) - sum(named)
    rarer = max(0, rarer) if baseline else 0
    return np.array([*named, rarer, side.count - sum(named) - rarer])


def _bins(numbers: Numbers | None) -> Histogram:
    return numbers.bins if numbers else Histogram.empty()


def _label(lower: float, upper: float, times: bool) -> str:
    start, end = ((iso(v) if times else None) or f"{v:.6g}" for v in (lower, upper))
    return start if start == end else f"{start} … {end}"
