"""What a column looks like, in a form that merges: over files, dataset versions, days.

Counts and moments merge exactly (Chan, Golub and LeVeque 1983). Quantiles come from logarithmic
bins as in DDSketch (Masson, Rim and Lee, VLDB 2019): within 1.1 % of the value. Distinct values are
estimated from the smallest hashes (KMV; Bar-Yossef et al. 2002): about 6 % with 256 of them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

BINS_PER_OCTAVE = 32
BIN_OFFSET = 1 << 16  # keeps the bins of positive values positive: |32 log2 x| < 2^16
SMALLEST_HASHES = 256
TOP_CATEGORIES = 100
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
HASH_SPACE = 1 << 64


@dataclass(frozen=True)
class ColumnProfile:
    """One column. `nulls`, `nans` and `infinities` are in `rows`; moments and bins leave them out.

    `minimum` and `maximum` are numbers, or ISO 8601 text for dates and times, or None without any
    value. `bins` (numbers only) map a logarithmic bin to its count, `categories` (text and booleans
    only) the most frequent values to theirs.
    """

    type: str
    rows: int
    nulls: int
    nans: int
    infinities: int
    minimum: float | str | None
    maximum: float | str | None
    mean: float | None
    squares: float  # sum of squared deviations from the mean
    bins: Mapping[int, int]
    categories: Mapping[str, int]
    hashes: tuple[int, ...]  # the smallest hashes of the values, ascending

    @property
    def count(self) -> int:
        """How many values there are that one can compute with."""
        return self.rows - self.nulls - self.nans - self.infinities

    @property
    def std(self) -> float | None:
        """Population standard deviation."""
        return math.sqrt(self.squares / self.count) if self.mean is not None else None

    @property
    def distinct(self) -> int:
        """About how many different values there are; exact below `SMALLEST_HASHES`."""
        if len(self.hashes) < SMALLEST_HASHES:
            return len(self.hashes)
        return round((SMALLEST_HASHES - 1) * HASH_SPACE / self.hashes[-1])

    def quantile(self, share: float) -> float | None:
        """Return the value below which `share` of the values lie, within 1.1 %."""
        total = sum(self.bins.values())
        if not total or not isinstance(self.minimum, float | int):
            return None
        rank, seen = share * (total - 1), 0
        for key in sorted(self.bins):
            seen += self.bins[key]
            if seen > rank:
                return min(max(_bin_value(key), float(self.minimum)), float(self.maximum or 0.0))
        raise AssertionError("a rank is always below the total")

    def merge(self, other: Self) -> "ColumnProfile":
        """Return the profile of both columns' rows together."""
        count = self.count + other.count
        moments = [p for p in (self, other) if p.mean is not None]
        mean, squares = None, 0.0
        if moments:
            mean = sum(p.mean * p.count for p in moments if p.mean is not None) / count
            squares = sum(
                p.squares + p.count * (p.mean - mean) ** 2 for p in moments if p.mean is not None
            )
        bounds = [p for p in (self, other) if p.minimum is not None]
        return ColumnProfile(
            type=self.type if self.type != "null" else other.type,
            rows=self.rows + other.rows,
            nulls=self.nulls + other.nulls,
            nans=self.nans + other.nans,
            infinities=self.infinities + other.infinities,
            minimum=min((p.minimum for p in bounds), default=None),  # type: ignore[type-var]
            maximum=max((p.maximum for p in bounds), default=None),  # type: ignore[type-var]
            mean=mean,
            squares=squares,
            bins=dict(Counter(self.bins) + Counter(other.bins)),
            categories=top(Counter(self.categories) + Counter(other.categories)),
            hashes=tuple(sorted({*self.hashes, *other.hashes})[:SMALLEST_HASHES]),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values: what was measured, and what follows from it for readers."""
        return {
            **asdict(self),
            "bins": {str(key): count for key, count in sorted(self.bins.items())},
            "hashes": [str(value) for value in self.hashes],  # JSON readers round beyond 2^53
            "std": self.std,
            "distinct": self.distinct,
            "quantiles": {str(share): self.quantile(share) for share in QUANTILES}
            if self.bins
            else {},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ColumnProfile":
        """Read what `as_dict` wrote."""
        known = {name: values[name] for name in cls.__dataclass_fields__}
        return cls(
            **{
                **known,
                "bins": {int(key): count for key, count in values["bins"].items()},
                "hashes": tuple(int(value) for value in values["hashes"]),
            }
        )


Profile = dict[str, ColumnProfile]


def merge(profiles: Iterable[Profile]) -> Profile:
    """Return the profile of several tables' rows together; their columns are the same."""
    merged: Profile = {}
    for profile in profiles:
        for name, column in profile.items():
            merged[name] = merged[name].merge(column) if name in merged else column
    return merged


def top(categories: Mapping[str, int]) -> dict[str, int]:
    """Return the most frequent categories, ties by name, so that any order of merging agrees."""
    ranked = sorted(categories.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:TOP_CATEGORIES])


def _bin_value(key: int) -> float:
    """Return the middle of a bin: 0 has its own, negative values have negative keys."""
    if key == 0:
        return 0.0
    exponent = (abs(key) - BIN_OFFSET - 0.5) / BINS_PER_OCTAVE
    # The last bins round up to infinity; the caller clips to the largest value seen.
    magnitude = 2.0**exponent if exponent < 1024 else math.inf
    return math.copysign(magnitude, key)
