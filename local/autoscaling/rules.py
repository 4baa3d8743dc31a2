"""How much a policy scales. Pure.

"Target tracking scaling policies" and "Step scaling policies" of the Application Auto Scaling
guide, API_StepScalingPolicyConfiguration.
"""

from __future__ import annotations

import math

from local.sagemaker.store import Record

DEFAULT_COOLDOWN = (
    300.0  # seconds, of endpoint variants (API_TargetTrackingScalingPolicyConfiguration)
)


def track_out(capacity: int, value: float, target: float) -> int:
    """Return the capacity that brings a metric per unit of capacity down to its target."""
    return math.ceil(round(capacity * value / target, 9))


def track_in(capacity: int, value: float | None, target: float) -> int:
    """Return the next smaller capacity that keeps the metric at its target.

    It "scales in more gradually": one at a time here.
    """
    needed = track_out(capacity, value or 0.0, target)
    return max(needed, capacity - 1)


def step(config: Record, capacity: int, threshold: float, value: float) -> int:
    """Return the capacity after the step that a breach belongs to; the same if there is none."""
    breach = value - threshold
    for adjustment in config.get("StepAdjustments", []):
        lower = adjustment.get("MetricIntervalLowerBound", -math.inf)
        upper = adjustment.get("MetricIntervalUpperBound", math.inf)
        # Above the threshold the lower bound belongs to the step, below it the upper one.
        is_in = lower <= breach < upper if breach >= 0 else lower < breach <= upper
        if is_in:
            return _adjust(config, capacity, adjustment["ScalingAdjustment"])
    return capacity


def _adjust(config: Record, capacity: int, amount: int) -> int:
    kind = config.get("AdjustmentType", "ChangeInCapacity")
    if kind == "ExactCapacity":
        return amount
    if kind == "PercentChangeInCapacity":
        change = _whole(capacity * amount / 100)
        least = config.get("MinAdjustmentMagnitude", 0)
        if abs(change) < least:
            change = int(math.copysign(least, amount))
        return capacity + change
    return capacity + amount


def _whole(change: float) -> int:
    """Round towards zero, but to one at least ("Step scaling adjustment types")."""
    if 0 < abs(change) < 1:
        return int(math.copysign(1, change))
    return math.trunc(round(change, 9))
