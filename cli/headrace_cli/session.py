"""What every command is given, and the boundary that turns errors into exit codes."""

import functools
import inspect
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from headrace.aws.ledger import Ledger
from headrace.records import Key, ModelRecord
from headrace_cli.console import Console
from headrace_cli.environments import Environment, find_environment
from headrace_cli.errors import UsageError, translate
from headrace_cli.exit_codes import ExitCode
from headrace_cli.stack import Stack

P = ParamSpec("P")

EnvironmentName = Annotated[
    str, typer.Option("--env", envvar="HEADRACE_ENV", help="Environment of samconfig.toml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


class Session:
    """One command's view of one environment; asks AWS only for what is used."""

    def __init__(self, environment: Environment, console: Console) -> None:
        self.environment = environment
        self.console = console

    @cached_property
    def stack(self) -> Stack:
        """The deployed stack's outputs."""
        return Stack.read(self.environment)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of all facts."""
        return Ledger(self.stack.ledger_table, self.environment.client("dynamodb"))

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return self.environment.client(service)

    def model(self, name: str) -> ModelRecord:
        """Return a model.

        Raises:
            UsageError: it was never published, with the names of those that were.
        """
        record = self.ledger.get(ModelRecord, Key(pk="models", sk=name))
        if record is None:
            known = [m.model for m in self.ledger.query(ModelRecord, "models")]
            raise UsageError(
                f"No model is called '{name}' in environment '{self.environment.name}'; "
                f"known: {', '.join(known) or 'none'}.",
                "headrace publish models/NAME",
            )
        return record


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[
    [Callable[Concatenate[Session, P], ExitCode | None]],
    Callable[Concatenate[Session, P], ExitCode | None],
]:
    """Make a function a command: it gets a session, and the options `--env` and `--json`.

    The function itself is returned, so that other code can call it with its own session.
    """

    def register(
        function: Callable[Concatenate[Session, P], ExitCode | None],
    ) -> Callable[Concatenate[Session, P], ExitCode | None]:
        @functools.wraps(function)
        def run(**arguments: Any) -> None:
            console = Console(as_json=arguments.pop("as_json"))
            environment = arguments.pop("env")
            with console.closing():
                raise typer.Exit(_run(function, environment, console, arguments))

        own = list(inspect.signature(function).parameters.values())[1:]
        common = [
            inspect.Parameter("env", inspect.Parameter.KEYWORD_ONLY, default="local"),
            inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False),
        ]
        types = {"env": EnvironmentName, "as_json": AsJson}
        common = [p.replace(annotation=types[p.name]) for p in common]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + common
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name)(run)
        return function

    return register


def _run(
    function: Callable[..., ExitCode | None],
    environment: str,
    console: Console,
    arguments: dict[str, Any],
) -> ExitCode:
    try:
        return function(Session(find_environment(environment), console), **arguments) or ExitCode.OK
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 — the process's outermost boundary
        known = translate(error, environment)
        if known is None:
            console.bug(error)
            return ExitCode.BUG
        console.error(known)
        return known.exit_code
