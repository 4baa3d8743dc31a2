"""Recoveries: what rings, what served before, what was tried; then the policy's remedy, once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import BaseModel

from headrace.aws.alarms import describe_alarms, ringing_monitors
from headrace.aws.deployments import last_good
from headrace.aws.endpoints import describe_endpoint, find_endpoint
from headrace.aws.ledger import Ledger
from headrace.aws.projects import find_model, load_definition
from headrace.aws.storage import Location, Storage
from headrace.deployment.alarms import (
    MONITORS,
    alarm_name,
    composed_of,
    composite_name,
    kind_of,
)
from headrace.events import RemedyChosen, RetrainingRequested
from headrace.monitoring.layout import latest_report_key
from headrace.monitoring.report import Report
from headrace.names import model_of, recovery_id
from headrace.records import (
    DeploymentRecord,
    EndpointRecord,
    ModelRecord,
    RecoveryRecord,
    model_partition,
    now,
)
from headrace.recovery import Choice, Earlier, Situation, choose
from headrace.requests import Request, build_rejection
from headrace.settings import Settings

_MOST_REASONS = 1  # of a monitor: its worst column; the report has the rest


class AlarmState(BaseModel):
    """State of an alarm, in the event of its change."""

    value: str
    timestamp: str


class AlarmChange(BaseModel):
    """What is used of `CloudWatch Alarm State Change`."""

    alarmName: str  # noqa: N815 — AWS's spelling
    state: AlarmState


class RemedyRequest(BaseModel):
    """What ChooseRemedy is asked, with the execution that asks."""

    detail: AlarmChange
    execution: str


class RemedyVerdict(BaseModel):
    """ChooseRemedy's answer: requests for the remedy, and the fact to announce."""

    remedy: str
    chosen: RemedyChosen | None = None
    rejection: Request | None = None
    retraining: RetrainingRequested | None = None


class Recoverer(NamedTuple):
    """What recovery needs of AWS."""

    settings: Settings
    ledger: Ledger
    storage: Storage
    sagemaker: Any
    cloudwatch: Any


def choose_remedy(request: RemedyRequest, aws: Recoverer) -> RemedyVerdict:
    """Look at the endpoint whose alarm rang, choose a remedy, and write it down; once per ringing.

    The alarms are asked again: the event may be old, and by now all may be well.
    """
    alarm = request.detail
    endpoint = alarm.alarmName.rpartition("/")[0]
    model = _find_model(endpoint, aws)
    heard = [composite_name(endpoint), alarm_name(endpoint, "traffic")]
    heard += [alarm_name(endpoint, monitor) for monitor in MONITORS]
    if model is None or alarm.alarmName not in heard:
        return RemedyVerdict(remedy="none")
    live = find_endpoint(aws.ledger, endpoint)
    definition = load_definition(aws.storage, aws.settings, model.model, model.project_version)
    rings = _ringing(endpoint, live, aws)
    earlier = list(aws.ledger.query(RecoveryRecord, model_partition(model.model), "recovery#"))
    name = recovery_id(alarm.alarmName, alarm.state.timestamp)
    before = next((each for each in earlier if each.recovery == name), None)
    if before is None:
        choice = choose(_situation(model, live, endpoint, rings, earlier, aws), definition.recovery)
        if choice.remedy == "wait" and _was_said(rings, earlier):
            return RemedyVerdict(remedy="none")
        record = _record(model, live, name, endpoint, rings, choice, request.execution)
        before = aws.ledger.create(record) or record
    if before.execution_arn != request.execution:
        return RemedyVerdict(remedy="none")  # a second event of one ringing
    return _verdict(before)


def _find_model(endpoint: str, aws: Recoverer) -> ModelRecord | None:
    name = model_of(aws.settings.stack, endpoint)
    model = find_model(aws.ledger, name) if name else None
    return model if model and model.endpoint == endpoint else None


def _ringing(endpoint: str, live: EndpointRecord | None, aws: Recoverer) -> list[str]:
    """Return what rings of the alarms that the endpoint has.

    Those are its last deployment's, whatever was published since: the composite's rule knows them.
    """
    composites = describe_alarms([composite_name(endpoint)], aws.cloudwatch)
    names = [name for each in composites for name in composed_of(each.rule)]
    names.append(alarm_name(endpoint, "traffic"))
    found = [each.name for each in describe_alarms(names, aws.cloudwatch) if each.state == "ALARM"]
    version = live.package_version if live else None
    return found + ringing_monitors(endpoint, version, aws.cloudwatch)


