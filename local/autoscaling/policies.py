"""Scaling policies: what is refused, and the alarms that target tracking makes.

API_PutScalingPolicy, "Target tracking scaling policies". The alarms' periods are one minute, three
out of three to scale out and fifteen out of fifteen to scale in, as AWS's own alarms show.
"""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from local.autoscaling.variants import Variant
from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.store import Record

INVOCATIONS = "SageMakerVariantInvocationsPerInstance"
CONFIGS = {
    "StepScaling": "StepScalingPolicyConfiguration",
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
    "PredictiveScaling": "PredictiveScalingPolicyConfiguration",
}
MEMBERS = ("PolicyName", "PolicyType", *CONFIGS.values())
_LOW = 0.9  # of the target: "to prevent scaling in too soon", the low alarm leaves a margin
_OUT_PERIODS, _IN_PERIODS = 3, 15
_COUNTED = ("Sum", "SampleCount")  # statistics that grow with the period


def check(request: Record, found: Record | None, others: list[Record]) -> None:
    """Refuse a PutScalingPolicy; `found` is the policy it changes, `others` its neighbours."""
    kind = request.get("PolicyType") or (found or {}).get("PolicyType")
    if kind is None:
        raise invalid("PolicyType is required when creating a new policy.")
    if found and kind != found["PolicyType"]:
        raise invalid("The type of an existing policy can not be changed.")
    if kind == "PredictiveScaling":
        raise invalid("PredictiveScaling is not supported for service namespace sagemaker.")
    wrong = [CONFIGS[each] for each in CONFIGS if each != kind and CONFIGS[each] in request]
    if wrong or CONFIGS[kind] not in request:
        raise invalid(f"A policy of type {kind} takes {CONFIGS[kind]} and no other configuration.")
    if kind == "StepScaling":
        _check_steps(request[CONFIGS[kind]])
    else:
        _check_target(request[CONFIGS[kind]], others)


def _check_steps(config: Record) -> None:
    if "AdjustmentType" not in config:
        raise invalid("AdjustmentType is required for step scaling.")
    steps = config.get("StepAdjustments", [])
    if not steps:
        raise invalid("At least one StepAdjustment must be specified.")
    inf = float("inf")
    bounds = sorted(
        (
            step.get("MetricIntervalLowerBound", -inf),
            step.get("MetricIntervalUpperBound", inf),
        )
        for step in steps
    )
    if any(lower >= upper for lower, upper in bounds):
        raise invalid("A step's upper bound must be greater than its lower bound.")
    if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(bounds)):
        raise invalid("StepAdjustment intervals can't overlap.")
    if config["AdjustmentType"] == "ExactCapacity" and any(
        step["ScalingAdjustment"] < 0 for step in steps
    ):
        raise invalid("ScalingAdjustment can't be negative for ExactCapacity.")


def _check_target(config: Record, others: list[Record]) -> None:
    predefined = config.get("PredefinedMetricSpecification")
    customized = config.get("CustomizedMetricSpecification")
    if bool(predefined) == bool(customized):
        raise invalid("Exactly one of a predefined and a customized metric must be specified.")
    if config["TargetValue"] <= 0:
        raise invalid("TargetValue must be greater than 0.")
    if predefined and predefined["PredefinedMetricType"] != INVOCATIONS:
        raise not_implemented(f"The predefined metric {predefined['PredefinedMetricType']}")
    if customized and "Metrics" in customized:
        raise not_implemented("A customized metric by metric math")
    if customized and not {"MetricName", "Namespace", "Statistic"} <= customized.keys():
        raise invalid("MetricName, Namespace and Statistic are required for a customized metric.")
    for other in others:
        theirs = other.get(CONFIGS["TargetTrackingScaling"], {})
        if predefined and theirs.get("PredefinedMetricSpecification") == predefined:
            raise invalid(
                "Only one TargetTrackingScaling policy for a given metric specification is allowed."
            )


def metric(policy: Record) -> Record:
    """Return a target-tracking policy's metric as an alarm names it."""
    config = policy[CONFIGS["TargetTrackingScaling"]]
    if customized := config.get("CustomizedMetricSpecification"):
        return {
            "Namespace": customized["Namespace"],
            "MetricName": customized["MetricName"],
            "Dimensions": customized.get("Dimensions", []),
            "Statistic": customized["Statistic"],
        }
    variant = Variant.of(policy)
    return {
        "Namespace": "AWS/SageMaker",
        "MetricName": "InvocationsPerInstance",
        "Dimensions": [
            {"Name": "EndpointName", "Value": variant.endpoint},
            {"Name": "VariantName", "Value": variant.name},
        ],
        "Statistic": "Sum",
    }


def target(policy: Record, period: float) -> float:
    """Return a policy's target for a period of its alarms: a part of what a minute counts."""
    value: float = policy[CONFIGS["TargetTrackingScaling"]]["TargetValue"]
    return value * period / 60 if metric(policy)["Statistic"] in _COUNTED else value


def alarms(policy: Record, period: float) -> list[dict[str, Any]]:
    """Return a policy's alarms: AlarmHigh, and AlarmLow unless scale-in is disabled."""
    if policy["PolicyType"] != "TargetTrackingScaling":
        return []
    aim = target(policy, period)
    sides = [("High", "GreaterThanThreshold", aim, _OUT_PERIODS)]
    if not policy[CONFIGS["TargetTrackingScaling"]].get("DisableScaleIn"):
        sides.append(("Low", "LessThanThreshold", aim * _LOW, _IN_PERIODS))
    return [
        {
            **metric(policy),
            "AlarmName": _alarm_name(policy, side),
            "AlarmDescription": (
                f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}."
            ),
            "ActionsEnabled": True,
            "AlarmActions": [policy["PolicyARN"]],
            "Period": period,
            "EvaluationPeriods": periods,
            "Threshold": threshold,
            "ComparisonOperator": comparison,
            "TreatMissingData": "missing",
        }
        for side, comparison, threshold, periods in sides
    ]


def _alarm_name(policy: Record, side: str) -> str:
    """Return the name of a policy's alarm, always the same: a restart finds or remakes it."""
    number = uuid.uuid5(uuid.NAMESPACE_URL, f"{policy['PolicyARN']}:{side}")
    return f"TargetTracking-{policy['ResourceId']}-Alarm{side}-{number}"
