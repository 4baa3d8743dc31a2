"""What the pages need to know of the template."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

Json = dict[str, Any]


@dataclass(frozen=True)
class Listener:
    """A rule: what it waits for, and who is called."""

    pattern: Json
    target: str
    link: str


def read(path: Path) -> Json:
    """Return a template, short tags in their long form."""
    content: Json = yaml_parse(path.read_text())
    return content


def listeners(root: Path) -> Iterator[Listener]:
    """Yield every event rule of the template and of its child stacks, in their order."""
    for path in (root / "template.yaml", *sorted((root / "stacks").glob("*.yaml"))):
        resources = read(path)["Resources"]
        for name, resource in resources.items():
            properties = resource.get("Properties") or {}
            if resource["Type"] == "AWS::Events::Rule":
                for target in properties["Targets"]:
                    yield Listener(
                        properties["EventPattern"],
                        _named(target["Arn"], name),
                        path.relative_to(root).as_posix(),
                    )
            for event in (properties.get("Events") or {}).values():
                if event["Type"] in {"EventBridgeRule", "CloudWatchEvent"}:
                    yield Listener(event["Properties"]["Pattern"], name, _code(properties))


def _code(properties: Json) -> str:
    if "DefinitionUri" in properties:
        return str(properties["DefinitionUri"])
    return f"{properties['CodeUri']}/{properties['Handler'].rpartition('.')[0]}.py"


def _named(arn: Any, otherwise: str) -> str:
    match arn:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            return name
    return otherwise


def filters(pattern: Json) -> str:
    """Return what a pattern asks of the detail, on one line."""
    return "; ".join(
        f"{path}: {_values(values)}" for path, values in _leaves(pattern.get("detail", {}))
    )


def _leaves(detail: Json, path: str = "") -> Iterator[tuple[str, list[Any]]]:
    for key, value in detail.items():
        place = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _leaves(value, place)
        else:
            yield place, value


def _values(values: list[Any]) -> str:
    return ", ".join(_value(value) for value in values)


def _value(value: Any) -> str:
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            return name
        case {"Fn::Sub": str(text)}:
            return text
        case {"prefix": inner}:
            return f"{_value(inner)}…"
        case {"suffix": inner}:
            return f"…{_value(inner)}"
    return str(value)
