"""docs/events.md: every event, who announces it, who listens."""

import ast
from functools import cache
from pathlib import Path

from headrace import events
from reference import markdown as md
from reference import stack
from reference.schema import Json, type_name

_INTRODUCTION = """
Our own facts travel on the stack's own bus, in the past tense: `source` says the stage, the
detail-type is the class in `headrace.events`, and `schema_version` is in the detail. AWS's facts
count only from AWS's sources on the default bus, so nothing on our bus can forge an approval.
`events/` holds one example of each; `sam local invoke -e` takes them as they are.

To listen, put a rule on the bus (output `BusName` of the stack). Delivery is at least once and in
no order: keep what you have seen, by the identifiers in the detail.
"""


def page(root: Path) -> str:
    """Return the page."""
    heard = list(stack.listeners(root))
    ours = [_event(kind, heard, root) for kind in events.Event.__subclasses__()]
    return md.page(
        "Events",
        "headrace.events, template.yaml and the state machines",
        _INTRODUCTION,
        "## Ours, in the order of the journey",
        *ours,
        "## AWS's, that we listen to",
        md.table(
            ["event", "only when", "who listens"],
            [
                [f"{md.code(source)} {kind}", md.code(stack.filters(rule.pattern)), _link(rule)]
                for rule in heard
                for source in rule.pattern["source"]
                if isinstance(source, str) and source.startswith("aws.")
                for kind in rule.pattern["detail-type"]
            ],
        ),
    )


def _event(kind: type[events.Event], heard: list[stack.Listener], root: Path) -> str:
    name = kind.__name__
    listening = [_link(rule) for rule in heard if _hears(rule, kind)]
    place = f"events/{kind.source.removeprefix('headrace.')}/{name}.json"
    properties: Json = kind.model_json_schema()["properties"]
    required = kind.model_json_schema().get("required", [])
    return "\n\n".join(
        [
            f"### {name}",
            md.prose(kind.__doc__),
            "\n".join(
                [
                    f"- source: `{kind.source}`",
                    f"- announced by: {', '.join(_announcers(name, root)) or 'nobody'}",
                    f"- who listens: {', '.join(dict.fromkeys(listening)) or 'nobody of ours'}",
                    f"- example: [{place}](../{place})",
                ]
            ),
            md.table(
                ["field", "type", "default"],
                [
                    [
                        md.code(field),
                        type_name(schema),
                        _default(field, schema, required),
                    ]
                    for field, schema in properties.items()
                ],
            ),
        ]
    )


def _default(field: str, schema: Json, required: list[str]) -> str:
    if field in required:
        return "required"
    return "" if schema["default"] is None else md.code(schema["default"])


def _hears(rule: stack.Listener, kind: type[events.Event]) -> bool:
    return kind.__name__ in rule.pattern.get("detail-type", []) and any(
        kind.source.startswith(source["prefix"])
        if isinstance(source, dict)
        else source == kind.source
        for source in rule.pattern["source"]
    )


def _announcers(name: str, root: Path) -> list[str]:
    """Return the state machines and Python files that make this event."""
    machines = [
        path
        for path in sorted((root / "statemachines").glob("*.yaml"))
        if f"DetailType: {name}\n" in path.read_text()
    ]
    code = [
        path
        for folder in ("layers/core/headrace", "functions")
        for path in sorted((root / folder).rglob("*.py"))
        if path.name != "events.py" and name in _called(path)
    ]
    return [
        f"[{path.relative_to(root).as_posix()}](../{path.relative_to(root).as_posix()})"
        for path in machines + code
    ]


@cache
def _called(path: Path) -> set[str]:
    functions = [
        node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    return {f.id for f in functions if isinstance(f, ast.Name)} | {
        f.attr for f in functions if isinstance(f, ast.Attribute)
    }


def _link(rule: stack.Listener) -> str:
    return f"[{rule.target}](../{rule.link})"
