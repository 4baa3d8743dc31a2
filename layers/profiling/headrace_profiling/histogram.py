"""Histograms of numbers that merge by addition, whatever the range: the high bits of a float64.

Read as an integer (with the bits of negative numbers flipped) a float64 keeps its order, so its
high bits name a bin: sign, exponent, and as many bits of the mantissa as there is room for. How
many follows from the values alone: the most that keep the bins at `MOST_BINS`. A coarser histogram
is the exact sum of a finer one's neighbours, hence every split of the values gives the same bins.
(The idea of uniform collapse: Epicoco et al., UDDSketch, IEEE Access 2020.) A column of few values
keeps them exactly; one of times or ids, which differ in low bits only, keeps those bits.
"""

import base64
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MOST_BINS = 2048
_SLOTS = 1 << 18  # of the table a batch is counted in, 2 MB
TABLE_BITS = 14
TABLE = 1 << TABLE_BITS
_SAMPLE = 4096
_SLICE = 8192
_LOW = np.int64((1 << 63) - 1)
_HALF = np.uint64(33)
_LARGEST = np.int64(0x7FEF_FFFF_FFFF_FFFF)  # bits of the largest finite value


@dataclass(frozen=True, eq=False)
class Histogram:
    """`counts` of values by `keys` (ascending); a key is a value's ordered bits >> `shift`."""

    shift: int
    keys: Ints
    counts: Ints

    @classmethod
    def empty(cls) -> "Histogram":
        """Return the histogram of no values."""
        return cls(0, np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def of(cls, bits: Ints, at_least: int = 0) -> "Histogram":
        """Count finite values, given as `ordered_bits`.

        `at_least` is the shift of what this will be merged with: finer bins would be lost anyway.
        """
        if not len(bits):
            return cls.empty()
        sample = np.sort(bits[:: max(1, len(bits) // _SAMPLE)] >> at_least)
        sample = sample[np.diff(sample, prepend=sample[0] - 1) != 0]
        shift = at_least + _surplus(sample)
        return _bounded(shift, *_count(bits, shift))

    @classmethod
    def weighted(cls, bits: Ints, weights: Ints) -> "Histogram":
        """Count finite values (`ordered_bits`) that stand for several each."""
        return _bounded(0, *_add([bits], [weights]))

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def exact(self) -> bool:
        """Whether each bin is one value."""
        return self.shift == 0

    @property
    def relative_error(self) -> float:
        """How far a value of a bin can be from another of it, as a share of the value."""
        return 0.0 if self.exact else float(2.0 ** (self.shift - 52))

    @property
    def lower(self) -> Floats:
        """The lower bound of each bin: its first value."""
        return from_bits(np.maximum(self.keys << self.shift, ~_LARGEST))

    @property
    def upper(self) -> Floats:
        """The last value of each bin."""
        return from_bits(np.minimum((self.keys << self.shift) | ((1 << self.shift) - 1), _LARGEST))

    def merge(self, other: "Histogram") -> "Histogram":
        """Return the histogram of both's values."""
        shift = max(self.shift, other.shift)
        parts = [h.coarsened(shift) for h in (self, other)]
        return _bounded(shift, *_add([p.keys for p in parts], [p.counts for p in parts]))

    def coarsened(self, shift: int) -> "Histogram":
        """Return the same counts in wider bins."""
        if shift == self.shift:
            return self
        return Histogram(shift, *_add([self.keys >> (shift - self.shift)], [self.counts]))

    def quantile(self, share: float) -> float | None:
        """Return the value below which `share` of the values lie; exact if the bins are."""
        return float(self.quantiles(np.array([share]))[0]) if len(self.keys) else None

    def quantiles(self, shares: Floats) -> Floats:
        """Return the value below which each share of the values lies; there must be values."""
        ranks = shares * (self.total - 1)
        below = np.cumsum(self.counts)
        i = np.searchsorted(below, ranks, side="right")
        if self.exact:
            return self.lower[i]
        within = (ranks - (below[i] - self.counts[i]) + 0.5) / self.counts[i]
        return np.asarray(self.lower[i] * (1 - within) + self.upper[i] * within)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and self.shift == other.shift
            and np.array_equal(self.keys, other.keys)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values: bins as base64 of zlib of bytes, a few per bin."""
        steps = np.diff(self.keys, prepend=0)  # wraps around where it must, and back when read
        return {"shift": self.shift, "bins": pack(np.stack([steps, self.counts]))}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Histogram":
        """Read what `as_dict` wrote."""
        steps, counts = unpack(values["bins"]).reshape(2, -1)
        return cls(values["shift"], np.cumsum(steps), counts)


def ordered_bits(values: Floats) -> Ints:
    """Return integers in the order of the values; -0.0 counts as 0.0."""
    ordered = np.empty(len(values), np.int64)
    for part in slices(len(values)):
        bits = (values[part] + 0.0).view(np.int64)
        np.bitwise_xor(bits, (bits >> 63) & _LOW, out=ordered[part])
    return ordered


def from_bits(bits: Ints) -> Floats:
    """Return the values whose `ordered_bits` these are."""
    return np.asarray(bits ^ ((bits >> 63) & _LOW)).view(np.float64)


def together(one: Histogram, other: Histogram) -> tuple[Histogram, Histogram]:
    """Return both with the same bins, where one may have none: ready to be compared."""
    shift = max(one.shift, other.shift)
    one, other = one.coarsened(shift), other.coarsened(shift)
    keys = np.union1d(one.keys, other.keys)
    return tuple(  # type: ignore[return-value]  # mypy knows no length of a generator
        Histogram(shift, keys, _spread(h, keys)) for h in (one, other)
    )


def tally(values: npt.NDArray[Any], hashes: npt.NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Return (row of one of its occurrences, count) of each distinct value.

    Most values own a slot of a table by their hash; only the ones that share it are sorted.
    """
    slots = slots_of(hashes)
    last = np.zeros(TABLE, np.intp)
    last[slots] = np.arange(len(values))
    owned = values[last[slots]] == values
    if owned.all():
        counts = np.bincount(slots)
        used = np.flatnonzero(counts)
        return last[used], counts[used]
    counts = np.bincount(slots[owned])
    used = np.flatnonzero(counts)
    rest = np.flatnonzero(~owned)
    _, first, others = np.unique(values[rest], return_index=True, return_counts=True)
    return np.concatenate([last[used], rest[first]]), np.concatenate([counts[used], others])


def slots_of(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Return each hash's place in a table of `TABLE` slots."""
    return (hashes >> np.uint64(64 - TABLE_BITS)).view(np.int64)


def slices(length: int) -> Iterator[slice]:
    """Give slices of an array whose temporaries stay in the cache and off fresh pages."""
    for start in range(0, length, _SLICE):
        yield slice(start, start + _SLICE)


def mix(bits: Ints) -> npt.NDArray[np.uint64]:
    """Return a hash of 64-bit integers: the finalizer of MurmurHash3 (Appleby, public domain)."""
    return mix_lower(mix_upper(bits))


def mix_upper(bits: Ints) -> npt.NDArray[np.uint64]:
    """Return integers whose upper 33 bits are those of the hash; `mix_lower` does the others."""
    whole = bits.view(np.uint64)
    h = whole >> _HALF
    h ^= whole
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> _HALF
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    return h


def mix_lower(h: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the hashes of what `mix_upper` gave."""
    return h ^ (h >> _HALF)


def pack(numbers: Ints) -> str:
    """Return integers as base64 text; equal bytes of neighbours lie together, so zlib is short."""
    octets = np.ascontiguousarray(numbers.ravel().astype("<i8")).view(np.uint8)
    return base64.b64encode(zlib.compress(octets.reshape(-1, 8).T.tobytes(), 9)).decode()


def unpack(text: str) -> Ints:
    """Read what `pack` wrote."""
    octets = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.ascontiguousarray(octets.reshape(8, -1).T).view("<i8").ravel().astype(np.int64)


def _bounded(shift: int, keys: Ints, counts: Ints) -> Histogram:
    surplus = _surplus(keys)
    if not surplus:
        return Histogram(shift, keys, counts)
    return Histogram(shift + surplus, *_add([keys >> surplus], [counts]))


def _surplus(keys: Ints) -> int:
    """Return how many low bits must go for at most `MOST_BINS` keys to be left.

    Neighbours a < b fall together once the highest bit in which they differ is gone.
    """
    if len(keys) <= MOST_BINS:
        return 0
    differing = (keys[1:] ^ keys[:-1]).view(np.uint64)
    high = (differing >> np.uint64(32)).astype(np.float64)
    low = (differing & np.uint64(0xFFFFFFFF)).astype(np.float64)
    lengths = np.where(high > 0, np.frexp(high)[1] + 32, np.frexp(low)[1])
    kept = len(lengths) - MOST_BINS
    return int(np.partition(lengths, kept)[kept])


def _count(bits: Ints, shift: int) -> tuple[Ints, Ints]:
    """Return the distinct keys (bits >> shift) in order, and their counts."""
    keys = bits >> shift
    low, high, either = int(keys.min()), int(keys.max()), int(np.bitwise_or.reduce(keys))
    spare = (either & -either).bit_length() - 1 if either else 0  # bits that no key has
    if (high >> spare) - (low >> spare) < _SLOTS:
        keys >>= spare
        keys -= low >> spare
        counts = np.bincount(keys)
        used = np.flatnonzero(counts)
        return (used + (low >> spare)) << spare, counts[used]
    rows, counts = tally(keys, mix(keys))
    order = np.argsort(keys[rows])
    return keys[rows][order], counts[order]


def _add(keys: Iterable[Ints], counts: Iterable[Ints]) -> tuple[Ints, Ints]:
    distinct, where = np.unique(np.concatenate([*keys]), return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, where, np.concatenate([*counts]))
    return distinct, sums


def _spread(histogram: Histogram, keys: Ints) -> Ints:
    counts = np.zeros(len(keys), np.int64)
    counts[np.searchsorted(keys, histogram.keys)] = histogram.counts
    return counts
