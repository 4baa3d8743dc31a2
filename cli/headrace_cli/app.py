"""The Typer application that every command registers with."""

import json
import sys
from typing import Any

import typer
from typer._click.exceptions import ClickException  # Typer has no public name for it
from typer.core import TyperGroup

from headrace_cli.errors import UsageError
from headrace_cli.exit_codes import ExitCode


class Commands(TyperGroup):
    """Typer's group; a command line nobody understands is reported as JSON too, when asked for."""

    def main(self, args: Any = None, *arguments: Any, **options: Any) -> Any:
        """Run the command line."""
        words = sys.argv[1:] if args is None else list(args)
        if "--json" not in words:
            return super().main(args, *arguments, **options)
        try:
            code = super().main(args, *arguments, **{**options, "standalone_mode": False})
        except ClickException as error:
            document = UsageError(error.format_message(), "headrace --help").document()
            sys.stdout.write(json.dumps(document, indent=2) + "\n")
            sys.exit(ExitCode.USAGE)
        sys.exit(code or ExitCode.OK)


app = typer.Typer(
    cls=Commands,
    name="headrace",
    help="From a change in the data to a reliable production update of a model.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