def _seen(
    model: str, live: EndpointRecord | None, kinds: frozenset[str], aws: Recoverer
) -> Iterator[str]:
    """Yield what the latest report says of the monitors that ring, if it is of what serves."""
    found = None
    if kinds & {*MONITORS}:
        place = Location(aws.settings.artifacts_bucket, latest_report_key(model))
        found = aws.storage.find_tagged(place)
    if found is None:
        return
    report = Report.if_known(found[0])
    if report is None or live is None or report.package_version != live.package_version:
        return
    told: set[str] = set()
    # All rows come before segments, which are told where all rows are well.
    for each in sorted(report.monitors, key=lambda each: each.segment is not None):
        if each.monitor in kinds and each.verdict == "drifted" and each.monitor not in told:
            told.add(each.monitor)
            where = f" where {each.segment.column} is {each.segment.value}" if each.segment else ""
            yield f"{each.monitor}{where}: {'; '.join(each.reasons[:_MOST_REASONS])}"


def _was_said(rings: list[str], earlier: list[RecoveryRecord]) -> bool:
    """Tell whether people heard already that nothing is done about this, for now."""
    last = max(earlier, key=lambda each: each.at, default=None)
    return bool(last and last.remedy == "wait" and last.alarms == rings)


def _situation(
    model: ModelRecord,
    live: EndpointRecord | None,
    endpoint: str,
    rings: list[str],
    earlier: list[RecoveryRecord],
    aws: Recoverer,
) -> Situation:
    good = last_good(
        model.model, aws.sagemaker, aws.ledger, before=live.package_arn if live else None
    )
    partition = model_partition(model.model)
    deployments = list(aws.ledger.query(DeploymentRecord, partition, "deployment#"))
    under_way = [d.deployment for d in deployments if d.is_under_way]
    kinds = frozenset(kind_of(name, endpoint) for name in rings)
    return Situation(
        now=datetime.now(UTC),
        rings=kinds,
        seen=tuple(_seen(model.model, live, kinds, aws)),
        live_version=live.package_version if live else None,
        live_since=datetime.fromisoformat(live.live_since) if live and live.live_since else None,
        last_good=good.version if good else None,
        brought_back=_was_brought_back(deployments),
        deploying=under_way[0] if under_way else None,
        paused=live.paused if live else None,
        disagrees=_disagreement(live, aws),
        earlier=tuple(_tried(earlier, deployments)),
    )


def _disagreement(live: EndpointRecord | None, aws: Recoverer) -> str | None:
    """Say that the endpoint serves something else than the ledger's version."""
    if live is None or live.endpoint_config is None:
        return None
    state = describe_endpoint(aws.sagemaker, live.endpoint)
    if state and state.config == live.endpoint_config:
        return None
    return f"it serves {state.config}" if state else "it does not exist"


def _was_brought_back(deployments: list[DeploymentRecord]) -> bool:
    """Tell whether what serves is there because a newer version was taken back."""
    ended = [d for d in deployments if d.ended_at and (d.status == "live" or d.went_back)]
    return bool(ended) and max(ended, key=lambda d: d.ended_at or "").went_back


def _tried(
    recoveries: list[RecoveryRecord], deployments: list[DeploymentRecord]
) -> Iterator[Earlier]:
    """Yield what was tried against what rings, be it by a bake's alarm, a person or recovery.

    Going back says nothing about a new version that went live since.
    """
    since = max((d.ended_at or "" for d in deployments if d.went_forward), default="")
    for recovery in recoveries:
        if recovery.remedy != "roll back" or recovery.at > since:
            yield Earlier(recovery.remedy, datetime.fromisoformat(recovery.at))
    for deployment in deployments:
        if deployment.went_back and deployment.ended_at and deployment.ended_at > since:
            yield Earlier("roll back", datetime.fromisoformat(deployment.ended_at))


def _record(
    model: ModelRecord,
    live: EndpointRecord | None,
    name: str,
    endpoint: str,
    rings: list[str],
    choice: Choice,
    execution: str,
) -> RecoveryRecord:
    return RecoveryRecord(
        model=model.model,
        recovery=name,
        endpoint=endpoint,
        alarms=rings,
        remedy=choice.remedy,
        reasons=choice.reasons,
        package_arn=live.package_arn if live else None,
        package_version=live.package_version if live else None,
        restore_version=choice.restore,
        execution_arn=execution,
        at=now(),
    )


def _verdict(record: RecoveryRecord) -> RemedyVerdict:
    """Return what carries the remedy out.

    Rejecting the version that serves is what rolls back: the registry's event starts it, as when a
    person rejects it, and the reconciler finds it should that event be lost.
    """
    why = "; ".join(record.reasons)
    back = record.remedy in ("roll back", "both")
    again = record.remedy in ("retrain", "both")
    return RemedyVerdict(
        remedy=record.remedy,
        chosen=RemedyChosen(
            model=record.model,
            recovery=record.recovery,
            endpoint=record.endpoint,
            alarms=record.alarms,
            remedy=record.remedy,
            reasons=record.reasons,
        ),
        rejection=build_rejection(
            str(record.package_arn), f"Rolled back by recovery {record.recovery}: {why}"
        )
        if back
        else None,
        retraining=RetrainingRequested(
            model=record.model, request=record.recovery, reason=f"alarms: {why}"
        )
        if again
        else None,
    )
