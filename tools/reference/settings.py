"""docs/settings.md: the template's parameters and every environment variable."""

import ast
import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import headrace
from headrace.settings import Settings
from reference import markdown as md
from reference import stack

_INTRODUCTION = """
A stack is configured by the parameters of `template.yaml`, which `samconfig.toml` sets per
environment (`headrace up --env dev`, or `sam deploy --config-env dev`). The template tells its
functions everything else by environment variables; nobody sets those by hand.
"""
COMMAND_LINE = {
    "HEADRACE_HOME": "Where the local AWS keeps its state. Default: `.headrace` in the clone.",
}
"""What the command line itself reads; a test compares the names with its code."""


def page(root: Path) -> str:
    """Return the page."""
    template = stack.read(root / "template.yaml")
    return md.page(
        "Settings",
        "template.yaml, samconfig.toml and headrace.settings",
        _INTRODUCTION,
        "## Parameters of the template",
        md.table(
            ["parameter", "default", "allowed", "what it does"],
            [
                [md.code(name), md.code(p.get("Default", "")), _allowed(p), p["Description"]]
                for name, p in template["Parameters"].items()
            ],
        ),
        "## Environments",
        md.table(["environment", "stack", "parameters"], _environments(root)),
        "## Outputs of the stack",
        md.table(
            ["output", "what it is"],
            [[md.code(n), o.get("Description", "")] for n, o in template["Outputs"].items()],
        ),
        "## Environment variables of the functions",
        md.table(["variable", "functions", "what it says"], _variables(template)),
        "## Environment variables of the command line",
        md.table(
            ["variable", "what it says"],
            [[md.code(name), COMMAND_LINE[name]] for name in sorted(_read_by(root / "cli"))],
        ),
    )


def _allowed(parameter: stack.Json) -> str:
    values = parameter.get("AllowedValues")
    if values:
        return ", ".join(md.code(value) for value in values)
    return md.code(parameter.get("AllowedPattern", ""))


def _environments(root: Path) -> Iterator[list[str]]:
    for name, section in tomllib.loads((root / "samconfig.toml").read_text()).items():
        deploy = section.get("deploy", {}).get("parameters") if isinstance(section, dict) else None
        if deploy:
            overrides = deploy.get("parameter_overrides", [])
            said = ", ".join(md.code(override) for override in overrides)
            yield [md.code(name), md.code(deploy.get("stack_name", "")), said]


def _variables(template: stack.Json) -> Iterator[list[str]]:
    descriptions = described()
    everywhere = template["Globals"]["Function"]["Environment"]["Variables"]
    for name in [*everywhere, "AWS_REGION"]:
        yield [md.code(name), "all", descriptions[name]]
    own: dict[str, list[str]] = {}
    for function, resource in template["Resources"].items():
        variables = (resource.get("Properties") or {}).get("Environment", {}).get("Variables", {})
        for name in variables if resource["Type"] == "AWS::Serverless::Function" else []:
            own.setdefault(name, []).append(function)
    for name, functions in own.items():
        yield [md.code(name), ", ".join(functions), descriptions.get(name, "")]


def described() -> dict[str, str]:
    """Return what each variable says, by name, as the settings classes and Powertools have it."""
    for module in pkgutil.walk_packages(headrace.__path__, "headrace."):
        importlib.import_module(module.name)  # so that every subclass is known
    found = {"POWERTOOLS_SERVICE_NAME": "Service named in every log line."}
    for kind in _with_subclasses(Settings):
        for field in kind.model_fields.values():
            found[str(field.alias)] = field.description or ""
    return found


def _with_subclasses(kind: type[Settings]) -> Iterator[type[Settings]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _with_subclasses(child)


def _read_by(folder: Path) -> set[str]:
    """Return the environment variables that code reads by a name of ours."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case (
                    ast.Call(
                        func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"),
                        args=[ast.Constant(value=str(name)), *_],
                    )
                    | ast.Subscript(
                        value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str(name))
                    )
                ):
                    found.add(name)
    return {name for name in found if name.startswith("HEADRACE_")}
