"""What one JSONata expression uses: read from jsonata-python's syntax tree.

Step Functions runs JSONata 2.0.6 without a context object: every name must be a `$variable` or a
field of one, and it adds functions of its own.
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jsonata

_STEP_FUNCTIONS = {"partition", "range", "hash", "random", "uuid", "parse"}
_NOT_IN_STEP_FUNCTIONS = {"eval"}
_LATER_THAN_2_0_6 = re.compile(r"\?\?|\?:")
_LITERAL = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`|/\*.*?\*/", re.DOTALL)
_CHILD = ("lhs", "rhs", "expression", "condition", "then", "_else", "pattern", "body")
_COMPARISONS = {"=", "!=", "<", "<=", ">", ">=", "in", "and", "or"}
_PREDICATES = {"boolean", "not", "exists", "contains"}


@dataclass
class Uses:
    """What an expression refers to, and what is wrong with it whatever its surroundings."""

    variables: set[str] = field(default_factory=set)
    tested: set[str] = field(default_factory=set)
    states: set[tuple[str, ...]] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    boolean: bool = False


@cache
def builtin_functions() -> frozenset[str]:
    """Return the names of JSONata's functions and Step Functions' own."""
    frame = jsonata.Jsonata("1").environment
    names = set()
    while frame is not None:
        names |= set(frame.bindings)
        frame = frame.parent
    return frozenset(names - _NOT_IN_STEP_FUNCTIONS | _STEP_FUNCTIONS)


def uses(code: str) -> Uses:
    """Return what the JSONata `code` uses; code that cannot be parsed is a fault."""
    found = Uses()
    later = _LATER_THAN_2_0_6.search(_LITERAL.sub("''", code))
    if later:
        found.faults.append(
            f"operator {later.group()} came after JSONata 2.0.6, which AWS runs: test $exists"
        )
    try:
        tree = jsonata.Jsonata(code).ast
    except jsonata.JException as error:
        found.faults.append(f"is not JSONata: {error}")
        return found
    _Walk(found).visit(tree, frozenset(), in_context=False)
    found.boolean = _is_boolean(tree)
    return found


def _is_boolean(node: Any) -> bool:
    match node.type:
        case "binary":
            return node.value in _COMPARISONS
        case "value":
            return isinstance(node.value, bool)
        case "function":
            return getattr(node.procedure, "value", None) in _PREDICATES
        case "condition":
            otherwise = getattr(node, "_else", None)
            return bool(_is_boolean(node.then) and otherwise and _is_boolean(otherwise))
        case "block":
            return _is_boolean(node.expressions[-1])
    return False


class _Walk:
    """Visits a syntax tree, knowing the names bound in the expression itself.

    `in_context` says whether a bare field name has something to be a field of.
    """

    def __init__(self, found: Uses) -> None:
        self.found = found

    def visit(self, node: Any, bound: frozenset[str], in_context: bool) -> frozenset[str]:
        """Visit a node; return the names bound for what follows it."""
        visitor = getattr(self, f"_{node.type}", self._children)
        bound = visitor(node, bound, in_context) or bound
        for extra in (getattr(node, "predicate", None) or []) + (
            getattr(node, "stages", None) or []
        ):
            if getattr(extra, "expr", None) is not None:
                self.visit(extra.expr, bound, True)
        if getattr(node, "group", None) is not None:
            self._pairs(node.group.lhs_object, bound, True)
        return bound | {
            name for name in (getattr(node, "focus", None), getattr(node, "index", None)) if name
        }

    def _children(self, node: Any, bound: frozenset[str], in_context: bool) -> None:
        for attribute in (*_CHILD, "procedure"):
            child = getattr(node, attribute, None)
            if hasattr(child, "type"):
                self.visit(child, bound, in_context)
        for attribute in ("expressions", "arguments"):
            for child in getattr(node, attribute, None) or []:
                self.visit(child, bound, in_context)
        if getattr(node, "lhs_object", None):
            self._pairs(node.lhs_object, bound, in_context)

    def _pairs(self, pairs: Any, bound: frozenset[str], in_context: bool) -> None:
        for pair in pairs:
            for part in pair:
                self.visit(part, bound, in_context)

    def _name(self, node: Any, bound: frozenset[str], in_context: bool) -> None:
        if not in_context:
            self.found.faults.append(
                f"field {node.value!r} is of nothing: Step Functions gives no context, "
                f"write ${node.value} or a path from $states.input"
            )

    def _variable(self, node: Any, bound: frozenset[str], in_context: bool) -> None:
        if node.value in {"", "$"}:
            if not in_context or node.value == "$":
                self.found.faults.append(f"${node.value} is nothing at the top: use $states.input")
        elif node.value == "states":
            self.found.states.add(())
        elif node.value not in bound and node.value not in builtin_functions():
            self.found.variables.add(node.value)

    def _path(self, node: Any, bound: frozenset[str], in_context: bool) -> frozenset[str]:
        first = node.steps[0]
        if first.type == "variable" and first.value == "states":
            names = [step.value if step.type == "name" else "*" for step in node.steps[1:]]
            self.found.states.add(tuple(names))
            bound = self._steps(node.steps[1:], bound, True)
        else:
            bound = self._steps(node.steps, bound, in_context)
        return bound

    def _steps(self, steps: Any, bound: frozenset[str], in_context: bool) -> frozenset[str]:
        for step in steps:
            if step.type == "sort":
                for term in step.terms:
                    self.visit(term.expression, bound, True)
            bound = self.visit(step, bound, in_context)
            in_context = True
        return bound

    def _sort(self, node: Any, bound: frozenset[str], in_context: bool) -> None:
        """Its terms are visited with the path's other steps."""

    def _block(self, node: Any, bound: frozenset[str], in_context: bool) -> frozenset[str]:
        inner = bound
        for child in node.expressions:
            inner = self.visit(child, inner, in_context)
        return bound

    def _bind(self, node: Any, bound: frozenset[str], in_context: bool) -> frozenset[str]:
        name = node.lhs.value
        recursive = bound | {name} if node.rhs.type == "lambda" else bound
        self.visit(node.rhs, recursive, in_context)
        return bound | {name}

    def _lambda(self, node: Any, bound: frozenset[str], in_context: bool) -> None:
        parameters = {argument.value for argument in getattr(node, "arguments", None) or []}
        self.visit(node.body, bound | parameters, in_context)

    def _transform(self, node: Any, bound: frozenset[str], in_context: bool) -> None:
        self.visit(node.pattern, bound, in_context)
        for attribute in ("update", "delete"):
            child = getattr(node, attribute, None)
            if hasattr(child, "type"):
                self.visit(child, bound, True)

    def _function(self, node: Any, bound: frozenset[str], in_context: bool) -> None:
        procedure = node.procedure
        if procedure.type == "variable":
            name = procedure.value
            if name not in builtin_functions() and name not in bound:
                self.found.faults.append(f"${name}() is no function Step Functions has")
            if name == "exists":
                roots = map(_root, node.arguments)
                self.found.tested |= {root for root in roots if root is not None}
        else:
            self.visit(procedure, bound, in_context)
        for argument in node.arguments or []:
            self.visit(argument, bound, in_context)

    _partial = _function


def _root(node: Any) -> str | None:
    """Return the variable a path starts with."""
    first = node.steps[0] if node.type == "path" else node
    return first.value if first.type == "variable" else None
