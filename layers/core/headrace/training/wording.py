"""How numbers are told to people: with the digits that matter and the difference spelt out."""

import math

from headrace.training.evaluation import Comparison


def number(value: float) -> str:
    """Write one number: thousands separated, whole ones without decimals."""
    return f"{value:,.{_digits(value)}f}"


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
    digits = _digits(value, other, *(ci[:2] if ci else ()))
    side = "above" if difference > 0 else "below"
    about = _signed(difference, digits)
    if ci:
        low, high, confidence = ci
        about += f", {confidence * 100:g} % CI {_signed(low, digits)} … {_signed(high, digits)}"
    return f"{what} {value:,.{digits}f}{unit} is {side} {whose} {other:,.{digits}f}{unit} ({about})"


def _digits(*values: float) -> int:
    """None if all are whole; else three, and enough (six at most) to tell the first two apart."""
    if all(value == int(value) for value in values):
        return 0
    difference = abs(values[0] - values[1]) if len(values) > 1 else 0
    return min(6, max(3, -math.floor(math.log10(difference)))) if difference else 3


def _signed(value: float, digits: int) -> str:
    return f"{value:+,.{digits}f}".replace("-", "−")
