"""Is the difference between two models more than chance? A paired bootstrap says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headrace_tabular.metrics import Statistic

CONFIDENCE = 0.95
RESAMPLES = 1000
MIN_RESAMPLES = 100
WORK = 20_000_000  # rows drawn in all, which keeps a large holdout to seconds


def compare(
    candidate: Statistic, other: Statistic, groups: Sequence[str], rows: int
) -> dict[str, Any]:
    """Return the difference candidate - other with its interval, in the metric's own unit.

    Both models are measured on the same resample, so that what makes a sample easy for both
    cancels out. Whole entities are drawn (`groups` has each row's), since rows of one entity are
    not independent (Efron and Tibshirani 1993, percentile interval). NaN where a metric is.
    """
    ones = np.ones(rows)
    difference = candidate(ones) - other(ones)
    _, group = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    count = int(group.max()) + 1
    resamples = int(np.clip(WORK // max(rows, 1), MIN_RESAMPLES, RESAMPLES))
    random = np.random.default_rng(0)
    drawn = np.empty(resamples)
    for position in range(resamples):
        times = np.bincount(random.integers(0, count, count), minlength=count).astype(np.float64)
        weights = times[group]
        drawn[position] = candidate(weights) - other(weights)
    known = drawn[~np.isnan(drawn)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
    return {
        "difference": difference,
        "ci_low": float(low),
        "ci_high": float(high),
        "confidence": CONFIDENCE,
        "resamples": len(known),
    }
