"""Where the project's files are. Looking for files that are not there is an error, never a pass."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

STAGES = (
    "projects",
    "datasets",
    "labeling",
    "features",
    "training",
    "registry",
    "deployment",
    "inference",
    "monitoring",
    "recovery",
    "costs",
)
"""The stages of the journey, in its order."""


class NothingToCheckError(AssertionError):
    """A check found no file, so it would have passed without looking at anything."""


def discover(*patterns: str, root: Path = ROOT) -> list[Path]:
    """Return the files that match any of the glob patterns, sorted.

    Raises:
        NothingToCheckError: no file matches.
    """
    found = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    if not found:
        raise NothingToCheckError(f"no file matches {' or '.join(patterns)} in {root}")
    return found


def committed_files(root: Path = ROOT) -> list[Path]:
    """Return every file git tracks or would add: what a clone holds, now or after a commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = [root / name for name in sorted(set(listed.split("\0"))) if name]
    found = [path for path in found if path.is_file()]
    if not found:
        raise NothingToCheckError(f"git knows no file in {root}")
    return found


def relative(path: Path, root: Path = ROOT) -> str:
    """Return a path as findings name it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def report(findings: list[str]) -> str:
    """Return findings as the message of a failed assertion."""
    return "\n" + "\n".join(findings)
