"""Judges a window and keeps the report; the metrics, alarms and the fact that follow from it.

The report of a window may be made again: it stays where it is, and is no news twice by its trend.
"""

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel

from headrace.aws.endpoints import find_endpoint
from headrace.aws.ledger import Ledger
from headrace.aws.monitoring.alarms import ensure_monitor_alarms
from headrace.aws.monitoring.baselines import find_baseline
from headrace.aws.monitoring.explaining import explain_sample
from headrace.aws.monitoring.metrics import publish_metrics
from headrace.aws.monitoring.windows import (
    NO_OUTCOMES,
    Slots,
    Traffic,
    load_outcomes,
    load_traffic,
    time_of,
)
from headrace.aws.projects import find_model, load_definition
from headrace.aws.storage import Location, Storage
from headrace.definition import ModelDefinition
from headrace.events import MonitoringReported
from headrace.monitoring.baseline import Attributions, Baseline
from headrace.monitoring.judging import Learnt, Subject, Window, is_news, judge
from headrace.monitoring.layout import (
    VersionFolder,
    latest_report_key,
    report_key,
    report_page_key,
)
from headrace.monitoring.page import render
from headrace.monitoring.page.link import report_link
from headrace.monitoring.report import Report, Verdict
from headrace.monitoring.section import Quality
from headrace.records import EndpointRecord
from headrace.settings import Settings
from headrace_profiling.engine import Engine


class JudgeRequest(BaseModel):
    """What JudgeWindow is asked: whose window, and when it ends (now, if not said)."""

    model: str
    at: AwareDatetime | None = None


class JudgeVerdict(BaseModel):
    """JudgeWindow's answer; `reported` is the fact, to be announced if it is `newsworthy`."""

    verdict: Verdict | Literal["not serving"]
    newsworthy: bool = False
    report_uri: str | None = None
    reported: MonitoringReported | None = None


class Watcher(NamedTuple):
    """What judging a window needs of AWS."""

    settings: Settings
    storage: Storage
    ledger: Ledger
    engine: Engine
    cloudwatch: Any
    runtime: Any


def judge_window(request: JudgeRequest, aws: Watcher) -> JudgeVerdict:
    """Judge what the version that serves answered until a time; keep the report.

    Only the newest window has metrics and alarms, and is the latest.

    Raises:
        MonitoringError: a baseline or a slot cannot be read.
    """
    model = find_model(aws.ledger, request.model)
    live = find_endpoint(aws.ledger, model.endpoint) if model else None
    if model is None or live is None or not live.package_version or not live.run:
        return JudgeVerdict(verdict="not serving")
    definition = load_definition(aws.storage, aws.settings, model.model, model.project_version)
    now = datetime.now(UTC)
    end = min(request.at or now, now).replace(microsecond=0)
    latest = _latest(model.model, aws)
    report = judge(
        Subject(model.model, live.endpoint, live.package_version, live.run),
        *_evidence(live, definition, end, aws),
        definition,
        made_at=time_of(now),
        history=latest.trend if latest else (),
    )
    _keep(report, end, aws)
    if latest is None or latest.end <= report.end:
        ensure_monitor_alarms(report, definition, aws.settings, aws.cloudwatch)
        publish_metrics(report)
        _put(latest_report_key(model.model), report.to_json(), "application/json", aws)
    fact = _fact(report, end, aws.settings)
    return JudgeVerdict(
        verdict=report.verdict,
        newsworthy=is_news(report),
        report_uri=fact.report_uri,
        reported=fact,
    )


def _latest(model: str, aws: Watcher) -> Report | None:
    found = aws.storage.find_tagged(
        Location(aws.settings.artifacts_bucket, latest_report_key(model))
    )
    return Report.if_known(found[0]) if found else None


def _evidence(
    live: EndpointRecord, definition: ModelDefinition, end: datetime, aws: Watcher
) -> tuple[Learnt | None, Window]:
    """Load the baseline of the run that serves, and the window."""
    settings, watched = aws.settings, definition.monitoring
    known = find_baseline(live.model, live.run, settings.artifacts_bucket, aws.storage)
    baseline = known if isinstance(known, Baseline) else None
    folder = VersionFolder(live.model, int(live.package_version or 0))
    slots = Slots(folder, settings.artifacts_bucket, aws.storage)
    traffic = load_traffic(slots, end, watched.window)
    outcomes = NO_OUTCOMES
    if watched.quality or watched.bias:
        outcomes = load_outcomes(slots, end, watched.quality or Quality())
    attribution, notes = None, [known] if isinstance(known, str) else []
    if watched.attribution and baseline:
        explained = _explain(live, baseline, traffic, watched.attribution.rows, aws)
        if isinstance(explained, str):
            notes.append(f"attribution-drift: {explained}")
        else:
            attribution = explained
    start, ends = time_of(traffic.start), time_of(end)
    window = Window(start, ends, traffic.seen, outcomes, attribution, notes)
    return (Learnt.of(baseline) if baseline else None), window


def _explain(
    live: EndpointRecord, baseline: Baseline, traffic: Traffic, rows: int, aws: Watcher
) -> Attributions | str:
    if live.compares:
        return "two versions are compared, and either may explain"
    return explain_sample(
        traffic.parts,
        list(baseline.inputs["columns"]),
        rows,
        live.endpoint,
        aws.storage,
        aws.engine,
        aws.runtime,
    )


def _keep(report: Report, end: datetime, aws: Watcher) -> None:
    """Write the page first: whoever sees a report finds its page."""
    _put(report_page_key(report.model, end), render(report).encode(), "text/html", aws)
    _put(report_key(report.model, end), report.to_json(), "application/json", aws)


def _put(key: str, content: bytes, content_type: str, aws: Watcher) -> None:
    aws.storage.put_bytes(Location(aws.settings.artifacts_bucket, key), content, content_type)


def _fact(report: Report, end: datetime, settings: Settings) -> MonitoringReported:
    bucket = settings.artifacts_bucket
    page = report_page_key(report.model, end)
    return MonitoringReported(
        model=report.model,
        endpoint=report.endpoint,
        package_version=report.package_version,
        verdict=report.verdict,
        drifted=sorted({each.monitor for each in report.monitors if each.verdict == "drifted"}),
        reasons=report.reasons,
        start=report.start,
        end=report.end,
        report_uri=f"s3://{bucket}/{report_key(report.model, end)}",
        page=report_link(settings, page),
    )
