"""EventBridge targets: retries, dead-letter queues, and the role each target was given.

AWS ("How EventBridge retries delivering events", "Using dead-letter queues", "Using resource-based
policies"): a delivery that fails is retried as the target's RetryPolicy says and then sent to its
DeadLetterConfig queue with RULE_ARN, TARGET_ARN, ERROR_CODE, ERROR_MESSAGE, RETRY_ATTEMPTS and
EXHAUSTED_RETRY_CONDITION; errors that cannot pass (no permission, no such target) go there at
once; a state machine is started with the target's role. Stock MiniStack logs and drops, invokes
Lambda once, without retry, and never looks at the role.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from ministack.services import eventbridge, sns, sqs
from ministack.services import stepfunctions as sfn

from local.ministack import codebuild, deliveries, guard, iam, instance, scheduler, scopes

_log = logging.getLogger(__name__)
# The target and rule under delivery: the stock dispatchers are told only the ARN.
_delivery: ContextVar["Delivery | None"] = ContextVar("delivery", default=None)


class DeliveryError(Exception):
    """The target did not take the event."""

    def __init__(self, code: str, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.code, self.retry = code, retry


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one target of a rule."""

    target: dict[str, Any]
    rule: dict[str, Any]

    def authorize(self, action: str) -> None:
        """Raise unless the target's role, if it has one, allows `action` on the target."""
        role = self.target.get("RoleArn")
        if role:
            context = {"aws:sourcearn": self.rule.get("Arn", "")}
            of_schedule = scheduler.is_schedule(self.rule)
            principal = scheduler.PRINCIPAL if of_schedule else "events.amazonaws.com"
            why = iam.refusal(role, principal, action, self.target["Arn"], context)
            if why:
                raise DeliveryError("NO_PERMISSIONS", why)

    def attempt(self, send: Callable[[], None], payload: str) -> None:
        """Send now; again later if that may help; to the dead-letter queue otherwise."""
        self._attempt(send, payload, 0, time.monotonic())

    def _attempt(self, send: Callable[[], None], payload: str, count: int, start: float) -> None:
        try:
            send()
            return
        except DeliveryError as error:
            failure = error
        policy = self.target.get("RetryPolicy") or {}
        delay = min(instance.settings().retry_seconds * 2**count, 60)
        too_old = time.monotonic() + delay - start > policy.get("MaximumEventAgeInSeconds", 86400)
        if failure.retry and count < policy.get("MaximumRetryAttempts", 185) and not too_old:
            _log.info("%s not reached, trying again: %s", self.target["Arn"], failure)
            again = (self._attempt, send, payload, count + 1, start)
            timer = threading.Timer(delay, copy_context().run, again)
            timer.daemon = True
            timer.start()
            return
        self._give_up(failure, payload, count, too_old)

    def _give_up(self, failure: DeliveryError, payload: str, count: int, too_old: bool) -> None:
        queue = (self.target.get("DeadLetterConfig") or {}).get("Arn")
        _log.warning(
            "rule %s could not deliver to %s: %s %s; %s",
            self.rule.get("Name"),
            self.target["Arn"],
            failure.code,
            failure,
            f"sent to {queue}" if queue else "dropped",
        )
        if queue:
            attributes = {
                "RULE_ARN": self.rule.get("Arn", ""),
                "TARGET_ARN": self.target["Arn"],
                "ERROR_CODE": failure.code,
                "ERROR_MESSAGE": str(failure)[:1024],
                "RETRY_ATTEMPTS": str(count),
            }
            if failure.retry:
                condition = "MaximumEventAgeInSeconds" if too_old else "MaximumRetryAttempts"
                attributes["EXHAUSTED_RETRY_CONDITION"] = condition
            deliveries.send(queue, payload, attributes)


