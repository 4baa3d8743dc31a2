"""How things are called on the page, and how numbers and times are written."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from headrace.monitoring.report import Monitor, MonitorReport, Verdict

MONITORS: dict[Monitor, str] = {
    "data-quality": "Data quality",
    "feature-drift": "Feature drift",
    "prediction-drift": "Prediction drift",
    "model-quality": "Model quality",
    "business": "Business cost",
    "bias": "Bias",
    "attribution-drift": "Attribution drift",
}
GLYPHS: dict[Verdict, str] = {"drifted": "▲", "unsure": "?", "healthy": "✓"}
SEVERITY: dict[Verdict, int] = {"drifted": 2, "unsure": 1, "healthy": 0}
UNKNOWN = "–"

# Definitions: docs/profiling.md, and for bias the SageMaker developer guide ("Pre-training Bias
# Metrics", "Post-training Data and Model Bias Metrics").
NAMES = {
    "psi": "PSI",
    "jensen_shannon": "Jensen-Shannon",
    "kolmogorov_smirnov": "Kolmogorov-Smirnov",
    "kolmogorov_smirnov_p": "Kolmogorov-Smirnov p",
    "l_infinity": "L-infinity",
    "cramers_v": "Cramér's V",
    "chi_square": "Chi-square",
    "chi_square_p": "Chi-square p",
    "auc": "AUC",
    "auc_error": "AUC error",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "f0_5": "F0.5",
    "f1": "F1",
    "f2": "F2",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "r2": "R²",
    "ndcg": "NDCG",
    "nulls": "Missing",
    "faults": "Columns with faults",
    "brier": "Brier score",
}
MEANINGS = {
    "psi": "Population stability index: how differently values are spread over the bars. 0 is the "
    "same; 0.1 is a small change, above 0.2 a large one.",
    "jensen_shannon": "Distance of two distributions; 0 is the same, 1 has nothing in common.",
    "kolmogorov_smirnov": "Largest gap between the two cumulative shares; 0 to 1.",
    "l_infinity": "Largest change of one value's share.",
    "cramers_v": "Chi-square as an effect size from 0 to 1, whatever the number of rows.",
    "nulls": "Share of missing values.",
    "mistyped": "Share of values of another type than in training.",
    "unseen": "Share of texts that training data do not have.",
    "out_of_range": "Share of numbers beyond those of training data.",
    "auc": "Chance that a positive case is scored above a negative one; 0.5 is guessing.",
    "roc_auc": "Chance that a positive case is scored above a negative one; 0.5 is guessing.",
    "brier": "Mean squared distance of the score from the outcome; 0 is perfect.",
    "brier_score": "Mean squared distance of the score from the outcome; 0 is perfect.",
    "average_precision": "Mean precision over the positive cases, by falling score; 1 is perfect.",
    "calibration_error": "How far scores are from the shares that came true.",
    "ndcg": "Agreement of the ranks of features by what they contribute; 1 is the same order.",
    "CI": "Class imbalance: how much rarer the group is.",
    "DPL": "Difference in proportions of positive outcomes.",
    "KL": "Kullback-Leibler divergence of outcomes.",
    "JS": "Jensen-Shannon divergence of outcomes.",
    "LP": "Lp-norm of the difference of outcomes.",
    "TVD": "Total variation distance of outcomes.",
    "KS": "Kolmogorov-Smirnov distance of outcomes.",
    "CDDL": "Conditional demographic disparity of outcomes.",
    "DPPL": "Difference in positive proportions of predictions.",
    "DI": "Disparate impact: ratio of positive predictions; 1 is equal.",
    "DCA": "Difference in conditional acceptance.",
    "DCR": "Difference in conditional rejection.",
    "SD": "Specificity difference.",
    "RD": "Recall difference.",
    "DAR": "Difference in acceptance rates (precision).",
    "DRR": "Difference in rejection rates.",
    "AD": "Accuracy difference.",
    "TE": "Treatment equality: false negatives per false positive.",
    "CDDPL": "Conditional demographic disparity of predictions.",
    "FT": "Counterfactual fliptest.",
    "GE": "Generalized entropy.",
}
_NOTHING = 0.0005  # three digits after the point would be zeros
HIGHER_IS_BETTER = frozenset(
    {
        "accuracy",
        "precision",
        "recall",
        "true_positive_rate",
        "true_negative_rate",
        "f0_5",
        "f1",
        "f2",
        "auc",
        "roc_auc",
        "pr_auc",
        "average_precision",
        "r2",
        "ndcg",
        "coverage",
    }
)
_SHARES = frozenset(
    {
        "nulls",
        "not_finite",
        "mistyped",
        "unseen",
        "out_of_range",
        "coverage",
        "accuracy",
        "precision",
        "recall",
        "true_positive_rate",
        "true_negative_rate",
        "false_positive_rate",
        "false_negative_rate",
    }
)


def called(name: str) -> str:
    """Return what a measure is called; Clarify's names and unknown ones are their own."""
    if name in NAMES or name.isupper():
        return NAMES.get(name, name)
    return name.replace("_", " ").capitalize()


