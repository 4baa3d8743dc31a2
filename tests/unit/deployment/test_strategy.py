"""Strategies: what is asked of SageMaker keeps its limits, and bad ones are refused in words."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.definition import ModelDefinition, parse
from headrace.deployment.alarms import (
    Alarms,
    alarm_name,
    build_alarms,
    build_composite_alarm,
    build_guards,
    guards,
    is_guard_of_another,
    kind_of,
    unwanted,
    watched,
)
from headrace.deployment.strategy import (
    Strategy,
    deployment_config,
    explain,
    mistakes,
    plan_shift,
)
from headrace.errors import ProjectError
from headrace.requests import build_endpoint_update
from tests.architecture.service_arguments import faults, operation


def violations(action: str, request: dict[str, Any], service: str = "sagemaker") -> list[str]:
    found = operation(f"{service}:{action[0].lower()}{action[1:]}")
    assert found is not None
    return faults(found.input_shape, request)


PERCENTS = {"canary": (1, 50), "linear": (10, 50), "rolling": (5, 50)}


@st.composite
def strategies(draw: st.DrawFn) -> Strategy:
    kind = draw(st.sampled_from(["all-at-once", *PERCENTS]))
    if kind == "all-at-once":
        return Strategy()
    section = {"percent": draw(st.integers(*PERCENTS[kind])), "bake": draw(st.integers(0, 3600))}
    return Strategy.model_validate({kind: section})


@given(strategies(), st.integers(1, 40), st.integers(0, 3600), st.sampled_from([1, 60]))
def test_what_is_asked_is_what_sagemaker_takes(
    strategy: Strategy, instances: int, stand_by: int, minute: int
) -> None:
    """Sizes and waits within API_BlueGreenUpdatePolicy's and API_RollingUpdatePolicy's limits."""
    if mistakes(strategy, instances, 0 if strategy.rolling else stand_by, True):
        return
    shift = plan_shift(strategy, instances, 0 if strategy.rolling else stand_by)
    config = deployment_config(shift.scaled(minute), ["alarm"])
    request = build_endpoint_update(endpoint="e", endpoint_config="c", strategy=config)
    assert violations("UpdateEndpoint", request) == []
    least = {"linear": 10, "rolling": 5}.get(shift.kind, 0)
    if shift.kind != "all-at-once":
        assert 1 <= shift.instances <= instances / 2
        assert shift.instances >= instances * least / 100
        # All of the fleet moves within the steps.
        assert (shift.steps + 1) * shift.instances >= instances or shift.kind == "canary"
    policy = config.get("BlueGreenUpdatePolicy") or config["RollingUpdatePolicy"]
    assert policy["MaximumExecutionTimeoutInSeconds"] > shift.scaled(minute).waits
    assert explain(strategy, instances, stand_by)


def test_one_instance_moves_at_once_and_the_old_one_waits() -> None:
    canary = Strategy.model_validate({"canary": {"percent": 10, "bake": "10m"}})
    shift = plan_shift(canary, 1, 300)
    assert (shift.kind, shift.stand_by, shift.waits) == ("all-at-once", 900, 900)
    assert explain(canary, 1, 300) == (
        "all traffic moves at once (one instance cannot be split); the old instances stand by for "
        "15 min"
    )
    assert plan_shift(canary, 2, 0)[:2] == ("canary", 1)
    assert plan_shift(canary, 30, 0).instances == 3


@given(st.integers(2, 40), st.integers(10, 50))
def test_linear_steps_cover_the_fleet(instances: int, percent: int) -> None:
    strategy = Strategy.model_validate({"linear": {"percent": percent}})
    shift = plan_shift(strategy, instances, 0)
    assert shift.steps == math.ceil(instances / shift.instances) - 1


def deployment(text: str) -> ModelDefinition:
    return parse(f"name: a\ndata: {{label: y}}\ndeployment: {text}", "dev")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{strategy: {canary: {percent: 60}}}", "less than or equal to 50"),
        ("{strategy: {linear: {percent: 5}}}", "greater than or equal to 10"),
        ("{strategy: {canary: {bake: 2h}}}", "less than or equal to 3600"),
        ("{strategy: blue}", "strategy.blue: is not known"),
        ("{strategy: {canary: {}, linear: {}}}", "choose one of canary, linear and rolling"),
        ("{strategy: rolling, stand_by: 5m}", "keeps no old instances"),
        ("{strategy: canary, alarms: {server_errors: null}}", "would never roll back"),
        ("{strategy: {linear: {percent: 10, bake: 1h}}, instance_count: 20}", "after 8 h"),
        ("{stand_by: soon}", "'soon' is no duration"),
        ("{shadow: {duration: 8d}}", "less than or equal to 604800"),
        ("{shadow: {agrement: 1}}", "shadow.agrement: is not known"),
        ("{shadow: {percent: 20}, capture_percent: 10}", "only 0.20% of the requests"),
        ("{ab: {}}", "ab.minimum_effect: Field required"),
        ("{ab: {minimum_effect: 0}}", "greater than 0"),
        ("{ab: {minimum_effect: 1}, strategy: canary}", "cannot follow an A/B test"),
        ("{ab: {minimum_effect: 1}, capture_percent: 0}", "which variant an outcome is of"),
        ("{alarms: {server_error: 1}}", "alarms.server_error: is not known"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(text: str, told: str) -> None:
    with pytest.raises(ProjectError) as refused:
        deployment(text)
    assert told in str(refused.value)


def test_strategies_by_name_and_by_environment() -> None:
    found = parse(
        "name: a\ndata: {label: y}\ndeployment: {strategy: all-at-once}\n"
        "environments: {prod: {deployment: {strategy: {canary: {percent: 20}}}}}",
        "prod",
    )
    assert found.deployment.strategy.name == "canary"
    assert deployment("{strategy: rolling}").deployment.kept == 0
    assert deployment("{ab: {minimum_effect: 1, entity: who}, capture_percent: 0}").deployment.ab
    again = ModelDefinition.model_validate(found.model_dump(mode="json", by_alias=True))
    assert again == found


ALL = Alarms(client_errors=0.2, latency_ms=150, traffic=5, names=["mine"])


def build(alarms: Alarms) -> list[dict[str, Any]]:
    return build_alarms(alarms, endpoint="e", variant="champion", period=60, tags=[])


def test_alarms_are_what_cloudwatch_takes_and_say_what_missing_data_mean() -> None:
    requests = build(ALL)
    assert [kind_of(r["AlarmName"], "e") for r in requests] == watched(ALL)
    for request in requests:
        assert violations("PutMetricAlarm", request, "cloudwatch") == []
        silent = request["MetricName"] == "Invocations"
        assert request["TreatMissingData"] == ("breaching" if silent else "notBreaching")
    latency = next(r for r in requests if r["MetricName"] == "ModelLatency")
    assert (latency["ExtendedStatistic"], latency["Threshold"]) == ("p99", 150_000)
    composite = build_composite_alarm(ALL, endpoint="e", tags=[])
    assert composite is not None
    assert violations("PutCompositeAlarm", composite, "cloudwatch") == []
    assert composite["AlarmRule"].endswith('ALARM("e/latency") OR ALARM("mine")')


def test_silence_of_callers_undoes_no_deployment() -> None:
    kinds = ("server-errors", "client-errors", "latency")
    assert guards(ALL, "e", "c") == [*(f"e/c/{kind}" for kind in kinds), "mine"]


def test_a_deployment_s_alarms_see_the_new_fleet_alone() -> None:
    requests = build_guards(ALL, endpoint="e", config="c", variant="v", period=60, tags=[])
    assert [r["AlarmName"] for r in requests] == guards(ALL, "e", "c")[:-1]
    for request in requests:
        assert violations("PutMetricAlarm", request, "cloudwatch") == []
        assert {"Name": "EndpointConfigName", "Value": "c"} in request["Dimensions"]
    assert is_guard_of_another("e/b/latency", "c")
    assert not is_guard_of_another("e/c/latency", "c")
    assert not is_guard_of_another("e/latency", "c")


def test_kinds_of_alarms() -> None:
    assert kind_of("mine", "e") == "own"


def test_what_is_not_watched_any_more_is_removed() -> None:
    nothing = Alarms(server_errors=None)
    assert build(nothing) == []
    assert build_composite_alarm(nothing, endpoint="e", tags=[]) is None
    assert alarm_name("e", "server-errors") in unwanted(nothing, "e")
    assert unwanted(ALL, "e") == []
