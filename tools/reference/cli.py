"""docs/cli.md: every command with its options, and what the exit codes mean."""

import ast
import inspect
from pathlib import Path
from typing import Any

import typer.main

from headrace_cli import exit_codes
from headrace_cli.main import app
from reference import markdown as md

_INTRODUCTION = """
The same commands work against the local AWS and, with `--env`, against a real one. Output is for
people; `--json` gives one JSON document on stdout instead. An error says what to do next.
"""


def page(_root: Path) -> str:
    """Return the page."""
    group: Any = typer.main.get_command(app)
    commands: dict[str, Any] = group.commands
    common = set.intersection(*({_names(p) for p in c.params} for c in commands.values()))
    first = next(iter(commands.values()))
    return md.page(
        "Commands",
        "the command line itself",
        _INTRODUCTION,
        "## Options of every command",
        _options([p for p in first.params if _names(p) in common]),
        "## Exit codes",
        md.table(["code", "name", "meaning"], _exit_codes()),
        *(_command(name, commands[name], common) for name in sorted(commands)),
    )


def _command(name: str, command: Any, common: set[str]) -> str:
    own = [p for p in command.params if _names(p) not in common]
    arguments = [_usage(p) for p in own if p.param_type_name == "argument"]
    usage = " ".join(["headrace", name, *arguments])
    if any(p.param_type_name == "option" for p in own):
        usage += " [OPTIONS]"
    blocks = [f"## headrace {name}", command.help.strip(), md.fence(usage, "sh")]
    return "\n\n".join([*blocks, _options(own)] if own else blocks)


def _usage(parameter: Any) -> str:
    text = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return text if parameter.required else f"[{text}]"


def _options(parameters: list[Any]) -> str:
    return md.table(
        ["option", "default", "what it does"],
        [[_names(p), _default(p), p.help] for p in parameters],
    )


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return md.code(parameter.name.upper())
    value = f" {parameter.metavar}" if parameter.metavar else ""
    return ", ".join(md.code(f"{o}{value}") for o in [*parameter.opts, *parameter.secondary_opts])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default in (None, "", False) or not parameter.show_default:
        return ""
    if parameter.default is True:
        return md.code(parameter.opts[0])
    return md.code(
        f"{parameter.default:g}" if isinstance(parameter.default, float) else parameter.default
    )


def _exit_codes() -> list[list[str]]:
    """Read the meanings from the docstrings below the members, which Python does not keep."""
    [enum] = ast.parse(inspect.getsource(exit_codes.ExitCode)).body
    assert isinstance(enum, ast.ClassDef)  # noqa: S101 — said for the type checker
    rows = []
    for member, meaning in zip(enum.body, enum.body[1:], strict=False):
        match member, meaning:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                rows.append([md.code(exit_codes.ExitCode[name].value), md.code(name), text])
    return rows
