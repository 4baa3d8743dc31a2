"""docs/model-yaml.md and schema/model.schema.json: a model project's model.yaml."""

import json
from pathlib import Path
from typing import Any

from headrace.definition import ModelDefinition
from reference import markdown as md
from reference.schema import Json, references, type_name

_INTRODUCTION = """
A model project is a folder with a `model.yaml` and, if you like, code of your own. Every field has
a sound default but the name and the label. A misspelt field is an error.

For completion and checks in your editor, name the schema in the first line:
`# yaml-language-server: $schema=../../schema/model.schema.json`.
"""
_ENVIRONMENTS = """
`environments` overrides any field per environment (parameter `Environment` of the stack), section
by section:

```yaml
environments:
  prod:
    approval: manual
    deployment: {instance_count: 2}
```
"""
_SAID = {
    "name": "churn",
    "data.label": "left",
    "data.entity": "customer",
    "data.event_time": "seen_at",
    "data.window": 12,
    "features.entrypoint": "features.py",
    "training.entrypoint": "train.py",
    "evaluation.metric": "roc_auc",
    "evaluation.cost.false_positive": 120,
    "evaluation.cost.false_negative": 900,
    "evaluation.latency_ms": 50,
    "deployment.stand_by": "10m",
    "deployment.alarms.latency_ms": 200,
    "deployment.alarms.traffic": 1,
}
"""What the example says where there is no default."""
_OTHERWISE = {"deployment.ab", "deployment.strategy.linear", "deployment.strategy.rolling"}
"""Choices that exclude the one the example makes."""


def page(root: Path) -> str:
    """Return the page."""
    schema = ModelDefinition.model_json_schema(by_alias=True)
    smallest = (root / "models" / "breast-cancer" / "model.yaml").read_text()
    return md.page(
        "model.yaml",
        "headrace.definition",
        _INTRODUCTION,
        "## The smallest",
        md.fence(smallest, "yaml"),
        "## Everything, with its defaults where it has any",
        md.fence(full_example(), "yaml"),
        "## Fields",
        _fields(schema, schema["$defs"]),
        *(f"### {name}\n\n{_section(name, schema['$defs'])}" for name in _sections(schema)),
        "## Environments",
        _ENVIRONMENTS,
    )


def schema_text(_root: Path) -> str:
    """Return the JSON schema for editors: the definition, and `environments` that override it."""
    schema = ModelDefinition.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Headrace model.yaml"
    schema["properties"]["environments"] = {
        "type": "object",
        "description": "Environment: what is different there, section by section.",
        "additionalProperties": {"type": "object"},
    }
    return json.dumps(schema, indent=2) + "\n"


def full_example() -> str:
    """Return a model.yaml that says everything: defaults, and something plausible elsewhere."""
    schema = ModelDefinition.model_json_schema(by_alias=True)
    return "\n".join(_example(schema, schema["$defs"], ""))


def _sections(schema: Json) -> list[str]:
    """Return the sections in the order in which they are mentioned, nested ones after theirs."""
    found: list[str] = []
    pending = [n for field in schema["properties"].values() for n in references(field)]
    while pending:
        name = pending.pop(0)
        if name not in found:
            found.append(name)
            inner = schema["$defs"][name].get("properties", {}).values()
            pending = [n for field in inner for n in references(field)] + pending
    return found


def _section(name: str, definitions: Json) -> str:
    schema = definitions[name]
    return f"{md.prose(schema.get('description'))}\n\n{_fields(schema, definitions)}"


def _fields(schema: Json, definitions: Json) -> str:
    required = schema.get("required", [])
    return md.table(
        ["field", "type", "default", "meaning"],
        [
            [
                md.code(name),
                type_name(field),
                _default(name, field, required),
                _meaning(field, definitions),
            ]
            for name, field in schema["properties"].items()
        ],
    )


def _meaning(field: Json, definitions: Json) -> str:
    """Return a field's description; a section without one has its class's."""
    described = [field, *(definitions[name] for name in references(field))]
    return md.prose(next((one["description"] for one in described if "description" in one), ""))


def _default(name: str, field: Json, required: list[str]) -> str:
    if name in required:
        return "required"
    default = field.get("default")
    if default is None or (isinstance(default, dict) and default):
        return ""
    return md.code(json.dumps(default, ensure_ascii=False))


def _example(schema: Json, definitions: Json, path: str) -> list[str]:
    """Return the lines of one section; `path` names it, with a dot at its end."""
    lines = []
    indent = "  " * path.count(".")
    for name, field in schema["properties"].items():
        place = f"{path}{name}"
        if place in _OTHERWISE:
            continue
        inner = [n for n in references(field) if "properties" in definitions[n]]
        if inner and field.get("type") != "object":
            lines += [
                f"{indent}{name}:",
                *_example(definitions[inner[0]], definitions, f"{place}."),
            ]
        else:
            value = _SAID.get(place, field.get("default"))
            lines.append(f"{indent}{name}: {_scalar(value)}")
    return lines


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)
