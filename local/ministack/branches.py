"""Parallel and Map states: branches and items that run at once and end together.

AWS ("Parallel workflow state", "Map workflow state"): when one branch or item fails the others are
stopped and the state fails at once; Parallel takes Arguments, Output and Assign in JSONata. Stock
MiniStack lets the others run to their end, and treats a JSONata Parallel as JSONPath.
"""

import threading
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions as sfn

from local.ministack import guard, scopes
from local.ministack.scopes import Scope

_MOST_THREADS = 40  # AWS runs up to 40 items of an inline Map at once


def install() -> None:
    """Replace both states' inner loops; their Retry and Catch stay stock."""
    guard.replace(sfn, "_run_parallel_branches", "state_def raw_input execution ctx", run_parallel)
    guard.replace(sfn, "_run_map_items", "state_def raw_input execution ctx", run_map)


def run_parallel(
    state: dict[str, Any], value: Any, execution: Any, ctx: dict[str, Any]
) -> tuple[Any, str | None]:
    """Every branch gets the state's Arguments (or Parameters)."""
    if sfn._state_query_language(state, ctx) == "JSONata":
        effective = sfn._apply_jsonata_arguments(state, value, ctx)
    else:
        effective = sfn._apply_input_path(state, value, ctx)
        effective = sfn._apply_parameters(state, effective, ctx)

    def branch(definition: dict[str, Any]) -> Callable[[], Any]:
        return lambda: sfn._run_sub_machine(
            definition["States"], definition["StartAt"], effective, execution, ctx
        )

    works = [branch(each) for each in state["Branches"]]
    return leave(state, value, all_of(works, len(works)), ctx)


def run_map(
    state: dict[str, Any], value: Any, execution: Any, ctx: dict[str, Any]
) -> tuple[Any, str | None]:
    """Inline items; a Map in DISTRIBUTED mode is another module's."""
    processor = state.get("ItemProcessor") or state["Iterator"]
    effective = sfn._apply_input_path(state, value, ctx)
    if (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED":
        result = sfn._run_distributed_map(state, value, effective, processor, execution, ctx)
        return leave(state, value, result, ctx)

    def item(index: int, each: Any) -> Callable[[], Any]:
        own = {**ctx, "Map": {"Item": {"Index": index, "Value": each}}}
        chosen = select(state, value, effective, each, own)
        return lambda: sfn._run_sub_machine(
            processor["States"], processor["StartAt"], chosen, execution, own
        )

    works = [item(index, each) for index, each in enumerate(items_of(state, value, effective, ctx))]
    concurrency = number(state, "MaxConcurrency", value, ctx) or _MOST_THREADS
    return leave(state, value, all_of(works, int(concurrency)), ctx)


def items_of(state: dict[str, Any], value: Any, effective: Any, ctx: dict[str, Any]) -> list[Any]:
    """The array that a Map state iterates over."""
    if sfn._state_query_language(state, ctx) == "JSONata":
        items = (
            sfn._apply_jsonata_template(state["Items"], value, ctx) if "Items" in state else value
        )
    else:
        items = sfn._resolve_path_or_ctx(state.get("ItemsPath", "$"), effective, ctx)
    if not isinstance(items, list):
        raise sfn._ExecutionError("States.Runtime", "The items of a Map state must be an array")
    return items


def select(
    state: dict[str, Any], value: Any, effective: Any, item: Any, own: dict[str, Any]
) -> Any:
    """The input of one item: ItemSelector, or the item itself."""
    selector = state.get("ItemSelector") or state.get("Parameters")
    if not selector:
        return item
    if sfn._state_query_language(state, own) == "JSONata":
        return sfn._apply_jsonata_template(selector, value, own)
    return sfn._resolve_params_obj(selector, effective, own)


def number(state: dict[str, Any], name: str, value: Any, ctx: dict[str, Any]) -> float | None:
    """A field that is a number, a JSONata expression of one, or absent."""
    found = sfn._apply_jsonata_template(state.get(name), value, ctx)
    return None if found is None else float(found)


def leave(
    state: dict[str, Any], value: Any, result: Any, ctx: dict[str, Any]
) -> tuple[Any, str | None]:
    """Output and Assign, or ResultSelector, ResultPath and OutputPath; and the next state."""
    following = sfn._next_or_end(state)
    if sfn._state_query_language(state, ctx) == "JSONata":
        output = sfn._apply_jsonata_output(state, value, ctx, result=result, default=result)
        sfn._apply_state_assign(state, value, ctx, result=result)
        return output, following
    selected = sfn._apply_result_selector(state, result)
    output = sfn._apply_result_path(state, value, selected)
    return sfn._apply_output_path(state, output, ctx), following


def all_of(works: list[Callable[[], Any]], concurrency: int) -> list[Any]:
    """Results in order; the first failure stops the rest and is raised."""
    results: list[Any] = [None] * len(works)
    failures: list[Exception] = []

    def done(index: int, result: Any, error: Exception | None) -> bool:
        if error is None:
            results[index] = result
            return True
        failures.append(error)
        return False

    run_each(works, concurrency, done)
    if failures:
        raise failures[0]
    return results


def run_each(
    works: list[Callable[[], Any]],
    concurrency: int,
    done: Callable[[int, Any, Exception | None], bool],
) -> None:
    """Run the works, `concurrency` at once, until all are done or `done` answers False.

    `done(index, result, error)` is called one at a time. What still runs then is stopped, not
    waited for: a call that cannot be interrupted ends in the background, its result unused.
    """
    parent = scopes.current()
    group = Scope(parent.role_arn if parent else "", parent)
    lock, over, pending = threading.Lock(), threading.Event(), iter(enumerate(works))
    workers = min(concurrency, len(works))
    group.on_stop(over.set)

    def worker() -> None:
        nonlocal workers
        token = scopes.enter(group)
        while not group.stopped.is_set():
            with lock:
                index, work = next(pending, (-1, None))
            if work is None:
                break
            result, error = _outcome(work)
            with lock:
                enough = not group.stopped.is_set() and not done(index, result, error)
            if enough:
                group.stop()
        scopes.leave(token)
        with lock:
            workers -= 1
            if workers == 0:
                over.set()

    for _ in range(workers):
        scopes.in_new_thread(worker)
    if works:
        over.wait()
    group.close()
    if parent:
        parent.check()


def _outcome(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except sfn._ExecutionError as error:
        return None, error
    except Exception as error:  # noqa: BLE001 — the thread's boundary; it fails the state
        return None, sfn._ExecutionError("States.Runtime", f"{type(error).__name__}: {error}")
