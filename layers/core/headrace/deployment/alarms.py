"""Alarms of an endpoint: what they watch, as model.yaml says it, and the requests that make them.

Metrics: "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch". The error metrics are
1 or 0 for every request, so their average is the share of failed requests. Missing data are no
error (nobody asked), except for traffic, whose absence is the very thing it watches.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import quote

from pydantic import Field

from headrace.monitoring.report import Monitor
from headrace.sections import Section

Request = dict[str, Any]
_IN_RULE = re.compile(r'ALARM\("([^"]+)"\)')
Kind = Literal["server-errors", "client-errors", "latency", "traffic", "own"]
MONITORS: tuple[Monitor, ...] = get_args(Monitor)
"""Each has an alarm while it is switched on, of the version that serves."""


class Alarms(Section):
    """What must not happen to an endpoint, during a deployment and ever after."""

    server_errors: float | None = Field(
        0.01, gt=0, lt=1, description="Share of requests that end in a 5xx. null: not watched."
    )
    client_errors: float | None = Field(
        None, gt=0, lt=1, description="Share of requests that end in a 4xx."
    )
    latency_ms: float | None = Field(
        None, gt=0, description="p99 of the model's own latency, in milliseconds."
    )
    traffic: int | None = Field(
        None, ge=1, description="Requests per period that are always expected; fewer is an alarm."
    )
    periods: int = Field(
        2, ge=1, le=10, description="How many periods in a row must be bad; one takes a minute."
    )
    names: list[str] = Field(
        [], max_length=6, description="CloudWatch alarms of your own, which must exist already."
    )


class _Metric(NamedTuple):
    kind: Kind
    metric: str
    statistic: str
    breach: str
    missing: str
    threshold: float | None
    told: str


def build_alarms(
    alarms: Alarms, *, endpoint: str, variant: str, period: int, tags: list[dict[str, str]]
) -> list[Request]:
    """Return a PutMetricAlarm request for each thing that is watched. `period` is in seconds."""
    return [
        _build(each, alarms.periods, endpoint, alarm_name(endpoint, each.kind), variant, period)
        | {"Tags": tags}
        for each in _metrics(alarms)
    ]


def build_guards(
    alarms: Alarms,
    *,
    endpoint: str,
    config: str,
    variant: str,
    period: int,
    tags: list[dict[str, str]],
) -> list[Request]:
    """Return the requests for the alarms that undo a deployment: they see the new fleet alone.

    While both fleets serve, a tenth of the traffic that fails is a hundredth of it all. SageMaker
    publishes what the new fleet does with the dimension EndpointConfigName as well, from its first
    traffic on ("Auto-Rollback Configuration and Monitoring", developer guide).
    """
    requests = []
    for each in _metrics(alarms):
        if each.kind == "traffic":
            continue
        name = guard_name(endpoint, config, each.kind)
        request = _build(each, alarms.periods, endpoint, name, variant, period)
        request["Dimensions"].append({"Name": "EndpointConfigName", "Value": config})
        requests.append(request | {"Tags": tags})
    return requests


def _build(
    watch: _Metric, periods: int, endpoint: str, name: str, variant: str, period: int
) -> Request:
    return {
        "AlarmName": name,
        "AlarmDescription": f"Endpoint {endpoint}: {watch.told}. See docs/runbook.md, "
        '"An endpoint\'s alarm rings".',
        "Namespace": "AWS/SageMaker",
        "MetricName": watch.metric,
        "Dimensions": [
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": variant},
        ],
        **_statistic(watch.statistic),
        "Period": period,
        "EvaluationPeriods": periods,
        "Threshold": watch.threshold,
        "ComparisonOperator": watch.breach,
        "TreatMissingData": watch.missing,
    }


def build_composite_alarm(
    alarms: Alarms, *, endpoint: str, tags: list[dict[str, str]]
) -> Request | None:
    """Return the PutCompositeAlarm request that makes one incident of all, if anything is watched.

    Five alarms of one fault cause one remedy. Traffic is apart: while callers stay away, which may
    be every night, a composite that rings would hide that the next version fails.
    """
    kinds = [kind for kind in watched(alarms) if kind != "traffic"]
    names = [alarm_name(endpoint, kind) for kind in kinds] + alarms.names
    if not names:
        return None
    return {
        "AlarmName": composite_name(endpoint),
        "AlarmDescription": f"Endpoint {endpoint} is unhealthy. See docs/runbook.md, "
        '"An endpoint\'s alarm rings".',
        "AlarmRule": " OR ".join(f'ALARM("{name}")' for name in names),
        "Tags": tags,
    }


def composed_of(rule: str) -> list[str]:
    """Return the names in the rule of a composite alarm that `build_composite_alarm` made."""
    return _IN_RULE.findall(rule)


def watched(alarms: Alarms) -> list[Kind]:
    """Return what is watched by alarms of ours."""
    return [each.kind for each in _metrics(alarms)]


def guards(alarms: Alarms, endpoint: str, config: str) -> list[str]:
    """Return the names of the alarms that undo a deployment while it bakes.

    Traffic does not: a new version is not to blame for callers who stay away.
    """
    kinds = [kind for kind in watched(alarms) if kind != "traffic"]
    return [*(guard_name(endpoint, config, kind) for kind in kinds), *alarms.names]


def guard_name(endpoint: str, config: str, kind: Kind) -> str:
    """Name an alarm that watches what an endpoint serves with one configuration."""
    return f"{endpoint}/{config}/{kind}"


def is_guard_of_another(alarm: str, config: str) -> bool:
    """Tell whether an alarm of an endpoint watched an earlier deployment."""
    parts = alarm.split("/")
    return len(parts) == 3 and parts[1] != config


def unwanted(alarms: Alarms, endpoint: str) -> list[str]:
    """Return the names of alarms an earlier version of the project may have left behind."""
    wanted = watched(alarms)
    kinds: tuple[Kind, ...] = ("server-errors", "client-errors", "latency", "traffic")
    return [alarm_name(endpoint, kind) for kind in kinds if kind not in wanted]


def alarm_name(endpoint: str, kind: Kind | Monitor) -> str:
    """Name an endpoint's alarm."""
    return f"{endpoint}/{kind}"


