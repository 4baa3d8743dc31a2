"""Bias and attribution drift: whom predictions favour, and what the model decides by."""

import math

import numpy as np

from headrace.monitoring.baseline import Attributions
from headrace.monitoring.judging.evidence import Outcomes, Scored
from headrace.monitoring.judging.quality import why_unsure
from headrace.monitoring.judging.scores import RARE_SIGMAS, against_change, finite
from headrace.monitoring.judging.wording import listed
from headrace.monitoring.report import ColumnReport, MonitorReport, Verdict
from headrace.monitoring.section import Attribution, Bias, Quality
from headrace_profiling.attribution import ndcg
from headrace_profiling.bias import Facet

_RESAMPLES = 100
_RATIOS = {"DI"}  # 1 means no bias


def judge_bias(
    scored: Scored, held_out: Scored, outcomes: Outcomes, limits: Bias, quality: Quality, rows: int
) -> MonitorReport:
    """Say whether groups are treated apart, by Clarify's measures; each group needs its rows."""
    columns = [
        _facet(column, scored.facets.get(column), held_out.facets.get(column), limits, rows)
        for column in limits.facets
    ]
    counted = scored.counts.rows if scored.counts else 0
    unsure = why_unsure(outcomes, quality, rows, counted)
    if unsure:
        columns = [c.model_copy(update={"verdict": "unsure", "reasons": []}) for c in columns]
    columns.sort(key=lambda c: ("drifted", "unsure", "healthy").index(c.verdict))
    verdict, reasons = ("unsure", [unsure]) if unsure else _sum_up(columns, limits)
    headline = next(iter(limits.limits), "DPPL")
    apart = [c.measures[headline] for c in columns if c.measures.get(headline) is not None]
    return MonitorReport(
        monitor="bias",
        verdict=verdict,
        reasons=reasons,
        rows=counted,
        headline=headline,
        numbers={headline: max(apart, key=lambda v: _distance(headline, v or 0.0), default=None)},
        limits=limits.limits,
        columns=columns,
    )


def judge_attribution(
    training: Attributions | None, live: Attributions | None, limits: Attribution, rows: int
) -> MonitorReport:
    """Say whether features are ranked as in training (NDCG; Clarify's attribution drift)."""
    explained = live.rows if live else 0
    score = ndcg(training.features, live.features) if training and live else None
    wanted = min(limits.rows, rows)
    verdict: Verdict = "unsure"
    if training is None:
        reasons = ["the baseline has no attributions: only XGBoost models explain themselves"]
    elif live is None or explained < wanted:
        reasons = [f"{explained} requests were explained, it takes {wanted} to tell"]
    elif score is None:
        reasons = ["no feature moved a prediction in training"]
    else:
        verdict = "drifted" if score < limits.ndcg else "healthy"
        reasons = [
            f"the ranks of features agree to {score:.3g} (ndcg); {limits.ndcg:g} is the limit"
        ]
        reasons += _moved(training, live) if verdict == "drifted" else []
    return MonitorReport(
        monitor="attribution-drift",
        verdict=verdict,
        reasons=listed(reasons),
        rows=explained,
        headline="ndcg",
        numbers={"ndcg": score},
        limits={"ndcg": limits.ndcg},
        columns=_features(training, live, verdict) if training and live else [],
    )


def _facet(
    column: str, live: Facet | None, before: Facet | None, limits: Bias, rows: int
) -> ColumnReport:
    """Hold one column's groups against the limits."""
    measures = _measures(live) if live else {}
    groups = live.rows if live else (0, 0)
    verdicts: list[tuple[Verdict, str]] = []
    if min(groups) < rows:
        told = f"the groups have {groups[1]} and {groups[0]} rows, it takes {rows} of each to tell"
        verdicts.append(("unsure", told))
    elif live:
        errors = _errors(live)
        known = _measures(before) if before else {}
        for name, limit in limits.limits.items():
            verdicts.append(_check(name, measures.get(name), errors, known.get(name), limit))
    worst: Verdict = next(
        (v for v in ("drifted", "unsure") if any(each[0] == v for each in verdicts)), "healthy"
    )
    return ColumnReport(
        name=column,
        verdict=worst,
        reasons=[told for verdict, told in verdicts if verdict == worst != "healthy"],
        measures=finite(measures),
        baseline=finite(_measures(before)) if before else {},
    )


