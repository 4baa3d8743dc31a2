"""Which rows are held out: decided by what a row is, not by where or when it is met.

A row is held out iff a hash of its entity falls into the held-out share. So the answer never
depends on the other rows, their order or the run: a row once held out is held out in every run
with the same seed, and a champion trained by an earlier run has never learned from it. That is
what makes comparing candidate and champion on the held-out rows fair. All rows of one entity fall
on one side, so that nothing about an entity leaks from training into the evaluation. A larger
share keeps every row that a smaller one held out.

Without an entity the row's own content decides, without its label, so that a row is not told
apart from its corrected copy; equal rows fall on one side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import numpy as np

from headrace_tabular.columns import Columns, Floats, texts

VALIDATION = "validation"
VALIDATION_SHARE = 0.15


def row_keys(columns: Columns, entity: str | None, leave_out: Collection[str]) -> list[str]:
    """Return what identifies each row: its entity, or else its content without `leave_out`.

    Nulls are not part of the content: a column that is added later, null in all older rows,
    moves none of them. A row whose entity is null is identified by its content.
    """
    entities = texts(columns[entity]) if entity else []
    if entities and all(entities):
        return entities
    named = sorted(name for name in columns if name not in leave_out and name != entity)
    contents = [""] * len(next(iter(columns.values())))
    for name in named:
        contents = [
            f"{content}\x1e{name}\x1f{value}" if value else content
            for content, value in zip(contents, texts(columns[name]), strict=True)
        ]
    if not entities:
        return contents
    return [key or content for key, content in zip(entities, contents, strict=True)]


def share_of(keys: Sequence[str], seed: str) -> Floats:
    """Return a number in [0, 1) for every key, the same everywhere and for ever.

    md5 is used for its even spread, not for secrecy; DuckDB, Spark and Athena agree on it.
    """
    prefix = f"{seed}\x1f"
    digests = b"".join(
        hashlib.md5((prefix + key).encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
        for key in keys
    )
    words = np.frombuffer(digests, dtype=">u8")[::2]
    # The top 53 bits: exactly what a float64 holds, so that no share is rounded up to 1.
    return (words >> np.uint64(11)).astype(np.float64) / 2.0**53
