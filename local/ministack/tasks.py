"""Task states: who may call, how long, how often, and callbacks.

AWS ("Error handling", "Wait for a callback with the task token", "IAM policies for integrated
services"): Retry honours MaxDelaySeconds and JitterStrategy; States.ALL catches neither
States.DataLimitExceeded nor States.Runtime; timeouts may be JSONata; every attempt at a callback
has a token of its own, HeartbeatSeconds ends it with States.HeartbeatTimeout, and a call that
fails fails the task; the machine's role must allow each call. Stock MiniStack ignores all of it.
"""

import contextvars
import json
import random
import threading
import time
from collections import deque
from typing import Any

from ministack.core import iam_actions
from ministack.services import stepfunctions as sfn

from local.ministack import guard, scopes, service_calls

_task_context: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "task_context", default=None
)
_heartbeats: dict[str, float] = {}
# The machine of a token, which authorizes what is said about it, also when its task has ended.
_machines: dict[str, str] = {}
_closed_tokens: deque[str] = deque()
_REMEMBERED = 1000
# AWS errors that only a matcher naming them sees; ours is never seen.
_UNCAUGHT = ("States.DataLimitExceeded", "States.Runtime")


def install() -> None:
    """Replace what surrounds a task's call."""
    guard.replace(sfn, "_execute_task", "state_def raw_input execution ctx", execute)
    guard.replace(sfn, "_invoke_resource", "resource input_data", invoke)
    guard.replace(sfn, "_find_matching_retrier", "retriers error retry_counts", _retrier)
    guard.replace(sfn, "_error_matches", "error_equals error", _matches)
    guard.replace(
        sfn, "_invoke_with_callback", "resource input_data token state_def", _invoke_with_callback
    )
    for name in ("_send_task_success", "_send_task_failure", "_send_task_heartbeat"):
        _replace_reply(name)
    names = "service method path headers body query_params region account_id"
    guard.replace(iam_actions, "extract_resource_arn", names, _resource)


def execute(state: dict[str, Any], value: Any, execution: Any, ctx: dict[str, Any]) -> Any:
    """Resolve the timeouts, then let the stock engine do Arguments, Retry, Catch and Output."""
    timeouts = {}
    for name in ("TimeoutSeconds", "HeartbeatSeconds"):
        if f"{name}Path" in state:
            timeouts[name] = sfn._resolve_path_or_ctx(state[f"{name}Path"], value, ctx)
        elif isinstance(state.get(name), str):
            timeouts[name] = sfn._jsonata_state_field(state, name, "number", value, ctx)
    token = _task_context.set(ctx)
    try:
        return guard.stock(execute)({**state, **timeouts}, value, execution, ctx)
    finally:
        _task_context.reset(token)


def invoke(resource: str, data: Any) -> Any:
    """Call the service, if the machine's role allows it."""
    scope = scopes.current()
    if scope:
        service_calls.authorize(scope.role_arn, resource, data)
    return guard.stock(invoke)(resource, data)


def _matches(error_equals: list[str], error: str) -> bool:
    if error == scopes.StoppedError().error:
        return False
    if error in error_equals:
        return True
    if error in _UNCAUGHT:
        return False
    return "States.ALL" in error_equals or (
        "States.TaskFailed" in error_equals and error != "States.Timeout"
    )


def _retrier(retriers: list[Any], error: str, retry_counts: dict[int, int]) -> Any:
    """The retrier with the delay of this attempt in place of its backoff."""
    retrier, index = guard.stock(_retrier)(retriers, error, retry_counts)
    if retrier is None:
        return retrier, index
    count = retry_counts.get(index, 0)
    delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** count
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    if retrier.get("JitterStrategy") == "FULL":
        delay = random.uniform(0, delay)  # noqa: S311 — spreads load, guards nothing
    return {**retrier, "IntervalSeconds": delay, "BackoffRate": 1.0}, index


def _invoke_with_callback(resource: str, data: Any, token: str, state: dict[str, Any]) -> Any:
    scope, done = scopes.current(), threading.Event()
    info: dict[str, Any] = {"event": done, "result": None, "error": None, "heartbeat": None}
    sfn._task_tokens[token] = info
    _heartbeats[token] = time.monotonic()
    context = _task_context.get()
    if context is not None:
        _machines[token] = context["StateMachine"]["Id"]
    forget = scope.on_stop(done.set) if scope else lambda: None
    try:
        invoke(resource.replace(".waitForTaskToken", ""), data)
        _wait(done, token, state)
        if scope:
            scope.check()
        if info["error"]:
            raise sfn._ExecutionError(info["error"]["Error"], info["error"]["Cause"])
    except sfn._ExecutionError:
        if context is not None:
            context["Task"] = {"Token": sfn.new_uuid()}
        raise
    finally:
        forget()
        sfn._task_tokens.pop(token, None)
        _heartbeats.pop(token, None)
        _closed_tokens.append(token)
        while len(_closed_tokens) > _REMEMBERED:
            _machines.pop(_closed_tokens.popleft(), None)
    result = info["result"]
    return json.loads(result) if isinstance(result, str) else result


def _wait(done: threading.Event, token: str, state: dict[str, Any]) -> None:
    # Without a timeout AWS waits a year.
    deadline = time.monotonic() + state.get("TimeoutSeconds", 365 * 86400)
    beat = state.get("HeartbeatSeconds")
    while True:
        expiry = min(deadline, _heartbeats[token] + beat) if beat else deadline
        remaining = expiry - time.monotonic()
        # A wait longer than an hour overflows on some platforms; it is renewed.
        if done.wait(max(0.0, min(remaining, 3600))):
            return
        now = time.monotonic()
        if now >= deadline:
            raise sfn._ExecutionError("States.Timeout", "")
        if beat and now >= _heartbeats[token] + beat:
            raise sfn._ExecutionError("States.HeartbeatTimeout", "")


def _resource(service: str, *request: Any) -> Any:
    """SendTask* is authorized on the machine that gave the token; stock knows no resource."""
    if service == "states" and b"taskToken" in request[3]:
        return _machines.get(json.loads(request[3]).get("taskToken"), "*")
    return guard.stock(_resource)(service, *request)


def _replace_reply(name: str) -> None:
    """SendTask*: note heartbeats; a token whose task has ended is TaskTimedOut, as documented."""

    def reply(data: dict[str, Any]) -> Any:
        token = data.get("taskToken", "")
        if token in _closed_tokens:
            return sfn.error_response_json(
                "TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400
            )
        if token in _heartbeats:
            _heartbeats[token] = time.monotonic()
        return guard.stock(reply)(data)

    guard.replace(sfn, name, "data", reply)
