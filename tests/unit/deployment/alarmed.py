"""CloudWatch's alarms, whose states a test decides."""

import re
from types import SimpleNamespace
from typing import Any


class Alarmed:
    """As much of CloudWatch as alarms need: moto evaluates none."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.puts: dict[str, dict[str, Any]] = {}

    def put_metric_alarm(self, AlarmName: str, **more: Any) -> None:  # noqa: N803 — boto3's
        self.states.setdefault(AlarmName, "INSUFFICIENT_DATA")
        self.puts[AlarmName] = more

    def put_composite_alarm(self, AlarmName: str, AlarmRule: str, **_: Any) -> None:  # noqa: N803 — boto3's
        named = set(re.findall(r'ALARM\("([^"]+)"\)', AlarmRule))
        assert named <= set(self.states), "CloudWatch refuses a rule over missing alarms"
        self.put_metric_alarm(AlarmName, AlarmRule=AlarmRule)

    def delete_alarms(self, AlarmNames: list[str]) -> None:  # noqa: N803 — boto3's
        for name in AlarmNames:
            del self.states[name]

    def get_paginator(self, _name: str) -> Any:
        def paginate(AlarmNamePrefix: str) -> Any:  # noqa: N803 — boto3's
            names = [name for name in self.states if name.startswith(AlarmNamePrefix)]
            return [{"MetricAlarms": [{"AlarmName": name} for name in names]}]

        return SimpleNamespace(paginate=paginate)

    def describe_alarms(self, AlarmNames: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803 — boto3's
        found = [
            {
                **self.puts.get(n, {}),
                "AlarmName": n,
                "StateValue": self.states[n],
                "StateReason": "it is",
            }
            for n in AlarmNames
            if n in self.states
        ]
        return {"MetricAlarms": found}
