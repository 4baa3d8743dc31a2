"""Ranges of hyperparameters, each seen as the unit interval that a search draws from.

Scales: "Define Hyperparameter Ranges" of the developer guide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.store import Record

_KINDS = {"Integer": "IntegerParameterRanges", "Continuous": "ContinuousParameterRanges"}
_CATEGORICAL = "CategoricalParameterRanges"
_DECADES = 100  # from this ratio on, a range spans several orders of magnitude: Auto is logarithmic
_RANGES = 30


@dataclass(frozen=True)
class Range:
    """One hyperparameter's range: numbers on a scale, or choices."""

    name: str
    kind: str
    low: float = 0.0
    high: float = 1.0
    scale: str = "Linear"
    choices: tuple[str, ...] = ()

    def at(self, position: float) -> str:
        """Return the value at a position in [0, 1]."""
        if self.choices:
            return self.choices[min(int(position * len(self.choices)), len(self.choices) - 1)]
        low, high = self._ends()
        value = self._unscaled(low + position * (high - low))
        value = min(max(value, self.low), self.high)
        return str(round(value)) if self.kind == "Integer" else repr(value)

    def position(self, text: str) -> float | None:
        """Return the position of a value, None for one outside the range."""
        if self.choices:
            if text not in self.choices:
                return None
            return (self.choices.index(text) + 0.5) / len(self.choices)
        try:
            value = float(text)
        except ValueError:
            return None
        if not self.low <= value <= self.high:
            return None
        low, high = self._ends()
        return (self._scaled(value) - low) / (high - low) if high > low else 0.5

    def _ends(self) -> tuple[float, float]:
        """Return the scaled ends; those of integers reach as far as what is rounded to them."""
        reach = 0.5 if (self.kind, self.scale) == ("Integer", "Linear") else 0.0
        return self._scaled(self.low - reach), self._scaled(self.high + reach)

    def _scaled(self, value: float) -> float:
        if self.scale == "Logarithmic":
            return math.log(value)
        return -math.log1p(-value) if self.scale == "ReverseLogarithmic" else value

    def _unscaled(self, value: float) -> float:
        if self.scale == "Logarithmic":
            return math.exp(value)
        return -math.expm1(-value) if self.scale == "ReverseLogarithmic" else value


def parse(given: Record) -> list[Range]:
    """Return the ranges of a request. Raises ValidationException for those that make no sense."""
    if given.get("AutoParameters"):
        raise not_implemented("AutoParameters (Autotune)")
    found = [
        _number(kind, member) for kind, list_ in _KINDS.items() for member in given.get(list_, [])
    ]
    for member in given.get(_CATEGORICAL, []):
        if len(set(member["Values"])) != len(member["Values"]):
            raise invalid(f"The values of {member['Name']} must be unique.")
        found.append(Range(member["Name"], "Categorical", choices=tuple(member["Values"])))
    if not found:
        raise invalid("At least one hyperparameter must have a range to be tuned over.")
    if len(found) > _RANGES:
        raise invalid(f"At most {_RANGES} hyperparameters can be tuned.")
    names = [each.name for each in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise invalid(f"Hyperparameters have more than one range: {', '.join(twice)}.")
    return found


def _number(kind: str, member: Record) -> Range:
    name = member["Name"]
    try:
        convert = int if kind == "Integer" else float
        low, high = float(convert(member["MinValue"])), float(convert(member["MaxValue"]))
    except ValueError as error:
        raise invalid(f"The range of {name} is not of kind {kind}: {error}") from error
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise invalid(f"The MinValue of {name} must not be greater than its MaxValue.")
    scale = member.get("ScalingType", "Auto")
    if scale == "Auto":
        scale = "Logarithmic" if low > 0 and high / low >= _DECADES else "Linear"
    if scale == "Logarithmic" and low <= 0:
        raise invalid(f"Logarithmic scaling of {name} needs values greater than 0.")
    if scale == "ReverseLogarithmic":
        if kind == "Integer":
            raise invalid(f"ReverseLogarithmic scaling of {name} needs a continuous range.")
        if low < 0 or high >= 1:
            raise invalid(f"ReverseLogarithmic scaling of {name} needs 0 <= values < 1.")
    return Range(name, kind, low, high, scale)
