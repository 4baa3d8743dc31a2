"""The part of JSONPath that batch transform's filters may use.

Operators: "Associate Prediction Results with Input Records" of the developer guide. Slices leave
their end out, as the JSONPath implementation that the page refers to does and as AWS's own
examples (`$[1:-1]`) need, although the page's prose calls them inclusive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

_NAME = re.compile(r"\.([^.\[\]*'\"]+)")
_BRACKET = re.compile(r"\.?\[((?:'[^']*'|[^\]'])*)\]")
_QUOTED = re.compile(r"\s*'([^']*)'\s*")
_INDEX = re.compile(r"\s*(-?\d+)\s*")
_SLICE = re.compile(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*")
_ALL = (slice(None),)

Names: TypeAlias = tuple[str, ...]
Places: TypeAlias = tuple[int | slice, ...]
Step: TypeAlias = Names | Places


class PathError(ValueError):
    """An expression is not of the subset, or selects what a record does not have."""


@dataclass(frozen=True)
class Path:
    """A parsed expression."""

    text: str
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """Parse an expression. Raises PathError."""
        if not text.startswith("$"):
            raise PathError(f"{text!r} must begin with $")
        steps: list[Step] = []
        position = 1
        while position < len(text):
            if text.startswith(".*", position):
                steps.append(_ALL)
                position += 2
            elif found := _BRACKET.match(text, position):
                steps.append(_bracket(text, found[1]))
                position = found.end()
            elif found := _NAME.match(text, position):
                steps.append((found[1],))
                position = found.end()
            else:
                raise PathError(f"{text!r} is not understood from {text[position:]!r} on")
        return cls(text, tuple(steps))

    @property
    def is_root(self) -> bool:
        """Whether everything is selected."""
        return not self.steps

    @property
    def is_by_index(self) -> bool:
        """Whether rows of a CSV file have all that is selected."""
        return all(not isinstance(step[0], str) for step in self.steps)

    def select(self, value: Any) -> Any:
        """Return what the expression selects. Raises PathError for what is not there."""
        return self._select(value, self.steps)

    def _select(self, value: Any, steps: Sequence[Step]) -> Any:
        if not steps:
            return value
        step, rest = steps[0], steps[1:]
        if isinstance(step[0], str):
            return self._select_names(value, [str(name) for name in step], rest)
        items = list(value.values()) if isinstance(value, dict) and step == _ALL else value
        if not isinstance(items, list):
            raise PathError(f"{self.text} needs a list where there is {type(value).__name__}")
        try:
            if len(step) == 1 and isinstance(step[0], int):
                return self._select(items[step[0]], rest)
            chosen = [
                item
                for place in step
                for item in (items[place] if isinstance(place, slice) else [items[int(place)]])
            ]
        except IndexError as error:
            raise PathError(f"{self.text} is beyond the {len(items)} elements there are") from error
        return [self._select(item, rest) for item in chosen]

    def _select_names(self, value: Any, names: list[str], rest: Sequence[Step]) -> Any:
        if not isinstance(value, dict):
            raise PathError(f"{self.text} needs an object where there is {type(value).__name__}")
        if len(names) > 1:
            return {name: self._select(value[name], rest) for name in names if name in value}
        if names[0] not in value:
            raise PathError(f"{self.text}: there is no attribute {names[0]!r}")
        return self._select(value[names[0]], rest)


def _bracket(text: str, content: str) -> Step:
    """Parse what stands in brackets: `*`, quoted names, or indexes and slices."""
    if content.strip() == "*":
        return _ALL
    parts = content.split(",")
    quoted = [_QUOTED.fullmatch(part) for part in parts]
    if all(quoted):
        return tuple(found[1] for found in quoted if found)
    places: list[int | slice] = []
    for part in parts:
        if found := _INDEX.fullmatch(part):
            places.append(int(found[1]))
        elif found := _SLICE.fullmatch(part):
            first, last = (int(number) if number else None for number in found.groups())
            places.append(slice(first, last))
        else:
            raise PathError(f"{text!r}: [{content}] is not understood")
    return tuple(places)