def install() -> None:
    """Replace the dispatchers to Step Functions, Lambda, SQS and SNS; add CodeBuild."""
    for name in ("_pattern_event_view", "_apply_input_transformer"):
        guard.expect(hasattr(eventbridge, name), f"eventbridge.{name} is missing")
    guard.replace(eventbridge, "_invoke_target", "target event rule view", _invoke_for)
    guard.replace(eventbridge, "_dispatch_to_stepfunctions", "arn payload", _to_state_machine)
    guard.replace(eventbridge, "_dispatch_to_lambda", "arn payload", _to_function)
    guard.replace(eventbridge, "_dispatch_to_sns", "arn payload", _to_topic)
    guard.replace(eventbridge, "_dispatch_to_sqs", "spec payload sqs_parameters", _to_queue)


def _invoke_for(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any = None) -> None:
    if scheduler.is_schedule(rule):
        target = scheduler.fill_in(target, rule)
    delivery = Delivery(target, rule)
    if scheduler.is_universal(target["Arn"]):
        # The call may come back to this server, whose loop must be free.
        scopes.in_new_thread(delivery.attempt, lambda: _call(target), target.get("Input", "{}"))
        return
    if ":codebuild:" in target["Arn"]:
        payload = _payload(target, event, rule, view)
        delivery.attempt(lambda: _start_build(delivery, payload), payload)
        return
    token = _delivery.set(delivery)
    try:
        guard.stock(_invoke_for)(target, event, rule, view)
    finally:
        _delivery.reset(token)


def _current(arn: str) -> Delivery:
    return _delivery.get() or Delivery({"Arn": arn}, {})


def _payload(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any) -> str:
    view = view or eventbridge._pattern_event_view(event)
    if "InputTransformer" in target:
        text: str = eventbridge._apply_input_transformer(target["InputTransformer"], rule, view)
        return text
    return target.get("Input") or json.dumps(view.event_with_detail())


def _start_build(delivery: Delivery, payload: str) -> None:
    """A CodeBuild project as target ("CodeBuild project targets"); stock knows none."""
    delivery.authorize("codebuild:StartBuild")
    name = delivery.target["Arn"].rpartition("/")[2]
    status, _, body = codebuild.start({**json.loads(payload), "projectName": name})
    if status >= 400:
        raise DeliveryError("SDK_CLIENT_ERROR", str(body))


def _call(target: dict[str, Any]) -> None:
    try:
        scheduler.call(target)
    except sfn._ExecutionError as error:
        denied = "not authorized" in error.cause
        code = "NO_PERMISSIONS" if denied else error.error
        raise DeliveryError(code, error.cause, retry=not denied) from error


def _to_state_machine(arn: str, payload: str) -> None:
    delivery = _current(arn)

    def send() -> None:
        delivery.authorize("states:StartExecution")
        if sfn._resolve_state_machine_arn(arn) is None:
            raise DeliveryError("RESOURCE_NOT_FOUND", f"State Machine Does Not Exist: '{arn}'")
        status, _, body = sfn._start_execution({"stateMachineArn": arn, "input": payload})
        if status >= 400:
            retry = status >= 500 or status == 429
            code = "THROTTLING" if retry else "SDK_CLIENT_ERROR"
            raise DeliveryError(code, str(body), retry=retry)

    delivery.attempt(send, payload)


def _to_function(arn: str, payload: str) -> None:
    delivery = _current(arn)

    def send() -> None:
        delivery.authorize("lambda:InvokeFunction")
        if not deliveries.invoke(arn, json.loads(payload)):
            raise DeliveryError("RESOURCE_NOT_FOUND", f"Function not found: {arn}")

    delivery.attempt(send, payload)


def _to_queue(spec: Any, payload: str, sqs_parameters: Any = None) -> None:
    delivery = _current(str(spec))

    def send() -> None:
        delivery.authorize("sqs:SendMessage")
        if sqs._queue_by_arn(str(spec)) is None:
            raise DeliveryError("RESOURCE_NOT_FOUND", f"The queue {spec} does not exist")
        guard.stock(_to_queue)(spec, payload, sqs_parameters)

    delivery.attempt(send, payload)


def _to_topic(arn: str, payload: str) -> None:
    delivery = _current(arn)

    def send() -> None:
        delivery.authorize("sns:Publish")
        if sns.publish_internal(arn, payload) is None:
            raise DeliveryError("RESOURCE_NOT_FOUND", f"Topic does not exist: {arn}")

    delivery.attempt(send, payload)
