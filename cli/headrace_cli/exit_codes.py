"""What the exit code of every command means; documented in docs/cli.md."""

from enum import IntEnum


class ExitCode(IntEnum):
    """One number per kind of ending, for scripts."""

    OK = 0
    """Done, and every verdict asked for is positive."""
    NEGATIVE = 1
    """Done, but the verdict is negative: refused, quarantined, not better, failed, unhealthy."""
    USAGE = 2
    """The command cannot be understood, or names something that does not exist."""
    NOT_UP = 3
    """The environment is not up, or cannot be reached."""
    DENIED = 4
    """AWS denied it, or there are no valid credentials."""
    TIMED_OUT = 5
    """What was waited for did not come in time."""
    FAILED = 6
    """AWS, or a program that was run (sam, git), failed."""
    BUG = 70
    """A bug of Headrace's (EX_SOFTWARE of sysexits.h)."""
    INTERRUPTED = 130
    """Interrupted by Ctrl-C."""