def _check(
    name: str,
    value: float | None,
    errors: dict[str, float],
    before: float | None,
    limit: float,
) -> tuple[Verdict, str]:
    if value is None:
        return "unsure", f"{name} is not defined for these rows"
    noise = RARE_SIGMAS * errors.get(name, math.inf)
    verdict = against_change(_distance(name, value), noise, limit)
    told = f"{name} is {value:.3g}" + ("" if before is None else f" ({before:.3g} held out)")
    told += f"; {limit:g}{' from 1' if name in _RATIOS else ''} is the limit"
    if verdict == "unsure":
        told += f", and in so few rows chance alone makes {noise:.2g}"
    return verdict, told


def _distance(name: str, value: float) -> float:
    return abs(value - 1) if name in _RATIOS else abs(value)


def _measures(facet: Facet) -> dict[str, float | None]:
    return {**facet.pre_training(), **facet.post_training()}


def _errors(facet: Facet) -> dict[str, float]:
    """Return how far measures are off by chance: their spread when rows are drawn again."""
    keys, counts = list(facet.counts), np.array(list(facet.counts.values()))
    chance = np.random.default_rng(0)
    drawn = [
        _measures(Facet({key: int(n) for key, n in zip(keys, draw, strict=True) if n}))
        for draw in chance.multinomial(int(counts.sum()), counts / counts.sum(), _RESAMPLES)
    ]
    found = {}
    for name in drawn[0]:
        values = [v for each in drawn if (v := each[name]) is not None and math.isfinite(v)]
        if len(values) > _RESAMPLES // 2:
            found[name] = float(np.std(values, ddof=1))
    return found


def _sum_up(columns: list[ColumnReport], limits: Bias) -> tuple[Verdict, list[str]]:
    if not columns or not limits.limits:
        missing = "facets" if not columns else "limits"
        return "unsure", [f"there is nothing to compare (monitoring.bias.{missing} is empty)"]
    for verdict in ("drifted", "unsure"):
        told = [f"{c.name}: {r}" for c in columns if c.verdict == verdict for r in c.reasons]
        if told:
            return verdict, listed(told)
    return "healthy", [f"groups of {', '.join(c.name for c in columns)} are within the limits"]


def _features(training: Attributions, live: Attributions, verdict: Verdict) -> list[ColumnReport]:
    """Return features by how much their share of all attributions changed, the most first."""
    was, now = _shares(training), _shares(live)
    names = sorted({*was, *now}, key=lambda name: (-abs(was.get(name, 0) - now.get(name, 0)), name))
    moved = {name for name, *_ in _ranks(training, live)} if verdict == "drifted" else set()
    return [
        ColumnReport(
            name=name,
            verdict="drifted" if name in moved else "unsure" if verdict == "unsure" else "healthy",
            measures={
                "training": training.features.get(name, 0.0),
                "live": live.features.get(name, 0.0),
            },
        )
        for name in names
    ]


def _moved(training: Attributions, live: Attributions) -> list[str]:
    return [
        f"{name} is number {now}, it was number {was}" for name, was, now in _ranks(training, live)
    ]


def _ranks(training: Attributions, live: Attributions) -> list[tuple[str, int, int]]:
    """Return (feature, rank then, rank now) of what moved, the most important then first."""
    ranks = [
        {name: rank for rank, name in enumerate(_ranked(side), 1)} for side in (training, live)
    ]
    last = len(ranks[1]) + 1
    moved = [(name, was, ranks[1].get(name, last)) for name, was in ranks[0].items()]
    return [each for each in moved if each[1] != each[2]]


def _ranked(side: Attributions) -> list[str]:
    return sorted(side.features, key=lambda name: (-side.features[name], name))


def _shares(side: Attributions) -> dict[str, float]:
    total = sum(side.features.values()) or 1.0
    return {name: value / total for name, value in side.features.items()}
