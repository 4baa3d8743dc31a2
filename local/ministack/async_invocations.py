"""Asynchronous Lambda invocations: retries, age, dead-letter queue, destinations.

AWS ("How Lambda handles errors and retries with asynchronous invocation", "Capturing records of
Lambda asynchronous invocations"): a function error is retried twice by default, after 1 and 2
minutes; a throttle goes back to the queue until the event is too old (6 h); then the event goes to
the dead-letter queue as it was, with RequestID, ErrorCode and ErrorMessage as attributes, and a
record to the OnFailure destination; OnSuccess gets a record of a success. Stock MiniStack counts
throttles as failures, sends the record to the dead-letter queue, and has no OnSuccess.
"""

import json
import time
import uuid
from typing import Any

from ministack.services import lambda_svc

from local.ministack import deliveries, functions, guard, instance, scopes


def install() -> None:
    """Take over asynchronous invocations."""
    guard.replace(lambda_svc, "invoke_async_with_retry", "func event", invoke)
    guard.expect(hasattr(lambda_svc, "_event_invoke_config"), "lambda_svc._event_invoke_config")


def invoke(func: dict[str, Any], event: Any) -> None:
    """Queue the event: a thread that waits for its turn, retries, and reports."""
    scopes.in_new_thread(_run, func, event)


def _run(func: dict[str, Any], event: Any) -> None:
    functions.asynchronous.set(True)
    config = func.get("config") or func
    rules = _rules(config)
    attempts = int(rules.get("MaximumRetryAttempts", 2))
    oldest = time.monotonic() + int(rules.get("MaximumEventAgeInSeconds", 6 * 3600))
    count, delay, condition = 0, instance.settings().retry_seconds, "RetriesExhausted"
    while True:
        result = lambda_svc._execute_function(func, event)
        if not result.get("throttle"):
            count += 1
        if not result.get("error"):
            _report("OnSuccess", config, rules, event, result, "Success", count)
            return
        if count > attempts:
            break
        if time.monotonic() + delay > oldest:
            condition = "EventAgeExceeded"
            break
        time.sleep(delay)
        delay = min(2 * delay, 300)
    _dead_letter(config, event, result)
    _report("OnFailure", config, rules, event, result, condition, count)


def _rules(config: dict[str, Any]) -> dict[str, Any]:
    """The event invoke configuration of the qualifier that was invoked."""
    func = lambda_svc._functions.get(config["FunctionName"]) or {}
    parts = config["FunctionArn"].split(":")
    qualifier = parts[7] if len(parts) > 7 else None
    rules = lambda_svc._event_invoke_config(func, qualifier)
    if rules is None and qualifier is None:
        rules = lambda_svc._event_invoke_config(func, "$LATEST")
    return rules or {}


def _dead_letter(config: dict[str, Any], event: Any, result: dict[str, Any]) -> None:
    target = (config.get("DeadLetterConfig") or {}).get("TargetArn")
    if target:
        body = result.get("body") or {}
        attributes = {
            "RequestID": str(uuid.uuid4()),
            "ErrorCode": "429" if result.get("throttle") else "200",
            "ErrorMessage": str(body.get("errorMessage", ""))[:1024],
        }
        deliveries.send(target, json.dumps(event), attributes)


def _report(
    outcome: str,
    config: dict[str, Any],
    rules: dict[str, Any],
    event: Any,
    result: dict[str, Any],
    condition: str,
    count: int,
) -> None:
    destination = (rules.get("DestinationConfig") or {}).get(outcome, {}).get("Destination")
    if not destination:
        return
    response = {"statusCode": 200, "executedVersion": config.get("Version", "$LATEST")}
    if result.get("error"):
        response["functionError"] = "Unhandled"
    record = {
        "version": "1.0",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": f"{config['FunctionArn']}:{config.get('Version', '$LATEST')}",
            "condition": condition,
            "approximateInvokeCount": count,
        },
        "requestPayload": event,
        "responseContext": response,
        "responsePayload": result.get("body"),
    }
    deliveries.send(destination, json.dumps(record), {})
