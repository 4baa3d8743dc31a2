"""A column's values that are texts. They merge: all but the most frequent ones exactly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_profiling.histogram import (
    TABLE,
    TABLE_BITS,
    Ints,
    pack,
    slots_of,
    tally,
    unpack,
)
from headrace_profiling.sketches import MOST_CATEGORIES, Distinct, Frequent, RunningDistinct

Hashes = npt.NDArray[np.uint64]
TextsAt = Callable[[npt.NDArray[np.intp]], list[str]]
LengthsAt = Callable[[npt.NDArray[np.intp] | slice], Ints]
UNKNOWN = ""
BUCKETS = 256  # by hash, to compare texts of which too many are different to list them


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
    buckets: Ints
    distinct: Distinct
    hasher: str

    @classmethod
    def of(
        cls,
        hashes: Hashes,
        lengths: Ints,
        texts: TextsAt,
        hasher: str,
    ) -> "Texts":
        """Look at some texts; `texts` gives those of some rows."""
        running = RunningTexts(hasher)
        running.add(hashes, lambda rows: lengths[rows], texts)
        return running.found()

    @classmethod
    def counted(cls, counts: Mapping[str, int], hashes: Mapping[str, int], hasher: str) -> "Texts":
        """Return the part of texts that are known with their counts, above 0, and hashes."""
        numbers = np.array([*counts.values()], np.int64)
        lengths = np.array([*map(len, counts)], np.int64)
        hashed = np.array([hashes[text] for text in counts], np.uint64)
        buckets = np.zeros(BUCKETS, np.int64)
        np.add.at(buckets, _bucket_of(hashed), numbers)
        return cls(
            count=int(numbers.sum()),
            shortest=min(map(len, counts), default=None),
            longest=max(map(len, counts), default=None),
            characters=int((numbers * lengths).sum()),
            frequent=Frequent.of(counts),
            buckets=buckets,
            distinct=Distinct.of(hashed),
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


class RunningTexts:
    """A column's texts while they are read: the same as merging each batch, in fewer passes.

    While all values can be listed, most rows only count into the slot of their hash in `_table`.
    """

    def __init__(self, hasher: str, hashes: Mapping[str, int] | None = None) -> None:
        """Begin with the hashes of some texts that `count` may be told of."""
        self._hasher = hasher
        self._found = Texts.counted({}, {}, hasher)  # but for the table, and distinct values
        self._distinct = RunningDistinct()
        self._hashes = dict(hashes or {})
        self._owners: dict[int, str] = {}  # of slots
        self._hash_of_slot: Hashes = np.empty(0, np.uint64)
        self._table: Ints | None = None

    def add(self, hashes: Hashes, lengths: LengthsAt, texts: TextsAt) -> None:
        """Look at more texts; `lengths` and `texts` give those of some rows."""
        if self._table is None:
            if len(hashes):
                self._add(hashes, lengths(slice(None)), texts)
            return
        slots = slots_of(hashes)
        owned = self._hash_of_slot[slots] == hashes
        if owned.all():
            np.add.at(self._table, slots, 1)
            return
        np.add.at(self._table, slots[owned], 1)
        rows = np.flatnonzero(~owned)
        self._add(hashes[rows], lengths(rows), lambda chosen: texts(rows[chosen]))

    def count(self, counts: Mapping[str, int]) -> None:
        """Count texts whose hashes were given."""
        known = {text: n for text, n in counts.items() if n}
        found = Texts.counted(known, self._hashes, self._hasher)
        self._distinct.add(np.array([self._hashes[text] for text in known], np.uint64))
        self._found = self._found.merge(found)

    def found(self) -> Texts:
        """Return what was found in all texts."""
        self._gather()
        return replace(self._found, distinct=self._distinct.found())

    def _add(self, hashes: Hashes, lengths: Ints, texts: TextsAt) -> None:
        chosen, counts, missed = _most_frequent(hashes)
        words = texts(chosen)
        found = Texts(
            count=len(hashes),
            shortest=int(lengths.min()),
            longest=int(lengths.max()),
            characters=int(lengths.sum()),
            frequent=Frequent.of(dict(zip(words, counts.tolist(), strict=True)), missed),
            buckets=np.bincount(_bucket_of(hashes), minlength=BUCKETS),
            distinct=self._found.distinct,
            hasher=self._hasher,
        )
        self._distinct.add(hashes)
        self._found = self._found.merge(found)
        known = len(self._hashes)
        self._hashes |= zip(words, hashes[chosen].tolist(), strict=True)
        if not self._found.frequent.complete or len(self._hashes) > MOST_CATEGORIES:
            self._gather()
            self._hashes = {}
        elif self._table is None or len(self._hashes) > known:
            self._gather()
            self._make_room()

    def _gather(self) -> None:
        """Take what the table counted to the rest."""
        if self._table is not None:
            counts = {
                text: n for slot, text in self._owners.items() if (n := int(self._table[slot]))
            }
            self._found = self._found.merge(Texts.counted(counts, self._hashes, self._hasher))
            self._table = None

    def _make_room(self) -> None:
        """Give each known value the slot of its hash, or the first of two that share it."""
        self._table = np.zeros(TABLE, np.int64)
        self._hash_of_slot = ~(np.arange(TABLE, dtype=np.uint64) << np.uint64(64 - TABLE_BITS))
        self._owners = {}
        known = np.array([*self._hashes.values()], np.uint64)
        for text, hash_, slot in zip(self._hashes, known, slots_of(known).tolist(), strict=True):
            if slot not in self._owners:
                self._owners[slot] = text
                self._hash_of_slot[slot] = hash_


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


def _bucket_of(hashes: Hashes) -> npt.NDArray[np.intp]:
    return ((hashes >> np.uint64(40)) & np.uint64(BUCKETS - 1)).view(np.int64)