def number(value: float | None, name: str = "") -> str:
    """Return a number as people read it: shares in percent, counts whole, else three digits."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if name in _SHARES:
        return share(value)
    if name.endswith("_p") and 0 <= value < 0.001:
        return "< 0.001"
    size = abs(value)
    if float(value).is_integer() and size < 1e15:
        said = f"{size:,.0f}"
    elif size >= 1:
        digits = 2 if size < 10 else 1 if size < 100 else 0
        said = f"{size:,.{digits}f}" if size < 1e9 else f"{size:.3g}"
    elif size < _NOTHING:
        return "≈ 0"
    else:
        said = f"{size:.3f}"
    return f"−{said}" if value < 0 else said


def share(value: float) -> str:
    """Return a share in percent."""
    percent = value * 100
    if 0 < percent < 0.1:
        return "< 0.1%"
    return f"{percent:.0f}%" if percent in {0, 100} else f"{percent:.1f}%"


def change(value: float, name: str) -> str:
    """Return a difference with its sign; that of shares in points of a percent."""
    said = f"{abs(value) * 100:.1f} pts" if name in _SHARES else number(abs(value), name)
    if value == 0 or said.startswith("≈"):
        return said
    return f"+{said}" if value > 0 else f"−{said}"


def limit(value: float | None, name: str) -> str:
    """Return a limit with its direction."""
    if value is None:
        return UNKNOWN
    return f"{'at least' if name in HIGHER_IS_BETTER else 'at most'} {chosen(value, name)}"


def chosen(value: float, name: str = "") -> str:
    """Return a number that somebody chose, or what follows from it: without zeros at its end."""
    if name in _SHARES:
        return f"{value * 100:.3g}%"
    return f"{value:.3g}" if abs(value) < 1000 else number(value)


def count(many: int, one: str, several: str = "") -> str:
    """Return how many there are of something: `1 column`, `1,200 columns`."""
    return f"{many:,} {one if many == 1 else several or one + 's'}"


def moment(at: str) -> str:
    """Return a time as `22 Nov 2026, 13:00 UTC`; as it stands when it is none."""
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return at
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    found = found.astimezone(UTC)
    return f"{found.day} {found:%b %Y, %H:%M} UTC"


def span(start: str, end: str) -> str:
    """Return how long a window is: `24 hours`, `7 days`."""
    try:
        seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return "window"
    return duration(seconds)


def duration(seconds: float) -> str:
    """Return a duration in its largest sensible unit."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        # Two days and more are days; 24 hours, as the setting says, are hours.
        if seconds >= size * (2 if size == 86400 else 1):
            many = round(seconds / size, 1)
            return f"{many:g} {unit}{'' if many == 1 else 's'}"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"


def listed(words: Iterable[str]) -> str:
    """Return `a, b and c`."""
    found = list(words)
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def headline(monitor: MonitorReport) -> str | None:
    """Return the name of the number that stands for a monitor: its own, or the first limited."""
    if monitor.headline:
        return monitor.headline
    return next((name for name in monitor.limits if name in monitor.numbers), None)


def limit_of(monitor: MonitorReport, name: str) -> float | None:
    """Return what a number is held against; how far it may fall counts from the held-out rows."""
    if name in monitor.limits:
        return monitor.limits[name]
    fall, before = monitor.limits.get(f"fall of {name}"), monitor.baseline.get(name)
    if fall is None or before is None:
        return None
    return before - fall if name in HIGHER_IS_BETTER else before + fall
