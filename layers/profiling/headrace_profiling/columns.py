"""What one column looks like, in a form that merges: over files, dataset versions, days."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace_profiling.numbers import Numbers
from headrace_profiling.texts import UNKNOWN, Texts

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_NUMBER = frozenset({"integer", "number"})
_TIME = frozenset({"date", "timestamp"})
MIXED_SHARE = 0.1  # of values that are no numbers: beyond it a column is text, below it is mistyped


@dataclass(frozen=True)
class ColumnProfile:
    """One column. Every value that is not null is in one of the parts: `numbers` or `texts`.

    Dates and timestamps are numbers: seconds since 1970 (UTC). Booleans are the texts true and
    false. `kinds` counts the values by what they are (integer, number, boolean, date, timestamp,
    string); more than one occurs where a text file mixes them.
    """

    rows: int
    nulls: int
    kinds: Mapping[str, int]
    numbers: Numbers | None = None
    texts: Texts | None = None

    @property
    def type(self) -> str:
        """The type that the values have, `null` without any."""
        kinds = {kind for kind, n in self.kinds.items() if n}
        if len(kinds) <= 1:
            return next(iter(kinds), "null")
        for family, widest in ((_NUMBER, "number"), (_TIME, "timestamp")):
            strangers = sum(n for kind, n in self.kinds.items() if kind not in family)
            if strangers <= MIXED_SHARE * self.present:
                inside = [kind for kind in kinds if kind in family]
                return inside[0] if len(inside) == 1 else widest
        return "string"

    @property
    def present(self) -> int:
        """How many values are not null; NaN and infinities are among them."""
        return self.rows - self.nulls

    @property
    def nans(self) -> int:
        """How many values are NaN."""
        return self.numbers.nans if self.numbers else 0

    @property
    def infinities(self) -> int:
        """How many values are infinite."""
        return self.numbers.infinities if self.numbers else 0

    @property
    def mean(self) -> float | None:
        """Mean of the finite numbers."""
        return self.numbers.mean if self.numbers else None

    @property
    def std(self) -> float | None:
        """Population standard deviation of the finite numbers."""
        return self.numbers.std if self.numbers else None

    @property
    def minimum(self) -> float | None:
        """The smallest finite number."""
        return self.numbers.minimum if self.numbers else None

    @property
    def maximum(self) -> float | None:
        """The largest finite number."""
        return self.numbers.maximum if self.numbers else None

    def quantile(self, share: float) -> float | None:
        """Return the number below which `share` of them lie, within `Histogram.relative_error`."""
        return self.numbers.quantile(share) if self.numbers else None

    @property
    def distinct(self) -> int | None:
        """How many different values there are: exact while few, then within 2.3 % (one sigma).

        None when two parts were merged whose texts were hashed by different versions of DuckDB.
        """
        found = 0
        if self.numbers:
            bins = self.numbers.bins
            found += len(bins.keys) if bins.exact else self.numbers.distinct.estimate()
        if self.texts:
            if not self.texts.frequent.complete and self.texts.hasher == UNKNOWN:
                return None
            listed = self.texts.frequent
            found += len(listed.counts) if listed.complete else self.texts.distinct.estimate()
        return found

    @property
    def categories(self) -> Mapping[str, int]:
        """The most frequent texts with their counts; see `Frequent` for what more than 256 do."""
        return self.texts.frequent.counts if self.texts else {}

    def merge(self, other: "ColumnProfile") -> "ColumnProfile":
        """Return the profile of both columns' rows together."""
        numbers, texts = self.numbers or other.numbers, self.texts or other.texts
        if self.numbers and other.numbers:
            numbers = self.numbers.merge(other.numbers)
        if self.texts and other.texts:
            texts = self.texts.merge(other.texts)
        kinds = Counter(self.kinds) + Counter(other.kinds)
        return ColumnProfile(
            self.rows + other.rows, self.nulls + other.nulls, dict(kinds), numbers, texts
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values: what was measured, and what follows from it for readers."""
        return {
            "type": self.type,
            "rows": self.rows,
            "nulls": self.nulls,
            "kinds": dict(sorted(self.kinds.items())),
            "numbers": self.numbers.as_dict() if self.numbers else None,
            "texts": self.texts.as_dict() if self.texts else None,
            "summary": self._summary(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ColumnProfile":
        """Read what `as_dict` wrote."""
        numbers, texts = values["numbers"], values["texts"]
        return cls(
            rows=values["rows"],
            nulls=values["nulls"],
            kinds=values["kinds"],
            numbers=Numbers.from_dict(numbers) if numbers else None,
            texts=Texts.from_dict(texts) if texts else None,
        )

    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = {"distinct": self.distinct}
        if not self.numbers or not self.numbers.count:
            return summary
        quantiles = {str(share): self.quantile(share) for share in QUANTILES}
        if self.type in _TIME:
            return summary | {
                "minimum": iso(self.minimum),
                "maximum": iso(self.maximum),
                "quantiles": {share: iso(value) for share, value in quantiles.items()},
            }
        return summary | {"mean": self.mean, "std": self.std, "quantiles": quantiles}


def iso(seconds: float | None) -> str | None:
    """Return ISO 8601 text of seconds since 1970; None for years beyond Python's dates."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
