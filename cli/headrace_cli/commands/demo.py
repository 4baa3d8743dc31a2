"""`demo`: the whole story, played on a local AWS of its own."""

from typing import Annotated

import typer

from headrace_cli.app import app
from headrace_cli.demo.telling import Chapter
from headrace_cli.environments import find_environment
from headrace_cli.exit_codes import ExitCode
from headrace_cli.session import Session, command


@command(app)
def demo(
    session: Session,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the local AWS up at the end.")
    ] = False,
    chapter: Annotated[
        Chapter | None,
        typer.Option(help=f"Play one alone: {', '.join(Chapter)}.", show_default=False),
    ] = None,
) -> ExitCode:
    """Play the whole journey on this machine, on real data, and take everything down again."""
    # Imported late: it needs the example data's tool, which a clone has and a package has not.
    from headrace_cli.demo.play import play

    return play(Session(find_environment("demo"), session.console), keep=keep, chapter=chapter)
