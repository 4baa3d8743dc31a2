"""Executions of state machines: one loop for top level, branches and items, that can be stopped.

AWS ("Amazon States Language", "StartExecution", "StopExecution"): a machine has TimeoutSeconds;
StopExecution ends waits and cancels `.sync` jobs; StartExecution with the name and input of a
running execution returns that execution; outputs are at most 256 KiB; variables assigned in a
branch stay there; a status change event is emitted for every end. Stock MiniStack sleeps 150 ms
before each execution, ignores TimeoutSeconds, lets stopped executions run on (and then overwrites
their status), refuses the repeated start, and shares variables and the context object between
branches.
"""

import json
import logging
import threading
from typing import Any

from ministack.services import stepfunctions as sfn

from local.ministack import guard, instance, scopes
from local.ministack.scopes import Scope

# "Quotas": maximum input or output size for a task, state, or execution, in UTF-8 bytes.
PAYLOAD_BYTES = 256 * 1024

_log = logging.getLogger(__name__)
_scopes: dict[str, Scope] = {}
_event_lock = threading.Lock()


def install() -> None:
    """Replace the interpreter's loop."""
    for name in (
        "_execute_choice",
        "_execute_map",
        "_execute_parallel",
        "_execute_pass",
        "_execute_task",
        "_execute_wait",
        "_next_or_end",
        "_emit_execution_status_event",
    ):
        guard.expect(hasattr(sfn, name), f"stepfunctions.{name} is missing")
    guard.replace(sfn, "_run_execution", "exec_arn", run)
    guard.replace(sfn, "_run_sub_machine", "states start_at input_data execution ctx", _sub_machine)
    guard.replace(sfn, "_scaled_sleep", "seconds", scopes.sleep)
    guard.replace(
        sfn, "_invoke_nested_start_execution_sync", "resource input_data", _run_nested_execution
    )
    guard.replace(sfn, "_add_event", "execution event_type details", _locked_event)
    guard.replace(sfn, "_fail_execution", "execution error cause", _fail)
    guard.replace(sfn, "_start_execution", "data", _start)
    guard.replace(sfn, "_stop_execution", "data", _stop)


def run(execution_arn: str) -> None:
    """Walk the definition to its end on this thread."""
    execution = sfn._executions.get(execution_arn)
    machine = execution and sfn._state_machines.get(execution["stateMachineArn"])
    if not machine:
        return
    scope = _scopes.setdefault(execution_arn, Scope(machine["roleArn"]))
    token = scopes.enter(scope)
    timer: threading.Timer | None = None
    try:
        definition = json.loads(machine["definition"])
        limit = definition.get("TimeoutSeconds")
        if limit:
            timer = threading.Timer(limit, _time_out, (execution, scope))
            timer.daemon = True
            timer.start()
        value = json.loads(execution["input"])
        context = _context(execution, machine, definition, value)
        output = _walk(definition["States"], definition["StartAt"], value, execution, context)
        _succeed(execution, output)
    except sfn._ExecutionError as error:
        sfn._fail_execution(execution, error.error, error.cause)
    except Exception as error:  # noqa: BLE001 — an execution must end, whatever its definition did
        _log.exception("execution %s", execution_arn)
        sfn._fail_execution(execution, "States.Runtime", f"{type(error).__name__}: {error}")
    finally:
        if timer:
            timer.cancel()
        scope.finished.set()
        scopes.leave(token)
        _scopes.pop(execution_arn, None)


def _context(
    execution: dict[str, Any], machine: dict[str, Any], definition: dict[str, Any], value: Any
) -> dict[str, Any]:
    return {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": execution["executionArn"],
            "Input": value,
            "Name": execution["name"],
            "RoleArn": machine["roleArn"],
            "StartTime": execution["startDate"],
            "RedriveCount": 0,
        },
        "StateMachine": {"Id": execution["stateMachineArn"], "Name": machine["name"]},
        "variables": {},
    }


