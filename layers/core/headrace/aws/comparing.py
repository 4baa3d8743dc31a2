"""Two versions on one endpoint: what was captured, measured and told of both, and the verdict."""

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from headrace.aws.storage import Location, Storage
from headrace.definition import Deployment
from headrace.deployment.captured import Exchange, Prediction, read_exchange
from headrace.deployment.comparison import OUTCOME_LOOKS, lasts, pause
from headrace.deployment.experiment import CHALLENGER, CHAMPION, Experiment, Tally, assign, judge
from headrace.deployment.shadow import Pair, Traffic, compare, compare_errors
from headrace.records import DeploymentRecord, EndpointRecord
from headrace.settings import Settings

# Predictions of a shadow, and outcomes, that are compared at most: they have to fit into memory.
_MOST = 100_000
_HOUR = 3600
_DAY = 86400


class Comparer(NamedTuple):
    """What comparing needs of AWS."""

    settings: Settings
    storage: Storage
    cloudwatch: Any


class Look(NamedTuple):
    """What a look at a comparison says; `continue` after `wait` seconds, with these `changes`."""

    outcome: Literal["continue", "promoted", "worse", "no difference", "unsure"]
    reasons: list[str]
    wait: int = 0
    changes: dict[str, Any] = {}  # noqa: RUF012 — a NamedTuple's default, never changed


class _Span(NamedTuple):
    """Where a comparison goes on, and when."""

    model: str
    endpoint: str
    config: str
    since: datetime
    now: datetime


def look(record: DeploymentRecord, live: EndpointRecord, wanted: Deployment, aws: Comparer) -> Look:
    """Look at a comparison: it goes on, or this is its verdict.

    A shadow that got too little traffic in its time is prolonged once by as much.
    """
    now = datetime.now(UTC)
    since = datetime.fromisoformat(record.comparing_since or now.isoformat())
    span = _Span(record.model, live.endpoint, live.endpoint_config or "", since, now)
    kind = record.comparison or "shadow"
    minute = aws.settings.minute_seconds
    lasting = lasts(wanted, kind) * minute / 60 * (2 if record.prolonged else 1)
    passed = (now - since).total_seconds()
    left = lasting - passed
    between = pause(wanted, kind) * minute / 60
    wait = max(1, math.ceil(min(between, left if left > 0 else _HOUR)))
    if live.paused:
        return Look("continue", [f"automation is paused: {live.paused}"], wait)
    if kind == "shadow" and wanted.shadow:
        if left > 0:
            return Look("continue", [], wait)
        verdict = compare(
            _pairs(span, aws),
            _traffic(span, CHAMPION, aws.cloudwatch),
            _traffic(span, CHALLENGER, aws.cloudwatch),
            wanted.shadow,
        )
        if verdict.outcome == "unsure" and not record.prolonged:
            again = max(1, math.ceil(lasting))
            return Look("continue", verdict.reasons, again, {"prolonged": True})
        return Look(verdict.outcome, verdict.reasons)
    if wanted.ab is None:
        return Look("unsure", ["the project asks for no such comparison any more"])
    is_due = left <= 0 or passed % (lasting / OUTCOME_LOOKS) < between
    seen = _errors(span, wanted.ab, aws)
    if seen.outcome == "continue" and is_due:
        seen = _outcome(span, wanted.ab, seen.reasons, aws, over=left <= 0)
    return seen._replace(wait=wait)


def _errors(span: _Span, experiment: Experiment, aws: Comparer) -> Look:
    production, candidate = (
        _traffic(span, variant, aws.cloudwatch) for variant in (CHAMPION, CHALLENGER)
    )
    errors = compare_errors(production, candidate, experiment.errors)
    return Look("worse" if errors.outcome == "worse" else "continue", [errors.told])


def _outcome(
    span: _Span, experiment: Experiment, errors: list[str], aws: Comparer, *, over: bool
) -> Look:
    told = _outcomes(span, experiment, aws)
    variants = _variants(span, experiment, told, aws)
    champion, challenger = (
        Tally.of(value for who, value in told.items() if variants.get(who) == variant)
        for variant in (CHAMPION, CHALLENGER)
    )
    verdict = judge(champion, challenger, experiment, over=over)
    notes = [f"only the first {_MOST} outcomes were read"] if len(told) == _MOST else []
    return Look(verdict.outcome, [*verdict.reasons, *errors, *notes])


