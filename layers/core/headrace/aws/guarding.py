"""Alarms of endpoints: made with a deployment, and looked at before traffic moves."""

from typing import Any, Literal

from pydantic import BaseModel

from headrace.aws.alarms import describe_alarms
from headrace.aws.endpoints import (
    EndpointRequest,
    find_endpoint,
    load_deployment,
    refuse_deployment,
)
from headrace.aws.ledger import Ledger
from headrace.deployment.alarms import (
    Alarms,
    build_alarms,
    build_composite_alarm,
    build_guards,
    composite_name,
    is_guard_of_another,
    unwanted,
)
from headrace.events import DeploymentRefused
from headrace.requests import VARIANT, build_tags
from headrace.settings import Settings

_DELETED = 100  # DeleteAlarms: names at most


class GuardRequest(BaseModel):
    """What GuardEndpoint is asked."""

    target: EndpointRequest


class GuardVerdict(BaseModel):
    """GuardEndpoint's answer: the endpoint is watched, or the refusal to announce.

    A version that is compared there already is taken away first (`restorable`).
    """

    outcome: Literal["guarded", "restorable", "refused"]
    refusal: DeploymentRefused | None = None
    restore: EndpointRequest | None = None


def guard_endpoint(
    target: EndpointRequest, settings: Settings, ledger: Ledger, cloudwatch: Any
) -> GuardVerdict:
    """Make the endpoint's alarms match the project; refuse a shift that must not begin now.

    An alarm of the project's own that rings already would end the deployment at once, and a missing
    one would let SageMaker refuse it. What is urgent does not wait for silence, and what served
    before for no alarm at all; a version that never served is never left unwatched.
    """
    if target.keeps_alarms:
        return GuardVerdict(outcome="guarded")
    alarms = target.alarms
    own = {alarm.name for alarm in describe_alarms(alarms.names, cloudwatch)}
    there = alarms.model_copy(update={"names": [name for name in alarms.names if name in own]})
    ensure_alarms(there, target.endpoint, target.model, settings, cloudwatch)
    if target.urgent and target.served_before:
        return GuardVerdict(outcome="guarded")
    if not target.urgent:
        _guard(target, settings, cloudwatch)
    reasons = [
        f"alarm {name} does not exist (deployment.alarms.names)"
        for name in alarms.names
        if name not in own
    ]
    reasons += [
        f"alarm {alarm.name} is ringing already: {alarm.reason}"
        for alarm in describe_alarms(there.names, cloudwatch)
        if alarm.state == "ALARM" and not target.urgent
    ]
    if not reasons:
        return GuardVerdict(outcome="guarded")
    live = find_endpoint(ledger, target.endpoint)
    if target.is_compared and live and live.alone_config:
        restore = target.restoring(live.alone_config, reasons, "refused", rejects=False)
        return GuardVerdict(outcome="restorable", restore=restore)
    record = load_deployment(ledger, target)
    return GuardVerdict(outcome="refused", refusal=refuse_deployment(record, reasons, ledger))


def ensure_alarms(
    alarms: Alarms, endpoint: str, model: str, settings: Settings, cloudwatch: Any
) -> None:
    """Make an endpoint's alarms, and the one that stands for all; remove what is not wanted."""
    tags = build_tags({"stack": settings.stack, "model": model})
    period = settings.alarm_period_seconds
    for request in build_alarms(
        alarms, endpoint=endpoint, variant=VARIANT, period=period, tags=tags
    ):
        cloudwatch.put_metric_alarm(**request)
    composite = build_composite_alarm(alarms, endpoint=endpoint, tags=tags)
    if composite:
        cloudwatch.put_composite_alarm(**composite)
    else:
        _delete([composite_name(endpoint)], cloudwatch)  # before the alarms it names
    _delete(unwanted(alarms, endpoint), cloudwatch)


def _guard(target: EndpointRequest, settings: Settings, cloudwatch: Any) -> None:
    """Watch the version that is to serve, and no version of an earlier deployment any more."""
    for request in build_guards(
        target.alarms,
        endpoint=target.endpoint,
        config=target.endpoint_config,
        variant=VARIANT,
        period=settings.alarm_period_seconds,
        tags=build_tags({"stack": settings.stack, "model": target.model}),
    ):
        cloudwatch.put_metric_alarm(**request)
    pages = cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=f"{target.endpoint}/"
    )
    names = [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]
    old = [name for name in names if is_guard_of_another(name, target.endpoint_config)]
    if old:
        cloudwatch.delete_alarms(AlarmNames=old[:_DELETED])


def _delete(names: list[str], cloudwatch: Any) -> None:
    there = [alarm.name for alarm in describe_alarms(names, cloudwatch)]
    if there:
        cloudwatch.delete_alarms(AlarmNames=there)
