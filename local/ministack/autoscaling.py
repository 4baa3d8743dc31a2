"""Application Auto Scaling as a service of the local AWS: HTTP, IAM, CloudWatch, CloudFormation.

AWS ("Actions, resources, and condition keys for Application Auto Scaling", "AWS::
ApplicationAutoScaling::ScalableTarget"): stock MiniStack has none of it. Scaling acts by its
service-linked role, which may do what it needs; callers need their own application-autoscaling
permissions.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import request_scope
from ministack.services import cloudwatch, eventbridge
from ministack.services.cloudformation import provisioners

from local.autoscaling import Alarm, AutoScaling
from local.ministack import alarms, guard, instance

_SERVICE = "application-autoscaling"
_AT = re.compile(r"at\((.+)\)")
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
_WHAT = ("ServiceNamespace", "ResourceId", "ScalableDimension")


class CloudMonitor:
    """CloudWatch and the calendar, from MiniStack's own stores."""

    def __init__(self) -> None:
        settings = instance.settings()
        self.region = settings.region
        self.account_id = settings.account_id
        for name in ("_put_metric_alarm", "_delete_alarms", "_alarms"):
            guard.expect(hasattr(cloudwatch, name), f"cloudwatch.{name} is missing")
        for name in ("_parse_cron_fields", "_cron_next_fire"):
            guard.expect(hasattr(eventbridge, name), f"eventbridge.{name} is missing")

    def put_alarm(self, alarm: dict[str, Any]) -> str:
        """Make or replace an alarm (PutMetricAlarm's request); return its ARN."""
        with self._scope():
            cloudwatch._put_metric_alarm({}, alarm, True)
            return str(cloudwatch._alarms[alarm["AlarmName"]]["AlarmArn"])

    def delete_alarms(self, names: list[str]) -> None:
        """Remove alarms; those that are gone already are no error."""
        with self._scope():
            found = [name for name in names if name in cloudwatch._alarms]
            cloudwatch._delete_alarms({}, {"AlarmNames": found}, True)

    def ringing(self, action: str) -> list[Alarm]:
        """Return the alarms in ALARM whose enabled actions name an ARN."""
        with self._scope():
            return [
                Alarm(
                    alarm["AlarmName"],
                    float(alarm["Threshold"]),
                    alarms.newest_value(alarm),
                    float(alarm["Period"]),
                )
                for alarm in list(cloudwatch._alarms.values())
                if alarm["StateValue"] == "ALARM"
                and alarm.get("ActionsEnabled", True)
                and action in (alarm.get("AlarmActions") or [])
            ]

    def record(self, namespace: str, metric: str, value: float, names: Mapping[str, str]) -> None:
        """Add a value to a metric with these dimensions."""
        with self._scope():
            cloudwatch.record_metric(namespace, metric, value, "None", dict(names))

    def next_run(self, schedule: str, timezone: str, since: float) -> float | None:
        """Return when a schedule is due next after a moment, None for never.

        Raises ValueError for an expression that is not one.
        """
        try:
            zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{timezone} is not a time zone") from error
        if match := _AT.fullmatch(schedule):
            moment = datetime.fromisoformat(match[1]).replace(tzinfo=zone).timestamp()
            return moment if moment >= since else None
        if match := _RATE.fullmatch(schedule):
            return since + int(match[1]) * _SECONDS[match[2]]
        fields = eventbridge._parse_cron_fields(schedule)
        if fields is None:
            raise ValueError(f"{schedule} is not a schedule expression")
        found = eventbridge._cron_next_fire(fields, datetime.fromtimestamp(since, zone))
        return found.astimezone(UTC).timestamp() if found else None

    def _scope(self) -> Any:
        instance.activity.set()
        return request_scope(self.account_id, self.region)


class ScalingPlug:
    """Registers an `AutoScaling` with MiniStack's routing, IAM and CloudFormation."""

    def __init__(self, service: AutoScaling) -> None:
        self._service = service
        router.SERVICE_PATTERNS[_SERVICE] = {
            "target_prefixes": ["AnyScaleFrontendService."],
            "host_patterns": [r"application-autoscaling\."],
            "credential_scope": _SERVICE,
        }
        app.SERVICE_HANDLERS[_SERVICE] = service.handle
        iam_actions.SERVICE_TO_IAM_NAMESPACE[_SERVICE] = _SERVICE
        handlers = provisioners._RESOURCE_HANDLERS
        handlers["AWS::ApplicationAutoScaling::ScalableTarget"] = {
            "create": self._create_target,
            "update": lambda _id, _old, new, stack: self._create_target("", new, stack),
            "delete": self._delete_target,
        }
        handlers["AWS::ApplicationAutoScaling::ScalingPolicy"] = {
            "create": self._create_policy,
            "update": lambda _id, _old, new, stack: self._create_policy("", new, stack),
            "delete": self._delete_policy,
        }

    def _create_target(self, _logical_id: str, props: dict[str, Any], _stack: str) -> Any:
        what = {name: props[name] for name in _WHAT}
        limits = {name: int(props[name]) for name in ("MinCapacity", "MaxCapacity")}
        request: dict[str, Any] = {**what, **limits}
        request |= {name: props[name] for name in ("RoleARN", "SuspendedState") if name in props}
        self._service.call("RegisterScalableTarget", request)
        for action in props.get("ScheduledActions") or []:
            self._service.call("PutScheduledAction", {**what, **action})
        name = "|".join(what[each] for each in ("ResourceId", "ScalableDimension", _WHAT[0]))
        return name, {"Id": name}

    def _delete_target(self, physical_id: str, _props: dict[str, Any]) -> None:
        self._service.call("DeregisterScalableTarget", _what(physical_id))

    def _create_policy(self, _logical_id: str, props: dict[str, Any], _stack: str) -> Any:
        request = {**props, **_policy_of(props)}
        request.pop("ScalingTargetId", None)
        arn = self._service.call("PutScalingPolicy", request)["PolicyARN"]
        return arn, {"Arn": arn, "PolicyName": props["PolicyName"]}

    def _delete_policy(self, _physical_id: str, props: dict[str, Any]) -> None:
        self._service.call("DeleteScalingPolicy", _policy_of(props))


def _what(scaling_target_id: str) -> dict[str, str]:
    resource, dimension, namespace = scaling_target_id.split("|")
    return {
        "ServiceNamespace": namespace,
        "ResourceId": resource,
        "ScalableDimension": dimension,
    }


def _policy_of(props: dict[str, Any]) -> dict[str, Any]:
    target = props.get("ScalingTargetId")
    what = _what(target) if target else {name: props[name] for name in _WHAT}
    return {**what, "PolicyName": props["PolicyName"]}