def composite_name(endpoint: str) -> str:
    """Name the alarm that stands for all of an endpoint's."""
    return f"{endpoint}/unhealthy"


def link(region: str, alarm: str) -> str:
    """Return where a person sees an alarm's graph and history."""
    place = f"{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    return f"https://{place}#alarmsV2:alarm/{quote(alarm, safe='')}"


def kind_of(alarm: str, endpoint: str) -> Kind | Monitor:
    """Return what an alarm watches; one that is not named by us is the project's own."""
    kinds: Mapping[str, Kind | Monitor] = {
        alarm_name(endpoint, kind): kind for kind in (*get_args(Kind), *MONITORS)
    }
    return kinds.get(alarm, "own")


def _metrics(alarms: Alarms) -> list[_Metric]:
    """Return what a project wants watched."""
    return [each for each in _all_metrics(alarms) if each.threshold is not None]


def _all_metrics(alarms: Alarms) -> list[_Metric]:
    above, below = "GreaterThanThreshold", "LessThanThreshold"
    latency = alarms.latency_ms
    return [
        _Metric(
            *("server-errors", "Invocation5XXErrors", "Average", above, "notBreaching"),
            alarms.server_errors,
            f"more than {alarms.server_errors or 0:.2%} of the requests end in a 5xx",
        ),
        _Metric(
            *("client-errors", "Invocation4XXErrors", "Average", above, "notBreaching"),
            alarms.client_errors,
            f"more than {alarms.client_errors or 0:.2%} of the requests end in a 4xx",
        ),
        _Metric(
            *("latency", "ModelLatency", "p99", above, "notBreaching"),
            None if latency is None else latency * 1000,  # in microseconds
            f"p99 of the model's latency is above {latency} ms",
        ),
        _Metric(
            *("traffic", "Invocations", "Sum", below, "breaching"),
            alarms.traffic,
            f"fewer than {alarms.traffic} requests came in a period",
        ),
    ]


def _statistic(name: str) -> Request:
    return {"ExtendedStatistic": name} if name.startswith("p") else {"Statistic": name}
