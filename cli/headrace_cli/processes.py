"""What runs on this machine, so that a local AWS can be stopped to the last process."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Process(NamedTuple):
    """A process; its start tells it from a later one with the same number."""

    pid: int
    parent: int
    session: int
    started: str
    command: str


def processes() -> list[Process]:
    """Return all living processes that may be seen (zombies are not living)."""
    if _PROC.joinpath("self", "stat").exists():
        entries = (int(p.name) for p in _PROC.iterdir() if p.name.isdigit())
        return [p for p in map(_of_proc, entries) if p is not None]
    return _of_ps()


def family(root: int) -> list[Process]:
    """Return the process `root`, its session, and the descendants of both."""
    everything = processes()
    found = {p.pid: p for p in everything if root in (p.pid, p.session)}
    while True:
        more = {p.pid: p for p in everything if p.parent in found and p.pid not in found}
        if not more:
            return list(found.values())
        found |= more


def remaining(those: Iterable[Process]) -> list[Process]:
    """Return those that still live."""
    now = {(p.pid, p.started) for p in processes()}
    return [p for p in those if (p.pid, p.started) in now]


def stop(those: Iterable[Process], patience: float) -> list[Process]:
    """Wait for those to end by themselves, then kill; return those that had to be killed."""
    left = remaining(those)
    deadline = time.monotonic() + patience
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = remaining(left)
    for process in left:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return left


def _of_proc(pid: int) -> Process | None:
    """Read proc(5): fields after the command's closing parenthesis, counted from 3."""
    try:
        stat = _PROC.joinpath(str(pid), "stat").read_text()
        command = _PROC.joinpath(str(pid), "cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[1]), int(fields[3]), fields[19], command)


def _of_ps() -> list[Process]:
    listing = subprocess.run(
        ["ps", "-Ao", "pid=,ppid=,sess=,stat=,lstart=,command="],
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for line in listing.stdout.splitlines():
        pid, parent, session, state, *rest = line.split()
        if not state.startswith("Z"):
            words = "\0".join(rest[5:])
            group = int(session) if session.isdigit() else 0
            found.append(Process(int(pid), int(parent), group, " ".join(rest[:5]), words))
    return found
