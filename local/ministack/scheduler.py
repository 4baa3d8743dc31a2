"""EventBridge Scheduler: context attributes in Input, and universal targets.

AWS ("Adding context attributes in EventBridge Scheduler", "Using universal targets"): Input may
contain `<aws.scheduler.scheduled-time>` and the like; a target `arn:aws:scheduler:::aws-sdk:
service:action` calls that API with Input as its request and the target's role. Stock MiniStack
passes the placeholders on and drops universal targets. Role, retries and dead-letter queue are
those of `eventbridge`.
"""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from ministack.services import stepfunctions as sfn

from local.ministack import service_calls

PRINCIPAL = "scheduler.amazonaws.com"
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"


def is_schedule(rule: dict[str, Any]) -> bool:
    """Whether a target belongs to a schedule; stock delivers both through the same function."""
    return ":scheduler:" in rule.get("Arn", "")


def is_universal(arn: str) -> bool:
    """Whether the target is an API call."""
    return arn.startswith(_UNIVERSAL)


def fill_in(target: dict[str, Any], schedule: dict[str, Any]) -> dict[str, Any]:
    """The target with the context attributes of this invocation in its Input."""
    text = target.get("Input")
    if not text:
        return target
    attributes = {
        "schedule-arn": schedule["Arn"],
        "scheduled-time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": str(uuid.uuid4()),
        "attempt-number": "1",
    }
    for name, value in attributes.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return {**target, "Input": text}


def call(target: dict[str, Any]) -> None:
    """Make a universal target's call; raises the Step Functions error when it fails."""
    resource = target["Arn"].replace(":scheduler:", ":states:")
    request = json.loads(target.get("Input") or "{}")
    service_calls.authorize(target["RoleArn"], resource, request, principal=PRINCIPAL)
    sfn._invoke_aws_sdk_integration(resource, request)
