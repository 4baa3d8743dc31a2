"""How far two distributions are apart: pure functions of counts over the same buckets.

Each effect size has a `..._noise`: what chance alone makes of it (once in a thousand) in samples of
these sizes without any drift. It falls with the rows, the effect sizes do not; p-values do, which
is why they are for reports and not for alarms.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Counts = Sequence[int] | npt.NDArray[np.int64]
FLOOR = 1e-4  # the least share in PSI, whose logarithm has no zero; half a row if that is more
RARE = 1e-3  # of samples without drift exceed the noise
_Z = 3.0902  # the standard normal distribution's quantile of 1 - RARE


def shares(counts: Counts) -> npt.NDArray[np.float64]:
    """Return counts as shares of their sum; zeros if there are none."""
    values = np.asarray(counts, float)
    total = values.sum()
    return values / total if total else values


def psi(baseline: Counts, current: Counts) -> float:
    """Return the population stability index: 0 for none, by convention 0.1 for some, 0.2 for much.

    Shares count as 0.0001 at least, or as half a row, so that an empty bucket of a small sample
    does not pass for much.
    """
    p, q = (
        np.maximum(shares(c), max(FLOOR, 0.5 / max(1.0, float(np.sum(c)))))
        for c in (baseline, current)
    )
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(baseline: Counts, current: Counts) -> float:
    """Return the Jensen-Shannon distance (root of the divergence in bits), from 0 to 1."""
    p, q = shares(baseline), shares(current)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(
            q > 0, q * np.log2(q / middle), 0
        )
    return math.sqrt(max(0.0, float(bits.sum()) / 2))


def l_infinity(baseline: Counts, current: Counts) -> float:
    """Return the largest difference of a bucket's shares, from 0 to 1."""
    return float(np.abs(shares(baseline) - shares(current)).max(initial=0.0))


def kolmogorov_smirnov(baseline: Counts, current: Counts) -> float:
    """Return the largest difference of the cumulative shares, from 0 to 1; buckets in order."""
    apart = np.cumsum(shares(baseline)) - np.cumsum(shares(current))
    return float(np.abs(apart).max(initial=0.0))


def chi_square(baseline: Counts, current: Counts) -> tuple[float, int]:
    """Return Pearson's statistic of both samples being of one distribution, and its freedom."""
    table = np.array([baseline, current], float)
    table = table[:, table.sum(axis=0) > 0]
    total = table.sum()
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 0.0, 0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    return float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1


def cramers_v(baseline: Counts, current: Counts) -> float:
    """Return the effect size of `chi_square`, from 0 to 1 (Cramér 1946; two rows)."""
    statistic, _ = chi_square(baseline, current)
    rows = float(np.sum(baseline) + np.sum(current))
    return math.sqrt(statistic / rows) if rows else 0.0


def psi_noise(buckets: int, rows: int, current_rows: int) -> float:
    """Return what PSI is without drift: a chi-square over the sizes (Yurdakul 2018)."""
    return _chi_square_most(buckets - 1) * _both(rows, current_rows)


def jensen_shannon_noise(buckets: int, rows: int, current_rows: int) -> float:
    """Return what the distance is without drift: for small ones it is sqrt(PSI / (8 ln 2))."""
    return min(1.0, math.sqrt(psi_noise(buckets, rows, current_rows) / (8 * math.log(2))))


def cramers_v_noise(buckets: int, rows: int, current_rows: int) -> float:
    """Return what V is without drift: the root of a chi-square over all rows."""
    return min(1.0, math.sqrt(_chi_square_most(buckets - 1) / max(1, rows + current_rows)))


def kolmogorov_smirnov_noise(rows: int, current_rows: int) -> float:
    """Return what the statistic is without drift (Smirnov's bound)."""
    return min(1.0, math.sqrt(-math.log(RARE / 2) / 2 * _both(rows, current_rows)))


def l_infinity_noise(buckets: int, rows: int, current_rows: int) -> float:
    """Return what the largest difference of `buckets` shares is without drift (Hoeffding)."""
    either = math.log(2 * max(1, buckets) / RARE) / 2
    return min(1.0, math.sqrt(either * _both(rows, current_rows)))


def share_noise(hits: int, rows: int, current_hits: int, current_rows: int) -> float:
    """Return what the difference of two shares is without drift (pooled, Agresti and Caffo)."""
    pooled = (hits + current_hits + 2) / (rows + current_rows + 4)
    return min(1.0, _Z * math.sqrt(pooled * (1 - pooled) * _both(rows, current_rows)))


def chi_square_p(statistic: float, freedom: int) -> float:
    """Return how often chance gives such a statistic or a larger one."""
    if freedom <= 0 or statistic <= 0:
        return 1.0
    return _upper_gamma(freedom / 2, statistic / 2)


def kolmogorov_smirnov_p(statistic: float, rows: int, current_rows: int) -> float:
    """Return how often chance gives such a statistic or a larger one (asymptotic)."""
    if not rows or not current_rows:
        return 1.0
    x = statistic * math.sqrt(rows * current_rows / (rows + current_rows))
    if x < 0.2:  # the series converges slowly where its value is 1
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * math.fsum(terms)))


def _chi_square_most(freedom: int) -> float:
    """Return the quantile of 1 - RARE of the chi-square distribution (Wilson and Hilferty 1931)."""
    n = max(1, freedom)
    return float(n * (1 - 2 / (9 * n) + _Z * math.sqrt(2 / (9 * n))) ** 3)


def _both(rows: int, current_rows: int) -> float:
    return 1 / max(1, rows) + 1 / max(1, current_rows)


def _upper_gamma(shape: float, x: float) -> float:
    """Return the regularised upper incomplete gamma function (Abramowitz and Stegun 6.5)."""
    scale = math.exp(-x + shape * math.log(x) - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        n = shape
        while term > total * 1e-16:
            n += 1
            term *= x / n
            total += term
        return max(0.0, 1 - total * scale)
    # Lentz's continued fraction.
    b = x + 1 - shape
    c, d = 1e300, 1 / b
    result = float(d)
    for i in range(1, 10_000):
        a = -i * (i - shape)
        b += 2
        d = 1 / (a * d + b)
        c = b + a / c
        result *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return min(1.0, scale * result)
