"""When a training job is hopeless, and when a tuning job has found what it will find.

See "Stop Training Jobs Early" and "Track and set completion criteria for your tuning job" of the
developer guide.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

_IMPROVEMENT = 0.01  # "1% or greater" counts (API_BestObjectiveNotImproving)
_CONVERGED = 10  # AWS keeps its own measure to itself; ours is so many jobs without improvement


def is_better(value: float, than: float, maximize: bool) -> bool:
    """Whether an objective is better than another."""
    return value > than if maximize else value < than


def is_hopeless(
    history: Sequence[float], earlier: Sequence[Sequence[float]], maximize: bool
) -> bool:
    """Whether a job's last value is worse than the median of earlier jobs' running averages.

    Each average is over a job's values up to the same epoch; a job that had fewer does not count.
    """
    epoch = len(history)
    averages = [statistics.fmean(each[:epoch]) for each in earlier if len(each) >= epoch]
    return bool(averages) and is_better(statistics.median(averages), history[-1], maximize)


def without_improvement(values: Sequence[float], maximize: bool) -> int:
    """Return how many jobs in a row, the last ones, were not 1% better than the best before."""
    count, best = 0, None
    for value in values:
        if best is None or (
            is_better(value, best, maximize) and abs(value - best) >= _IMPROVEMENT * abs(best)
        ):
            count, best = 0, value
        else:
            count += 1
    return count


def has_converged(values: Sequence[float], maximize: bool) -> bool:
    """Whether further training jobs are unlikely to improve on the best."""
    return without_improvement(values, maximize) >= _CONVERGED