def _sub_machine(
    states: dict[str, Any], start_at: str, input_data: Any, execution: Any, ctx: dict[str, Any]
) -> Any:
    """A branch or an item: it reads the variables of its parent and keeps its own."""
    own = {**ctx, "variables": dict(ctx.get("variables", {}))}
    return _walk(states, start_at, input_data, execution, own)


def _walk(
    states: dict[str, Any], start: str, value: Any, execution: Any, ctx: dict[str, Any]
) -> Any:
    scope = scopes.current()
    name: str | None = start
    while name:
        if scope:
            scope.check()
        if name not in states:
            raise sfn._ExecutionError("States.Runtime", f"State '{name}' is not in the definition")
        state = states[name]
        kind = state["Type"]
        ctx["State"] = {"Name": name, "EnteredTime": sfn.now_iso(), "RetryCount": 0}
        entered = {"name": name, "input": json.dumps(value)}
        sfn._add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": entered})
        value, following = _step(kind, state, value, execution, ctx)
        output = json.dumps(value)
        if len(output) > PAYLOAD_BYTES and len(output.encode()) > PAYLOAD_BYTES:
            raise sfn._ExecutionError(
                "States.DataLimitExceeded",
                f"The state/task '{name}' returned a result with a size exceeding the maximum "
                "number of bytes service limit.",
            )
        exited = {"name": name, "output": output}
        sfn._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": exited})
        name = following
    return value


def _step(
    kind: str, state: dict[str, Any], value: Any, execution: Any, ctx: dict[str, Any]
) -> tuple[Any, str | None]:
    jsonata = sfn._state_query_language(state, ctx) == "JSONata"
    if kind == "Fail":
        raise sfn._ExecutionError(*sfn._fail_state_error(state, value, ctx))
    if kind == "Succeed":
        if jsonata:
            return sfn._apply_jsonata_output(state, value, ctx, default=value), None
        value = sfn._apply_input_path(state, value, ctx)
        return sfn._apply_output_path(state, value, ctx), None
    if kind == "Choice":
        output, following = sfn._execute_choice(state, value, ctx)
        if jsonata and following == state.get("Default") and not _ruled(state, value, ctx):
            output = sfn._apply_jsonata_output(state, value, ctx, default=output)
        return output, following
    if kind in ("Pass", "Wait"):
        execute = sfn._execute_pass if kind == "Pass" else sfn._execute_wait
        return tuple(execute(state, value, ctx))
    execute = {
        "Task": sfn._execute_task,
        "Parallel": sfn._execute_parallel,
        "Map": sfn._execute_map,
    }.get(kind)
    if execute is None:
        raise sfn._ExecutionError("States.Runtime", f"Unknown state type: {kind}")
    return tuple(execute(state, value, execution, ctx))


def _ruled(state: dict[str, Any], value: Any, ctx: dict[str, Any]) -> bool:
    """Whether a rule, not the Default, chose (a rule may lead to the same state)."""
    return any(
        sfn._evaluate_jsonata_choice_rule(rule, value, ctx)
        for rule in state.get("Choices", [])
        if rule.get("Next") == state.get("Default")
    )


def _locked_event(execution: Any, event_type: str, details: Any = None) -> Any:
    """Event ids are counted; branches add events at the same time."""
    with _event_lock:
        event = guard.stock(_locked_event)(execution, event_type, details)
    instance.activity.set()
    return event


def _start(data: dict[str, Any]) -> Any:
    machine_arn = sfn._resolve_state_machine_arn(data.get("stateMachineArn", ""))
    if machine_arn is None:
        return guard.stock(_start)(data)
    name = data.get("name") or sfn.new_uuid()
    arn = f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
    known = sfn._executions.get(arn)
    if known is None:
        # Before its thread starts, so that whoever starts it can wait for its end.
        _scopes[arn] = Scope(sfn._state_machines[machine_arn]["roleArn"])
    elif known["status"] == "RUNNING" and known["input"] == data.get("input", "{}"):
        return sfn.json_response({"executionArn": arn, "startDate": known["startDate"]})
    return guard.stock(_start)({**data, "name": name})


