"""The `monitoring` section of model.yaml: what is watched, how often, and what is too much."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from headrace.sections import Duration, Section, lasting

Share = Annotated[float, Field(gt=0, le=1)]


MEASURED: Mapping[str, frozenset[str]] = {
    "binary": frozenset(
        {
            *("roc_auc", "average_precision", "brier", "log_loss"),
            *("f1", "accuracy", "precision", "recall"),
        }
    ),
    "multiclass": frozenset({"f1", "accuracy"}),
    "regression": frozenset({"rmse", "mae", "r2"}),
}
"""Metrics that outcomes and predictions give, by the problem."""
BIAS_MEASURES = (
    *("CI", "DPL", "KL", "JS", "LP", "TVD", "KS", "CDDL"),
    *("DPPL", "DI", "DCA", "DCR", "SD", "RD", "DAR", "DRR", "AD", "TE", "CDDPL", "GE"),
)
"""Clarify's names: "Pre-training Bias Metrics", "Post-training Data and Model Bias Metrics"."""


class Drift(Section):
    """How much a distribution may differ from the training data's; effect sizes, not p-values."""

    psi: float | None = Field(0.2, gt=0, description="Population stability index.")
    jensen_shannon: Share | None = Field(None, description="Jensen-Shannon distance.")
    kolmogorov_smirnov: Share | None = Field(None, description="Kolmogorov-Smirnov distance.")
    l_infinity: Share | None = Field(None, description="Largest change of one value's share.")
    columns: dict[str, float] = Field(
        {}, description="Column: a limit of psi of its own; `0` leaves the column out."
    )


class DataQuality(Section):
    """How far live inputs may be from what the training data looked like."""

    nulls: Share = Field(0.1, description="Change of the share of missing values.")
    mistyped: Share = Field(0.1, description="Share of values of another type.")
    unseen: Share = Field(0.05, description="Share of texts the training data does not have.")
    out_of_range: Share = Field(0.05, description="Share of numbers beyond the training data's.")


class Quality(Section):
    """How well predictions must turn out, once their outcomes are known."""

    thresholds: dict[str, float] = Field(
        {}, description="Metric: the worst value that is acceptable in a window."
    )
    fall: float | None = Field(
        0.05,
        gt=0,
        description="By how much the primary metric may be worse than on the held-out rows.",
    )
    cost_per_prediction: float | None = Field(
        None, gt=0, description="What mistakes may cost per prediction (evaluation.cost)."
    )
    window: Duration = Field(lasting("7d"), ge=10, description="Predictions measured together.")
    wait: Duration = Field(
        lasting("30d"),
        ge=1,
        description="How long after a prediction its outcome may come; then it counts as missing.",
    )
    coverage: Share = Field(
        0.5, description="Share of a window's predictions whose outcome must be known."
    )


class Bias(Section):
    """Which groups are compared, and how far apart their predictions and outcomes may be."""

    facets: dict[str, list[str]] = Field(
        {}, description="Column: the values of the group that could be disadvantaged."
    )
    limits: dict[str, float] = Field(
        {"DPPL": 0.1},
        description="Measure as Clarify names it: the largest absolute value. DI, a ratio, is "
        "compared by its distance from 1.",
    )


class Attribution(Section):
    """Whether the features that matter are still those that mattered in training."""

    rows: int = Field(200, ge=20, le=2000, description="Requests explained per report.")
    ndcg: Share = Field(0.9, description="Less agreement of their ranks than this is drift.")


class Monitoring(Section):
    """What is watched while a version serves; `{}` for the defaults."""

    schedule: Duration = Field(
        lasting("1h"),
        ge=10,
        le=86400,
        description="How often, in whole minutes; also the width of the slots that windows are "
        "added up from, which may be less than a minute.",
    )
    window: Duration = Field(
        lasting("24h"), ge=10, le=30 * 86400, description="Traffic compared with training data."
    )
    rows: int = Field(
        100, ge=30, description="Fewer rows than this in a window are too little: unsure."
    )
    data_quality: DataQuality | None = Field(
        DataQuality(), description="Missing, mistyped, unseen and far-off values; null: not."
    )
    features: Drift | None = Field(
        Drift(), description="Drift of what is asked; null: not watched."
    )
    predictions: Drift | None = Field(
        Drift(), description="Drift of what is answered; null: not watched."
    )
    quality: Quality | None = Field(
        Quality(), description="Predictions against outcomes; null: not watched."
    )
    bias: Bias | None = Field(None, description="Absent: not watched.")
    attribution: Attribution | None = Field(
        None, description="Absent: not watched. It asks the endpoint to explain a few requests."
    )
    segments: list[str] = Field(
        [], max_length=3, description="Columns whose ten most frequent values are watched apart."
    )

    @property
    def facets(self) -> list[str]:
        """The columns whose groups are compared."""
        return [*self.bias.facets] if self.bias else []


def monitoring_mistakes(monitoring: Monitoring, problem: str) -> list[str]:
    """Return which limits are of numbers that live predictions of this problem do not give."""
    thresholds = monitoring.quality.thresholds if monitoring.quality else {}
    limits = monitoring.bias.limits if monitoring.bias else {}
    measured = MEASURED[problem]
    return [
        f"monitoring.quality.thresholds: {name!r} is not measured of live {problem} predictions: "
        f"choose one of {sorted(measured)}"
        for name in thresholds
        if name not in measured
    ] + [
        f"monitoring.bias.limits: {name!r} is unknown: choose one of {', '.join(BIAS_MEASURES)}"
        for name in limits
        if name not in BIAS_MEASURES
    ]
