"""Buckets for drawing: equal steps between round numbers, not the deciles that PSI is taken of."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from headrace.monitoring.report import Bucket
from headrace_profiling import ColumnProfile
from headrace_profiling.histogram import Histogram, together

_BARS = 24
_NAMED = 12  # categories that are named
_UNSEEN = 4  # of the named categories, so many at most that the baseline does not have
_TAIL = 0.005  # the share of values that the open bucket at each end may take
_DECADES = 50.0  # from the 5th to the 95th percentile: beyond it steps go 1, 2, 5, 10, 20, ...
_TIMES = frozenset({"date", "timestamp", "null"})
_TIME_STEPS = (1, 5, 15, 60, 300, 900, 3600, 10800, 21600, 43200, 86400, 2 * 86400, 7 * 86400)

Floats = npt.NDArray[np.float64]


def buckets_of(baseline: ColumnProfile | None, window: ColumnProfile | None) -> list[Bucket]:
    """Return a column's rows in both profiles: numbers in order, then texts, then the missing."""
    sides = (baseline, window)
    one, other = (s.numbers.bins if s and s.numbers else Histogram.empty() for s in sides)
    times = all(s.type in _TIMES for s in sides if s)
    odd = [s.nans + s.infinities if s else 0 for s in sides]
    nulls = [s.nulls if s else 0 for s in sides]
    return [
        *_numbers(*together(one, other), times=times),
        *_texts(baseline, window),
        *(Bucket(label="not finite", baseline=a, window=b) for a, b in [odd] if a or b),
        *(Bucket(label="missing", baseline=a, window=b) for a, b in [nulls] if a or b),
    ]


def _numbers(one: Histogram, other: Histogram, *, times: bool) -> Iterator[Bucket]:
    if not len(one.keys):
        return
    if one.exact and len(one.keys) <= _BARS:
        for value, a, b in zip(one.lower.tolist(), one.counts, other.counts, strict=True):
            yield Bucket(label=_label(value, times), baseline=a, window=b, lower=value, upper=value)
        return
    edges = _edges(one, other, times)
    counts = [_spread(side, edges) for side in (one, other)]
    ends: list[float | None] = [None, *edges.tolist(), None]
    last = len(ends) - 2
    for i, (a, b) in enumerate(zip(*counts, strict=True)):
        lower, upper = ends[i], ends[i + 1]
        if (a or b) or 0 < i < last:
            label = _range(lower, upper, times)
            yield Bucket(label=label, baseline=a, window=b, lower=lower, upper=upper)


def _edges(one: Histogram, other: Histogram, times: bool) -> Floats:
    """Return round numbers that enclose nearly all values of both sides."""
    quantiles = [
        [h.quantile(q) or 0.0 for q in (_TAIL, 0.05, 0.95, 1 - _TAIL)]
        for h in (one, other)
        if h.total
    ]
    low, fifth, most, high = (
        pick(side[i] for side in quantiles) for i, pick in enumerate((min, min, max, max))
    )
    if not times and fifth > 0 and most / fifth > _DECADES:
        return _growing(max(low, fifth / 1e6), high)
    step = _step(high - low, times) if high > low else (abs(low) or 1.0)
    first, last = math.floor(low / step), math.ceil(high / step)
    return np.arange(first, max(last, first + 1) + 1, dtype=np.float64) * step


def _growing(low: float, high: float) -> Floats:
    """Return 1, 2, 5, 10, 20, ... from one number to another; over many decades powers alone."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = math.ceil((last - first) / _BARS)
    marks = (1, 2, 5) if (last - first) * 3 <= _BARS else (1,)
    steps = [mark * 10.0**power for power in range(first, last + 1, every) for mark in marks]
    return np.array([step for step in steps if low <= step <= high] or [low], np.float64)


def _step(width: float, times: bool) -> float:
    """Return the smallest round step that makes no more than `_BARS` of a width."""
    least = width / _BARS
    if times and least <= _TIME_STEPS[-1]:
        return float(next(s for s in _TIME_STEPS if s >= least))
    power = 10.0 ** math.floor(math.log10(least))
    return next((m * power for m in (1, 2, 2.5, 5) if m * power >= least), 10 * power)


def _spread(side: Histogram, edges: Floats) -> list[int]:
    """Count a side's values below, between and above the edges; a bin lies where its middle is."""
    middle = side.lower / 2 + side.upper / 2 if not side.exact else side.lower
    places = np.searchsorted(edges, middle, side="right")
    counts = np.bincount(places, weights=side.counts, minlength=len(edges) + 1)
    # The largest value may be the last edge itself, which is no reason for a bucket beyond it.
    at_end = int(side.counts[middle == edges[-1]].sum())
    counts[-1] -= at_end
    counts[-2] += at_end
    return [round(c) for c in counts.tolist()]


def _texts(baseline: ColumnProfile | None, window: ColumnProfile | None) -> Iterator[Bucket]:
    was = baseline.categories if baseline else {}
    now = window.categories if window else {}
    known = sorted(was, key=lambda value: (-was[value], value))
    unseen = sorted(now.keys() - was.keys(), key=lambda value: (-now[value], value))
    chosen = known[: _NAMED - min(len(unseen), _UNSEEN)]
    chosen += unseen[: min(_UNSEEN, _NAMED - len(chosen)) if known else _NAMED]
    for value in chosen:
        yield Bucket(label=value, baseline=was.get(value, 0), window=now.get(value, 0))
    rest = [
        max(0, side.texts.count - sum(side.categories.get(value, 0) for value in chosen))
        if side and side.texts
        else 0
        for side in (baseline, window)
    ]
    if any(rest):
        yield Bucket(label="all others", baseline=rest[0], window=rest[1])


def _range(lower: float | None, upper: float | None, times: bool) -> str:
    if lower is None and upper is not None:
        return f"below {_label(upper, times)}"
    if upper is None and lower is not None:
        return f"from {_label(lower, times)}"
    return f"{_label(lower or 0.0, times)} … {_label(upper or 0.0, times)}"


def _label(value: float, times: bool) -> str:
    if times:
        try:
            at = datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            return f"{value:g}"
        return f"{at:%Y-%m-%d}" if value % 86400 == 0 else f"{at:%Y-%m-%d %H:%M}"
    size = abs(value)
    return f"{value:,.10g}" if size == 0 or 0.001 <= size < 1e9 else f"{value:.6g}"