def _pairs(span: _Span, aws: Comparer) -> list[Pair]:
    """Return the predictions of both for the same requests, the first of them if there are many."""
    copies: dict[str, list[tuple[Prediction, ...]]] = defaultdict(list)
    number = 0
    for exchange in _exchanges(span, CHALLENGER, aws):
        copies[exchange.key].append(exchange.predictions)
        number += len(exchange.predictions)
        if number >= _MOST:
            break
    pairs: list[Pair] = []
    for exchange in _exchanges(span, CHAMPION, aws):
        if not copies:
            break
        if exchange.key not in copies:
            continue
        answer = copies[exchange.key].pop()
        if not copies[exchange.key]:
            del copies[exchange.key]
        if len(answer) == len(exchange.predictions):
            pairs += zip(exchange.predictions, answer, strict=True)
    return pairs


def _outcomes(span: _Span, experiment: Experiment, aws: Comparer) -> dict[str, float]:
    """Return one outcome for each entity or request: the first that came."""
    found: dict[str, float] = {}
    for row in _rows(span, aws):
        who = row.get(experiment.entity or "inference_id")
        value = row.get(experiment.outcome)
        if who is not None and isinstance(value, int | float) and math.isfinite(value):
            found.setdefault(str(who), float(value))
        if len(found) == _MOST:
            break
    return found


def _variants(
    span: _Span, experiment: Experiment, told: Collection[str], aws: Comparer
) -> dict[str, str]:
    """Return which variant answered, of those whose outcomes were told."""
    if experiment.entity:
        return {who: assign(who, span.config, experiment.percent) for who in told}
    return {
        exchange.inference_id: variant
        for variant in (CHAMPION, CHALLENGER)
        for exchange in _exchanges(span, variant, aws)
        if exchange.inference_id and exchange.inference_id in told
    }


def _rows(span: _Span, aws: Comparer) -> Iterator[dict[str, Any]]:
    """Yield the outcomes that were written since the comparison began, and are not of before."""
    bucket = aws.settings.data_bucket
    objects = aws.storage.list(bucket, f"outcomes/{span.model}/")
    for found in sorted(objects, key=lambda each: (each["LastModified"], each["Key"])):
        # Files of other kinds hold outcomes of the label alone: monitoring reads those.
        if found["Key"].endswith((".csv", ".parquet")):
            continue
        # S3 tells whole seconds.
        if found["LastModified"] < span.since.replace(microsecond=0):
            continue
        for line in aws.storage.lines(Location(bucket, found["Key"])):
            row = _row(line)
            if row and not _is_before(str(row.get("time", "")), span.since):
                yield row


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _is_before(time: str, since: datetime) -> bool:
    try:
        told = datetime.fromisoformat(time)
    except ValueError:
        return False
    return (told if told.tzinfo else told.replace(tzinfo=UTC)) < since.replace(microsecond=0)


def _exchanges(span: _Span, variant: str, aws: Comparer) -> Iterator[Exchange]:
    """Yield a variant's captured requests since the comparison began, in their order by hour."""
    bucket, folder = aws.settings.artifacts_bucket, f"captures/{span.endpoint}/{variant}/"
    first = f"{folder}{span.since:%Y/%m/%d/%H}"
    for day in _days(span):
        for each in aws.storage.list(bucket, f"{folder}{day}/"):
            if each["Key"] < first:
                continue
            for line in aws.storage.lines(Location(bucket, each["Key"])):
                exchange = read_exchange(line)
                if exchange and not _is_before(exchange.at, span.since):
                    yield exchange


def _days(span: _Span) -> list[str]:
    days = (span.now.date() - span.since.date()).days + 1
    return [f"{span.since + timedelta(days=n):%Y/%m/%d}" for n in range(days)]


def _traffic(span: _Span, variant: str, cloudwatch: Any) -> Traffic:
    """Return what CloudWatch counted of a variant; of several days the slowest counts."""
    period = min(math.ceil((span.now - span.since).total_seconds() / _HOUR) * _HOUR or _HOUR, _DAY)

    def points(metric: str, **statistic: list[str]) -> list[dict[str, Any]]:
        reply = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[
                {"Name": "EndpointName", "Value": span.endpoint},
                {"Name": "VariantName", "Value": variant},
            ],
            StartTime=span.since,
            EndTime=span.now,
            Period=period,
            **statistic,
        )
        return list(reply["Datapoints"])

    requests = sum(p["Sum"] for p in points("Invocations", Statistics=["Sum"]))
    errors = sum(p["Sum"] for p in points("InvocationModelErrors", Statistics=["Sum"]))
    slow = [
        p["ExtendedStatistics"]["p99"] for p in points("ModelLatency", ExtendedStatistics=["p99"])
    ]
    # In microseconds.
    return Traffic(int(requests), int(errors), max(slow) / 1000 if slow else None)
