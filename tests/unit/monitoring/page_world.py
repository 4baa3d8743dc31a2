"""Reports to make pages of: one of everything, and names as hostile as callers can send."""

from headrace.monitoring.report import (
    Bucket,
    ColumnReport,
    Feedback,
    Monitor,
    MonitorReport,
    Report,
    Segment,
    TrendPoint,
    Verdict,
)

HOSTILE = [
    "</td></table><script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</title></style><style>body{display:none}",
    "<svg/onload=alert(1)>&amp;&#60;",
    "javascript:alert(1)//{{7*7}}${7*7}{model}",
    "\u202egnp.exe\u0000\u0007\ud800",
    "",
]
MONITORS: list[Monitor] = [
    "data-quality",
    "feature-drift",
    "prediction-drift",
    "model-quality",
    "business",
    "bias",
    "attribution-drift",
]


def bars(many: int) -> list[Bucket]:
    """Values with a name, each as hostile as the next."""
    return [
        Bucket(label=f"{HOSTILE[i % len(HOSTILE)]} {i}", baseline=300 - i, window=i)
        for i in range(many)
    ]


def column(name: str, verdict: Verdict = "healthy", **parts: object) -> ColumnReport:
    buckets = [
        Bucket(label=f"{i} … {i + 1}", baseline=100 - i, window=i * 7 % 50, lower=i, upper=i + 1)
        for i in range(20)
    ]
    return ColumnReport.model_validate(
        {
            "name": name,
            "verdict": verdict,
            "reasons": [f"{name}: psi is 0.31; 0.2 is the limit"] if verdict == "drifted" else [],
            "measures": {"psi": 0.31, "jensen_shannon": 0.12, "mean": 12.5, "nulls": 0.01},
            "baseline": {"mean": 9.5, "nulls": 0.0},
            "buckets": [*buckets, *bars(3)],
        }
        | parts
    )


def monitor(which: Monitor, verdict: Verdict, **parts: object) -> MonitorReport:
    return MonitorReport.model_validate(
        {"monitor": which, "verdict": verdict, "reasons": [f"why {which}"], "rows": 1200} | parts
    )


def report(*monitors: MonitorReport, verdict: Verdict = "healthy", **parts: object) -> Report:
    return Report.model_validate(
        {
            "model": "credit-risk",
            "endpoint": "headrace-credit-risk",
            "package_version": 3,
            "run": "credit-risk-0f3c",
            "start": "2026-11-21T13:00:00+00:00",
            "end": "2026-11-22T13:00:00+00:00",
            "made_at": "2026-11-22T13:02:00+00:00",
            "verdict": verdict,
            "reasons": [],
            "monitors": monitors,
        }
        | parts
    )


def everything(names: list[str], *, verdict: Verdict = "drifted", segments: int = 4) -> Report:
    """A report in which every monitor has drifted, of columns with these names."""
    columns = [column(name, verdict) for name in names]
    bias = {"DPPL": 0.12, "DI": 0.7, "AD": None}
    found = [
        monitor("data-quality", verdict, columns=[column(n, verdict, buckets=[]) for n in names]),
        monitor(
            "feature-drift",
            verdict,
            headline="psi",
            numbers={"psi": 0.31},
            limits={"psi": 0.2},
            columns=columns,
        ),
        monitor("prediction-drift", verdict, columns=[column("score", verdict)]),
        monitor(
            "model-quality",
            verdict,
            headline="roc_auc",
            numbers={"roc_auc": 0.7, "recall": 0.615, "f1": None},
            baseline={"roc_auc": 0.8, "recall": 0.7},
            limits={"fall of roc_auc": 0.05},
        ),
        monitor("business", verdict, numbers={"cost_per_prediction": 64.2}),
        monitor("bias", verdict, columns=[column(n, verdict, measures=bias) for n in names[:3]]),
        monitor(
            "attribution-drift",
            verdict,
            columns=[
                column(n, verdict, measures={"training": 1 / (i + 1), "live": i}, buckets=[])
                for i, n in enumerate(names)
            ],
        ),
    ]
    found += [
        monitor(
            "feature-drift",
            verdict,
            columns=columns,
            segment=Segment(column=names[i % len(names)], value=names[-1 - i % len(names)]),
        )
        for i in range(segments)
    ]
    trend = [
        TrendPoint(
            at=f"2026-11-22T{hour:02d}:00:00+00:00",
            monitor=which,
            verdict=("healthy", "unsure", "drifted")[hour % 3],
            value=None if hour % 5 == 0 else hour / 20,
        )
        for which in MONITORS
        for hour in range(24)
    ]
    feedback = Feedback(predictions=8460, outcomes=5200, complete=False, delay_seconds_p90=734400)
    return report(
        *found, verdict=verdict, trend=trend, feedback=feedback, reasons=names, notes=names
    )
