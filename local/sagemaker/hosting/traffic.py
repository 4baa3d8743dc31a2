"""Where an endpoint's requests go: to the variants of one fleet, or of two during a deployment."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.sagemaker.hosting.fleet import Fleet, Variant


@dataclass(frozen=True)
class Target:
    """A variant of a fleet and its weight among the others."""

    fleet: Fleet
    variant: Variant
    weight: float


@dataclass(frozen=True)
class Routes:
    """An endpoint's targets. Never changed: a deployment replaces it at once."""

    targets: tuple[Target, ...]
    _cumulative: list[float] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        cumulative = list(accumulate(target.weight for target in self.targets))
        object.__setattr__(self, "_cumulative", cumulative)

    @classmethod
    def of(cls, fleet: Fleet) -> Routes:
        """Return a fleet's own variants, with the weights they have now."""
        variants = fleet.variants.values()
        return cls(tuple(Target(fleet, variant, variant.weight) for variant in variants))

    def named(self, variant: str) -> Routes | None:
        """Return the targets of that name, None if there are none."""
        named = tuple(target for target in self.targets if target.variant.name == variant)
        return Routes(named) if named else None

    def pick(self) -> Target:
        """Choose a target; its share is its weight over the sum of weights."""
        if len(self.targets) == 1 or not self._cumulative[-1]:
            return self.targets[0]
        return random.choices(self.targets, cum_weights=self._cumulative)[0]  # noqa: S311 - routing

    def shifted(self, new: Routes, shares: Mapping[str, float]) -> Routes:
        """Return these routes with a part of each variant's traffic sent to a new fleet.

        `shares` says how much of each new variant's traffic it takes already, 0 to 1. A variant
        that the new fleet no longer has gives up as much as the others do on average.
        """
        average = sum(shares.values()) / len(shares)
        kept = _scaled(self, lambda name: 1 - shares.get(name, average))
        return Routes((*kept, *_scaled(new, lambda name: shares[name])))


def _scaled(routes: Routes, factor: Callable[[str], float]) -> list[Target]:
    """Return targets with their weights as parts of one, times a factor of each variant's."""
    total = sum(target.weight for target in routes.targets)
    parts = [
        target.weight / total if total else 1 / len(routes.targets) for target in routes.targets
    ]
    return [
        replace(target, weight=part * factor(target.variant.name))
        for target, part in zip(routes.targets, parts, strict=True)
    ]