def _stop(data: dict[str, Any]) -> Any:
    response = guard.stock(_stop)(data)
    scope = _scopes.get(data.get("executionArn", ""))
    if scope:
        # Cancelling a job may take a while and this runs on the event loop.
        scopes.in_new_thread(scope.stop)
    return response


def _succeed(execution: dict[str, Any], output: Any) -> None:
    if execution["status"] != "RUNNING":
        return
    text = json.dumps(output)
    execution.update(status="SUCCEEDED", output=text, stopDate=sfn.now_iso())
    details = {"executionSucceededEventDetails": {"output": text}}
    sfn._add_event(execution, "ExecutionSucceeded", details)
    sfn._emit_execution_status_event(execution)


def _fail(execution: dict[str, Any], error: str, cause: str) -> None:
    """Keep the status of an execution that was stopped or timed out meanwhile."""
    if execution["status"] == "RUNNING":
        guard.stock(_fail)(execution, error, cause)


def _time_out(execution: dict[str, Any], scope: Scope) -> None:
    if execution["status"] != "RUNNING":
        return
    execution.update(status="TIMED_OUT", error="States.Timeout", stopDate=sfn.now_iso())
    details = {"executionTimedOutEventDetails": {"error": "States.Timeout"}}
    sfn._add_event(execution, "ExecutionTimedOut", details)
    sfn._emit_execution_status_event(execution)
    scope.stop()


def _run_nested_execution(resource: str, input_data: dict[str, Any]) -> dict[str, Any]:
    """`states:startExecution.sync[:2]`: the child is an execution of its own, stopped with us.

    AWS ("Start workflow executions from a task state"): the result is DescribeExecution's, and a
    child that does not succeed fails the task with States.TaskFailed and that description.
    Stock runs the child without events, on the parent's thread, and passes its error through.
    """
    status, _, body = sfn._start_execution(sfn._nested_start_execution_request(input_data))
    reply = json.loads(body)
    if status >= 400:
        name = str(reply.get("__type", "AWSStepFunctionsException")).rsplit("#", 1)[-1]
        raise sfn._ExecutionError(f"StepFunctions.{name}", reply.get("message", ""))
    arn = reply["executionArn"]
    child, parent = _scopes.get(arn), scopes.current()
    if child and parent:
        forget = parent.on_stop(lambda: sfn._stop_execution({"executionArn": arn}) and None)
        while not child.finished.wait(1) and not parent.stopped.is_set():
            pass
        forget()
        parent.check()
    description = _described(arn, decode=resource.endswith(":2"))
    if description["Status"] != "SUCCEEDED":
        raise sfn._ExecutionError("States.TaskFailed", json.dumps(description))
    return description


def _described(arn: str, decode: bool) -> dict[str, Any]:
    """DescribeExecution's reply, as Step Functions returns it: capitalised, times in ms."""
    execution = sfn._executions[arn]
    described: dict[str, Any] = {
        "ExecutionArn": arn,
        "StateMachineArn": execution["stateMachineArn"],
        "Name": execution["name"],
        "Status": execution["status"],
        "StartDate": sfn._iso_to_epoch_ms(execution["startDate"]),
        "StopDate": sfn._iso_to_epoch_ms(execution["stopDate"]),
        "Input": execution["input"],
        "InputDetails": {"Included": True},
    }
    if execution["status"] == "SUCCEEDED":
        described |= {"Output": execution["output"], "OutputDetails": {"Included": True}}
    else:
        described |= {"Error": execution.get("error"), "Cause": execution.get("cause")}
    if decode:
        for name in ("Input", "Output"):
            if name in described:
                described[name] = json.loads(described[name])
    return described
