"""statistics.json: what Model Monitor knows of a dataset, as a profile and back.

Moments, counts and listed categories are kept exactly. Of numbers the file has a KLL sketch: items
of level i stand for 2^i values each. Ours has evenly spaced quantiles, within 0.1 % of their rank.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_profiling.columns import ColumnProfile
from headrace_profiling.histogram import Histogram, mix, ordered_bits
from headrace_profiling.model_monitor.documents import inferred_type, read, write
from headrace_profiling.numbers import Numbers
from headrace_profiling.profiles import Profile
from headrace_profiling.sketches import Distinct, Frequent
from headrace_profiling.texts import BUCKETS, UNKNOWN, Texts

_SKETCH = 2048
_KLL_BUCKETS = 10
_COMMON = ("present", "missing")
_KINDS = {"Integral": "integer", "Fractional": "number"}


def write_statistics(profile: Profile) -> str:
    """Return a profile as statistics.json. NaN and infinities count as missing, as nulls do."""
    features = [_feature(name, column) for name, column in profile.columns.items()]
    return write({"version": 0.0, "dataset": {"item_count": profile.rows}, "features": features})


def read_statistics(text: str | bytes) -> Profile:
    """Return the profile of a statistics.json, ours or Model Monitor's. Raises FormatError.

    Its texts have no hashes: distributions of more categories than are listed compare by those.
    """

    def parse(document: Mapping[str, Any]) -> Profile:
        columns = {entry["name"]: _column(entry) for entry in document["features"]}
        return Profile(int(document["dataset"]["item_count"]), columns)

    return read(text, "statistics.json", parse)


def _feature(name: str, column: ColumnProfile) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "inferred_type": inferred_type(column)}
    if entry["inferred_type"] in _KINDS and column.numbers and column.numbers.count:
        present = column.numbers.count
        common = {"num_present": present, "num_missing": column.rows - present}
        entry["numerical_statistics"] = {
            "common": common | _distinct(column),
            **_moments(column.numbers),
        }
        return entry
    present = column.texts.count if column.texts else 0
    listed = column.categories.items()
    entry["string_statistics"] = {
        "common": {"num_present": present, "num_missing": column.rows - present},
        "distinct_count": float(column.distinct or 0),
        "distribution": {"categorical": {"buckets": [{"value": v, "count": n} for v, n in listed]}},
    }
    return entry


def _distinct(column: ColumnProfile) -> dict[str, float]:
    present = column.numbers.count if column.numbers else 0
    return {
        "approximate_num_distinct_values": float(column.distinct or 0),
        "completeness": present / column.rows if column.rows else 1.0,
    }


def _moments(numbers: Numbers) -> dict[str, Any]:
    minimum, maximum = numbers.minimum or 0.0, numbers.maximum or 0.0
    total = sum(numbers.total)
    return {
        "mean": numbers.mean,
        "sum": total if math.isfinite(total) else None,
        "std_dev": numbers.std,
        "min": minimum,
        "max": maximum,
        "distribution": {
            "kll": {
                "buckets": _kll_buckets(numbers.bins, minimum, maximum),
                "sketch": {
                    "parameters": {"c": 0.64, "k": float(_SKETCH)},
                    "data": _levels(numbers),
                },
            }
        },
    }


def _kll_buckets(bins: Histogram, minimum: float, maximum: float) -> list[dict[str, float]]:
    """Return ten buckets of equal width; a bin counts where its middle is."""
    edges = np.linspace(minimum, maximum, _KLL_BUCKETS + 1)
    middles = np.clip(bins.lower / 2 + bins.upper / 2, minimum, maximum)
    where = np.clip(np.searchsorted(edges, middles, side="right") - 1, 0, _KLL_BUCKETS - 1)
    counts = np.bincount(where, weights=bins.counts, minlength=_KLL_BUCKETS)
    bounds = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    return [{"lower_bound": low, "upper_bound": up, "count": n} for low, up, n in bounds]


def _levels(numbers: Numbers) -> list[list[float]]:
    """Return levels of items whose weights sum to the count."""
    level = max(0, math.ceil(math.log2(numbers.count / _SKETCH)))
    step = 1 << level
    ranks = np.arange(numbers.count // step) * step + (step - 1) / 2
    kept = _at(numbers, ranks)
    if level == 0:
        return [kept]
    left = np.arange(numbers.count - len(ranks) * step) + len(ranks) * step
    return [_at(numbers, left), *([[]] * (level - 1)), kept]


def _at(numbers: Numbers, ranks: npt.NDArray[Any]) -> list[float]:
    shares = np.clip(ranks / max(1, numbers.count - 1), 0, 1)
    values = numbers.bins.quantiles(shares)
    return list(np.clip(values, numbers.minimum, numbers.maximum).tolist())


def _column(entry: Mapping[str, Any]) -> ColumnProfile:
    if "numerical_statistics" in entry:
        return _numeric(entry)
    found = entry.get("string_statistics", {})
    present, missing = (int(found.get("common", {}).get(f"num_{n}", 0)) for n in _COMMON)
    categorical = found.get("distribution", {}).get("categorical", {})
    listed = {b["value"]: int(b["count"]) for b in categorical.get("buckets", [])}
    texts = Texts(
        count=present,
        shortest=None,
        longest=None,
        characters=0,
        frequent=Frequent(listed, max(0, present - sum(listed.values()))),
        buckets=np.zeros(BUCKETS, np.int64),
        distinct=Distinct.of(np.empty(0, np.uint64)),
        hasher=UNKNOWN,
    )
    kinds = {"string": present} if present else {}
    return ColumnProfile(present + missing, missing, kinds, texts=texts if present else None)


def _numeric(entry: Mapping[str, Any]) -> ColumnProfile:
    found = entry["numerical_statistics"]
    present, missing = (int(found["common"][f"num_{name}"]) for name in _COMMON)
    kind = _KINDS.get(entry["inferred_type"], "number")
    if not present:
        return ColumnProfile(missing, missing, {})
    values, weights = _weighted(found.get("distribution", {}).get("kll", {}))
    bits = ordered_bits(values)
    bins = Histogram.weighted(bits, weights)
    numbers = Numbers(
        nans=0,
        infinities=0,
        whole=present if kind == "integer" else 0,
        minimum=found["min"],
        maximum=found["max"],
        total=(math.inf if found["sum"] is None else found["sum"], 0.0),
        squares=math.inf if found["std_dev"] is None else found["std_dev"] ** 2 * present,
        bins=bins,
        distinct=Distinct.of(mix(bits)),
    )
    return ColumnProfile(present + missing, missing, {kind: present}, numbers=numbers)


def _weighted(kll: Mapping[str, Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return values and how many each stands for: the sketch's, or the buckets' middles."""
    levels = kll.get("sketch", {}).get("data", [])
    pairs = [(float(v), 1 << level) for level, items in enumerate(levels) for v in items]
    if not pairs:
        buckets = kll.get("buckets", [])
        pairs = [
            ((b["lower_bound"] + b["upper_bound"]) / 2, int(b["count"]))
            for b in buckets
            if b["count"]
        ]
    values = np.array([value for value, _ in pairs], float)
    return values, np.array([weight for _, weight in pairs], np.int64)
