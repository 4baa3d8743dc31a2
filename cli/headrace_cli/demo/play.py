"""Plays the story."""

from headrace_cli.exit_codes import ExitCode
from headrace_cli.session import Session


def play(session: Session, *, keep: bool) -> ExitCode:
    """Play."""
    raise NotImplementedError(session, keep)
