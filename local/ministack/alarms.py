"""CloudWatch alarms: periods, M out of N, missing data, actions, events.

AWS ("Alarm evaluation", "Configuring how CloudWatch alarms treat missing data", "Alarm events and
EventBridge"): an alarm looks at its own dimensions, at N periods of which M must breach, treats
gaps as TreatMissingData says, returns to OK by itself, and announces every change on the default
bus. Stock MiniStack mixes all dimensions, takes one statistic over the whole range, evaluates only
while data arrive, and announces nothing. Here periods end now instead of on the minute, and alarms
are evaluated when data arrive and every few seconds.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, eventbridge

from local.ministack import deliveries, guard, instance, service_metrics

_log = logging.getLogger(__name__)
_wake = threading.Event()
# AWS looks at more periods than N when data are late, without saying how many.
_EXTRA_PERIODS = 2
_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_ACTIONS = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}


def install() -> None:
    """Take over evaluation and start its clock."""
    for name in ("_metrics", "_dims_key", "_calc_stats", "_stat_value", "_evaluate_parent_alarms"):
        guard.expect(hasattr(cloudwatch, name), f"cloudwatch.{name} is missing")
    guard.replace(cloudwatch, "_evaluate_all_alarms", "", _wake.set)
    guard.replace(
        cloudwatch, "_dispatch_alarm_actions", "alarm old_state new_state reason", announce
    )
    threading.Thread(target=_clock, name="alarms", daemon=True).start()


def judge(values: list[float | None], alarm: dict[str, Any]) -> str:
    """The state that `values` (newest period first, None for no data) put the alarm in."""
    needed = int(alarm.get("EvaluationPeriods", 1))
    to_alarm = int(alarm.get("DatapointsToAlarm") or needed)
    missing = alarm.get("TreatMissingData") or "missing"
    breaches = _BREACHES[alarm["ComparisonOperator"]]
    found = [None if v is None else breaches(v, float(alarm["Threshold"])) for v in values]
    present = [each for each in found if each is not None][:needed]
    if missing in ("breaching", "notBreaching"):
        present += [missing == "breaching"] * (needed - len(present))
    if present.count(True) >= to_alarm:
        return "ALARM"
    if len(present) == needed:
        return "OK"
    current = str(alarm["StateValue"])
    if not present:
        return current if missing == "ignore" else "INSUFFICIENT_DATA"
    if False in present:
        return "OK"
    # Few data, all breaching: "ALARM when the oldest breaching datapoint is as old as M periods".
    oldest = max(index for index, each in enumerate(found[:needed] or found) if each) + 1
    return "ALARM" if missing == "missing" and oldest >= to_alarm else current


def announce(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> None:
    """SNS and Lambda actions, and the event on the default bus."""
    guard.stock(announce)(alarm, old_state, new_state, reason)
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime())
    detail = {
        "alarmName": alarm["AlarmName"],
        "configuration": _configuration(alarm),
        "previousState": {"value": old_state},
        "state": {"value": new_state, "reason": reason, "timestamp": now},
    }
    entry = {
        "Source": "aws.cloudwatch",
        "DetailType": "CloudWatch Alarm State Change",
        "Resources": [alarm["AlarmArn"]],
        "Detail": json.dumps(detail),
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
    if not alarm.get("ActionsEnabled", True):
        return
    for action in alarm.get(_ACTIONS[new_state]) or []:
        if action.startswith("arn:aws:lambda:"):
            event = {
                "source": "aws.cloudwatch",
                "alarmArn": alarm["AlarmArn"],
                "accountId": get_account_id(),
                "region": get_region(),
                "time": now,
                "alarmData": detail,
            }
            deliveries.invoke(action, event)


def _configuration(alarm: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": alarm.get("AlarmDescription") or ""}
    if alarm.get("AlarmRule"):
        return described | {"alarmRule": alarm["AlarmRule"]}
    metric = {
        "namespace": alarm.get("Namespace"),
        "name": alarm.get("MetricName"),
        "dimensions": _dimensions(alarm),
    }
    statistic = {
        "metric": metric,
        "period": alarm.get("Period"),
        "stat": alarm.get("ExtendedStatistic") or alarm.get("Statistic"),
    }
    return described | {
        "metrics": [{"id": str(uuid.uuid4()), "metricStat": statistic, "returnData": True}]
    }


def _clock() -> None:
    while True:
        _wake.wait(instance.settings().alarm_seconds)
        _wake.clear()
        alarms = list(cloudwatch._alarms.values())
        service_metrics.measure_queues(alarms)
        for alarm in alarms:
            try:
                _evaluate(alarm)
            except Exception:  # noqa: BLE001 — one odd alarm must not stop the clock
                _log.exception("alarm %s", alarm.get("AlarmName"))


def _evaluate(alarm: dict[str, Any]) -> None:
    if not alarm.get("MetricName") or alarm.get("ComparisonOperator") not in _BREACHES:
        return  # metric math and anomaly bands, which docs/local-mode.md lists as missing
    values = _values(alarm)
    old, new = str(alarm["StateValue"]), judge(values, alarm)
    if old == new:
        return
    reason = _reason(alarm, values, new)
    alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    instance.activity.set()
    cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
    announce(alarm, old, new, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def newest_value(alarm: dict[str, Any]) -> float | None:
    """The statistic of the period that ends now; None without data, and for composite alarms."""
    return _values(alarm)[0] if alarm.get("MetricName") else None


def _values(alarm: dict[str, Any]) -> list[float | None]:
    """The statistic of each period, newest first."""
    period, now = float(alarm.get("Period") or 60), time.time()
    periods = int(alarm.get("EvaluationPeriods", 1)) + _EXTRA_PERIODS
    key = (alarm["Namespace"], alarm["MetricName"], cloudwatch._dims_key(_dimensions(alarm)))
    buckets: list[list[Any]] = [[] for _ in range(periods)]
    for point in reversed(list(cloudwatch._metrics.get(key, []))):
        # A point may carry a time a little ahead of this clock.
        index = int(max(0.0, now - point["Timestamp"]) // period)
        if index < periods:
            buckets[index].append(point)
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")
    return [
        cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points)
        if points
        else None
        for points in buckets
    ]


def _dimensions(alarm: dict[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in alarm.get("Dimensions") or []}


def _reason(alarm: dict[str, Any], values: list[float | None], state: str) -> str:
    needed = int(alarm.get("EvaluationPeriods", 1))
    present = [value for value in values if value is not None][:needed]
    if state == "INSUFFICIENT_DATA" or not present:
        return f"Insufficient Data: {needed} datapoints were unknown."
    verb = "was" if state == "ALARM" else "was not"
    operator = "".join(
        f" {each.lower()}" if each.isupper() else each for each in alarm["ComparisonOperator"]
    ).strip()
    return (
        f"Threshold Crossed: out of the last {needed} datapoints {present} "
        f"{verb} {operator} ({alarm['Threshold']})."
    )
