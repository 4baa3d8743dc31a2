"""Loans for the judging tests: profiles of made-up rows, and outcomes of them."""

from functools import cache
from pathlib import Path

import duckdb
import numpy as np

from headrace.definition import ModelDefinition
from headrace.monitoring.baseline import Attributions
from headrace.monitoring.judging import (
    Learnt,
    Outcomes,
    Report,
    Scored,
    Seen,
    Subject,
    Window,
    judge,
)
from headrace.monitoring.report import Feedback, Segment
from headrace_profiling import Profile, profile
from headrace_profiling.bias import Facet
from headrace_profiling.model_quality import Binary

SUBJECT = Subject("credit-risk", "headrace-credit-risk", 3, "credit-risk-run")
END = "2026-11-22T13:00:00Z"
_LOANS = """
    select hash(i + {seed}) % 10007 / 100.0 + {shift} as car_value,
        case when hash(i + {seed}, 1) % 100 < {nulls} then null
             else ['low', 'middle', 'high'][1 + (hash(i + {seed}, 2) % 3)::int] end as salary,
        i as id
    from range({rows}) t(i)
"""


@cache
def loans(
    folder: Path, rows: int = 2000, *, seed: int = 0, shift: float = 0, nulls: int = 2
) -> Seen:
    """Return what is seen of loans whose cars are worth `shift` more."""
    file = folder / f"{rows}-{seed}-{shift}-{nulls}.parquet"
    query = _LOANS.format(rows=rows, seed=seed, shift=shift, nulls=nulls)
    duckdb.sql(f"copy ({query}) to '{file}' (format parquet)")
    inputs = profile(file)
    scores = Profile(inputs.rows, {"score": inputs.columns["car_value"]})
    return Seen(inputs, scores)


def scored(rows: int = 2000, *, skill: float = 2.0, seed: int = 0, unfair: float = 0.0) -> Scored:
    """Return outcomes of predictions that are the better the greater `skill`."""
    chance = np.random.default_rng(seed)
    outcomes = chance.random(rows) < 0.3
    scores = 1 / (1 + np.exp(-(skill * (outcomes - 0.5) + chance.normal(size=rows))))
    group = chance.random(rows) < 0.5
    said = (scores >= 0.5) | (group & (chance.random(rows) < unfair))
    facet = Facet.of(group, outcomes, True, said)
    return Scored(Binary.of(outcomes, scores), {}, {"region": facet})


def outcomes(of: Scored, *, predictions: int | None = None, complete: bool = True) -> Outcomes:
    known = of.counts.rows if of.counts else 0
    total = known if predictions is None else predictions
    feedback = Feedback(predictions=total, outcomes=known, complete=complete)
    return Outcomes("2026-11-15T13:00:00Z", END, feedback, of)


def learnt(folder: Path) -> Learnt:
    seen = loans(folder)
    segment = {Segment(column="salary", value="low"): seen}
    return Learnt(
        Seen(seen.inputs, seen.predictions, segment),
        scored(seed=9),
        Attributions(rows=500, features={"car_value": 3.0, "salary": 1.0, "tenure": 0.2}),
    )


def report(
    baseline: Learnt | None,
    seen: Seen,
    known: Outcomes | None = None,
    live: Attributions | None = None,
    **monitoring: object,
) -> Report:
    """Judge a window of these, in a project whose `monitoring` is this."""
    definition = ModelDefinition.model_validate(
        {
            "name": "credit-risk",
            "data": {"label": "defaulted", "entity": "id"},
            "evaluation": {"cost": {"false_positive": 120, "false_negative": 900}},
            "monitoring": monitoring,
        }
    )
    none = Outcomes("", "", Feedback(predictions=0, outcomes=0, complete=False))
    window = Window("2026-11-21T13:00:00Z", END, seen, known or none, live)
    return judge(SUBJECT, baseline, window, definition, made_at=END)
