"""How numbers are told to people: with the digits that matter and the difference spelt out."""

import math

from headrace.training.evaluation import Comparison


def number(value: float, digits: int = 3) -> str:
    """Write a number: thousands separated, no trailing zeros beyond what says something."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.{digits}f}"


def rows(count: int) -> str:
    """Write a number of rows."""
    return f"{count:,}"


def interval(comparison: Comparison | None) -> tuple[float, float, float] | None:
    """Return a comparison's interval and confidence, when it has one."""
    if comparison is None or comparison.ci_low is None or comparison.ci_high is None:
        return None
    return comparison.ci_low, comparison.ci_high, comparison.confidence


def compared(
    what: str,
    value: float,
    other: float,
    whose: str,
    ci: tuple[float, float, float] | None = None,
    unit: str = "",
) -> str:
    """Say how a value stands to another: `roc_auc 0.912 is below the champion's 0.971 (−0.059)`."""
    difference = value - other
    if difference == 0:
        return f"{what} {number(value)}{unit} equals {whose} {number(other)}{unit}"
    digits = _digits(difference)
    side = "above" if difference > 0 else "below"
    about = _signed(difference, digits)
    if ci:
        low, high, confidence = ci
        about += f", {confidence * 100:g} % CI {_signed(low, digits)} … {_signed(high, digits)}"
    return (
        f"{what} {number(value, digits)}{unit} is {side} {whose} {number(other, digits)}{unit} "
        f"({about})"
    )


def _digits(difference: float) -> int:
    """At least three decimals, and enough to show a small difference, but never more than six."""
    return min(6, max(3, 1 - math.floor(math.log10(abs(difference)))))


def _signed(value: float, digits: int) -> str:
    return f"{value:+,.{digits}f}".replace("-", "−")
