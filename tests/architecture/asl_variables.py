"""Rules on the data of a state machine: every variable is assigned before it is used.

`Assign` takes effect when a state is left; a Catch and each Choice have their own. Inner scopes
(Map, Parallel) read outer variables but cannot assign them; a distributed Map reads none.
https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
"""

from collections.abc import Iterator

from tests.architecture.asl import Json, Machine, Scope, edges, expressions, reachable
from tests.architecture.jsonata_uses import Uses, uses

_LEVELS = {"ItemProcessor", "Iterator", "Branches"}
_WITH_RESULT = {"Task", "Map", "Parallel"}
_CONTEXT = {"Execution", "State", "StateMachine", "Task", "Map"}


def _fields(state: Json) -> Iterator[tuple[str, str, Uses]]:
    """Yield (place, code, uses) of a state's own expressions, inner states left out."""
    own = {key: value for key, value in state.items() if key not in _LEVELS}
    for place, code in expressions(own):
        yield place, code, uses(code)


def expressions_are_sound(machine: Machine) -> list[str]:
    """Find expressions that cannot be parsed, bare field names and unknown functions."""
    return [
        f"{scope.place(name)}: {place}: {fault}"
        for scope, name, state in machine.states()
        for place, _, used in _fields(state)
        for fault in used.faults
    ]


def conditions_are_boolean(machine: Machine) -> list[str]:
    """Find conditions that are not comparisons: AWS fails a Choice whose condition is no boolean.

    A path such as `$verdict.better` may be missing; `$verdict.better = true` is always a boolean.
    """
    return [
        f"{scope.place(name)}: {place}: {code} need not be a boolean: compare it, as in `= true`"
        for scope, name, state in machine.states()
        for place, code, used in _fields(state)
        if place.endswith(".Condition") and not used.boolean and not used.faults
    ]


def states_fields_exist(machine: Machine) -> list[str]:
    """Find `$states.result` or `.errorOutput` where they do not exist, and unknown fields."""
    return [
        f"{scope.place(name)}: {place}: $states.{'.'.join(path)} does not exist here"
        for scope, name, state in machine.states()
        for place, _, used in _fields(state)
        for path in sorted(used.states)
        if not _exists(path, place, state["Type"])
    ]


def _exists(path: tuple[str, ...], place: str, kind: str) -> bool:
    match path[:1]:
        case ("input",) | ():
            return True
        case ("context",):
            return len(path) < 2 or path[1] in _CONTEXT
        case ("result",):
            return place.split(".")[0].split("[")[0] in {"Output", "Assign"} and (
                kind in _WITH_RESULT
            )
        case ("errorOutput",):
            return place.startswith("Catch[")
    return False


def variables_are_assigned(machine: Machine) -> list[str]:
    """Find variables that are used before every way to the state has assigned them."""
    findings: list[str] = []
    _check(machine.scope, frozenset(), findings)
    return findings


def _check(scope: Scope, outer: frozenset[str], findings: list[str]) -> None:
    always = _assigned(scope, on_every_way=True)
    sometimes = _assigned(scope, on_every_way=False)
    for name in sorted(reachable(scope, scope.start), key=list(scope.states).index):
        state = scope.states[name]
        known = always[name] | outer
        for place, _, used in _fields(state):
            guarded = used.tested & (sometimes[name] | outer)
            for variable in sorted(used.variables - known - guarded):
                why = (
                    "is not assigned on every way here"
                    if variable in sometimes[name]
                    else "is not assigned before"
                )
                findings.append(f"{scope.place(name)}: {place}: ${variable} {why}")
        for variable in sorted(set(state.get("Assign") or {}) & (outer | {"states"})):
            findings.append(f"{scope.place(name)}: Assign.{variable}: the name is an outer one's")
        for child in scope.children.get(name, []):
            _check(child, frozenset() if child.distributed else known, findings)


def _assigned(scope: Scope, on_every_way: bool) -> dict[str, frozenset[str]]:
    """Return what has been assigned when each state is entered, as a fixed point."""
    everything = frozenset(
        variable
        for state in scope.states.values()
        for edge in edges(state)
        for variable in edge.assigned
    )
    before = {name: everything if on_every_way else frozenset() for name in scope.states}
    before[scope.start] = frozenset()
    sources = reachable(scope, scope.start)
    changed = True
    while changed:
        changed = False
        for target in scope.states:
            arriving = [
                before[source] | edge.assigned
                for source in sources
                for edge in edges(scope.states[source])
                if edge.target == target
            ]
            if target == scope.start:
                arriving.append(frozenset())
            if not arriving:
                continue
            merged = (
                frozenset.intersection(*arriving) if on_every_way else frozenset.union(*arriving)
            )
            if merged != before[target]:
                before[target] = merged
                changed = True
    return before


RULES = (
    expressions_are_sound,
    conditions_are_boolean,
    states_fields_exist,
    variables_are_assigned,
)
