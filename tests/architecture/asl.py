"""State machines as data: reading `statemachines/*.asl.yaml` and walking their states.

The Amazon States Language: https://states-language.net/spec.html
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_SUBSTITUTION = re.compile(r"\$\{(\w+)\}")
_EXPRESSION = re.compile(r"^\{%(.*)%\}$", re.DOTALL)
_ACCOUNT = "us-east-1:111122223333"

Json = dict[str, Any]


@dataclass(frozen=True)
class Edge:
    """A way from one state to the next, and what is assigned on it."""

    target: str
    assigned: frozenset[str]
    caught: bool = False


@dataclass(frozen=True)
class Scope:
    """The states of one level: the machine itself, a Map's processor or a branch of a Parallel."""

    where: str
    start: str
    states: dict[str, Json]
    parent: "Scope | None" = None
    owner: str | None = None
    distributed: bool = False
    children: dict[str, list["Scope"]] = field(default_factory=dict)

    def place(self, state: str) -> str:
        """Return how a finding names a state."""
        return f"{self.where}/{state}"


@dataclass(frozen=True)
class Machine:
    """One state machine: its file's name, its whole definition and its outermost scope."""

    name: str
    definition: Json
    scope: Scope

    def scopes(self) -> Iterator[Scope]:
        """Yield every scope, outer ones first."""
        pending = [self.scope]
        while pending:
            scope = pending.pop(0)
            yield scope
            pending += [child for children in scope.children.values() for child in children]

    def states(self) -> Iterator[tuple[Scope, str, Json]]:
        """Yield every state of every scope with its name."""
        for scope in self.scopes():
            for name, state in scope.states.items():
                yield scope, name, state


def load(path: Path) -> Machine:
    """Read one state machine; substitutions stay as `${Name}`."""
    return machine(path.name, yaml.safe_load(path.read_text()))


def machine(name: str, definition: Json) -> Machine:
    """Return a definition with its scopes."""
    return Machine(name, definition, _scope(name, definition))


def _scope(where: str, level: Json, parent: Scope | None = None, owner: str | None = None) -> Scope:
    mode = (level.get("ProcessorConfig") or {}).get("Mode")
    scope = Scope(
        where, level["StartAt"], level["States"], parent, owner, distributed=mode == "DISTRIBUTED"
    )
    for name, state in scope.states.items():
        processor = state.get("ItemProcessor") or state.get("Iterator")
        levels = state.get("Branches", []) + ([processor] if processor else [])
        if levels:
            scope.children[name] = [_scope(scope.place(name), one, scope, name) for one in levels]
    return scope


def edges(state: Json) -> list[Edge]:
    """Return every way out of a state to another one of the same scope."""
    own = frozenset(state.get("Assign") or {})
    found = [Edge(state[key], own) for key in ("Next", "Default") if key in state]
    found += [
        Edge(choice["Next"], frozenset(choice.get("Assign") or {}))
        for choice in state.get("Choices", [])
    ]
    found += [
        Edge(catcher["Next"], frozenset(catcher.get("Assign") or {}), caught=True)
        for catcher in state.get("Catch", [])
    ]
    return found


def is_terminal(state: Json) -> bool:
    """Return whether an execution (or a branch) can end in this state."""
    return state["Type"] in {"Succeed", "Fail"} or state.get("End") is True


def reachable(scope: Scope, start: str) -> set[str]:
    """Return the states that can follow `start`, itself included."""
    seen: set[str] = set()
    pending = [start]
    while pending:
        name = pending.pop()
        if name not in seen and name in scope.states:
            seen.add(name)
            pending += [edge.target for edge in edges(scope.states[name])]
    return seen


def expression(value: Any) -> str | None:
    """Return the JSONata inside `{% %}`, or None for a literal."""
    found = _EXPRESSION.match(value.strip()) if isinstance(value, str) else None
    return found.group(1).strip() if found else None


def expressions(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every JSONata expression in a value, with its place."""
    code = expression(node)
    if code is not None:
        yield path, code
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from expressions(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from expressions(value, f"{path}[{index}]")


def substitutions(text: str) -> set[str]:
    """Return the names of the `${Name}` substitutions in a definition's text."""
    return set(_SUBSTITUTION.findall(text))


def substituted(definition: Json) -> Json:
    """Return a definition with a plausible value for every substitution, as after a deployment."""
    result: Json = _substitute(copy.deepcopy(definition))
    return result


def _substitute(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _substitute(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_substitute(value) for value in node]
    if isinstance(node, str):
        return _SUBSTITUTION.sub(lambda match: plausible(match.group(1)), node)
    return node


def plausible(name: str) -> str:
    """Return a value as the template might supply it for a substitution of this name."""
    kinds = {
        "FunctionArn": f"arn:aws:lambda:{_ACCOUNT}:function:{name}",
        "StateMachineArn": f"arn:aws:states:{_ACCOUNT}:stateMachine:{name}",
        "TopicArn": f"arn:aws:sns:{_ACCOUNT}:{name}",
        "RoleArn": f"arn:aws:iam::{_ACCOUNT.rpartition(':')[2]}:role/{name}",
        "QueueUrl": f"https://sqs.us-east-1.amazonaws.com/111122223333/{name}",
    }
    for ending, value in kinds.items():
        if name.endswith(ending):
            return value
    return f"arn:aws:any:{_ACCOUNT}:{name}" if name.endswith("Arn") else name
