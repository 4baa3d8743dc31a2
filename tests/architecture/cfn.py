"""The template as data: read, transformed offline, and with its child stacks as one flat whole.

In the flat whole a resource of a child stack is named `Child.Resource`; the child's parameters and
outputs are replaced by what they stand for, so a rule need not know which file says what.
"""

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

Json = dict[str, Any]
_UPLOADED = "s3://packaged/artifact"
_VARIABLE = re.compile(r"\$\{([\w.:]+)\}")


def read(path: Path) -> Json:
    """Return a template in CloudFormation's long form."""
    content: Json = yaml_parse(path.read_text())
    return content


def compose(path: Path) -> yaml.Node:
    """Return a template's YAML nodes, which know their lines."""
    node = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    if node is None:
        raise ValueError(f"{path} is empty")
    return node


def transform(template: Json) -> Json:
    """Return what CloudFormation makes of a SAM template, without asking AWS.

    Local paths are replaced by an S3 address, as `sam package` would.
    """
    source = copy.deepcopy(template)
    for resource in source["Resources"].values():
        for key in ("CodeUri", "ContentUri", "DefinitionUri"):
            if isinstance(resource.get("Properties", {}).get(key), str):
                resource["Properties"][key] = _UPLOADED
    session = boto3.Session(region_name="us-east-1")
    result: Json = Translator({}, Parser(), boto_session=session).translate(source, {})
    return result


@dataclass(frozen=True)
class Stack:
    """Every resource of a stack and of its children, and those the SAM transform added."""

    resources: dict[str, Json]
    added: frozenset[str] = frozenset()

    def of(self, *types: str) -> dict[str, Json]:
        """Return the properties of all resources of these types, by name."""
        return {
            name: resource.get("Properties") or {}
            for name, resource in self.resources.items()
            if resource["Type"] in types
        }


def flatten(path: Path) -> Stack:
    """Return a template, transformed, with its child stacks."""
    source = read(path)
    template = transform(source) if "Transform" in source else source
    resources = _Flattener(template, path.parent, "", {}).resources()
    return Stack(resources, frozenset(template["Resources"].keys() - source["Resources"].keys()))


class _Flattener:
    """Rewrites one stack's references into names of the flat whole."""

    def __init__(self, template: Json, folder: Path, prefix: str, parameters: Json) -> None:
        self.template, self.folder, self.prefix = template, folder, prefix
        self.parameters = parameters
        self.children: dict[str, _Flattener] = {}

    def resources(self) -> dict[str, Json]:
        """Return this stack's resources and its children's."""
        own = self.template["Resources"]
        stacks = {n: r for n, r in own.items() if r["Type"] == "AWS::CloudFormation::Stack"}
        for name, resource in stacks.items():
            self.children[name] = self._child(name, resource["Properties"])
        flat = {
            self.prefix + name: {
                **resource,
                "Properties": self.rewrite(resource.get("Properties", {})),
            }
            for name, resource in own.items()
            if name not in stacks
        }
        for name, resource in stacks.items():
            child = self.children[name]
            child.parameters = self.rewrite(resource["Properties"].get("Parameters", {}))
            flat |= child.resources()
        return flat

    def _child(self, name: str, properties: Json) -> "_Flattener":
        path = self.folder / properties["TemplateURL"]
        return _Flattener(read(path), path.parent, f"{self.prefix}{name}.", {})

    def rewrite(self, node: Any) -> Any:
        """Return a value with every reference in names of the flat whole."""
        if isinstance(node, list):
            return [self.rewrite(value) for value in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(key, value)] = node.items()
            if key == "Ref" and isinstance(value, str):
                return self._reference(value)
            if key == "Fn::GetAtt" and isinstance(value, list):
                return self._attribute(str(value[0]), ".".join(map(str, value[1:])))
            if key == "Fn::Sub":
                return self._substitute(value)
        return {key: self.rewrite(value) for key, value in node.items()}

    def _reference(self, name: str) -> Any:
        if name in self.parameters:
            return self.parameters[name]
        return {"Ref": self.prefix + name if name in self.template["Resources"] else name}

    def _attribute(self, name: str, attribute: str) -> Any:
        if name in self.children and attribute.startswith("Outputs."):
            child = self.children[name]
            return child.rewrite(child.template["Outputs"][attribute.partition(".")[2]]["Value"])
        return {"Fn::GetAtt": [self.prefix + name, attribute]}

    def _substitute(self, value: Any) -> Any:
        text, local = (value, {}) if isinstance(value, str) else (value[0], value[1])

        def replaced(match: re.Match[str]) -> str:
            name = match.group(1)
            if name in local:
                return as_text(self.rewrite(local[name]))
            head, _, attribute = name.partition(".")
            return as_text(self._attribute(head, attribute) if attribute else self._reference(name))

        return {"Fn::Sub": _VARIABLE.sub(replaced, text)}


def as_text(value: Any) -> str:
    """Return a value as it would stand inside a Sub."""
    match value:
        case str() | int() | float():
            return str(value)
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": text}:
            return str(text)
    return "${?}"


def resource_of(value: Any) -> str | None:
    """Return the name of the resource a Ref or GetAtt points to."""
    match value:
        case {"Ref": str(name)}:
            return name
        case {"Fn::GetAtt": [str(name), *_]}:
            return name
    return None


def listed(value: Any) -> list[Any]:
    """Return a value that may be one thing or a list of things as a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def possible(document: Json) -> list[Json]:
    """Return a policy's statements that may hold.

    A conditional Allow (Fn::If) counts as given, a conditional Deny does not.
    """
    found = []
    for statement in listed(document["Statement"]):
        if "Fn::If" in statement:
            branches = {"Statement": [s for b in statement["Fn::If"][1:] for s in listed(b)]}
            found += [s for s in possible(branches) if s.get("Effect") == "Allow"]
        else:
            found.append(statement)
    return found
