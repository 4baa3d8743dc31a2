"""The hosts of a job: several containers of one machine that know each other by name.

Each has an /opt/ml of its own and an address of the loopback network; a hosts file, shown as
/etc/hosts where the machine allows mounts, gives that address its name. Jobs have different
networks, so that two of them may listen on the same port.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from local.sagemaker.jobs.line import End, Job, Outcome, Watched
from local.sagemaker.logs import Logs, LogStream
from local.sagemaker.processes import Command, Processes

_HOSTS = Path("/etc/hosts")
_networks = itertools.count(1)
_INTERVAL = 2.0  # seconds between two looks at the volumes; more if a look takes long
_SHARE = 0.02  # of the time may be spent looking


@dataclass(frozen=True)
class Host:
    """One container of a job."""

    name: str
    place: int
    tree: Path
    log: LogStream
    names: tuple[str, ...]
    """Every host's name, its own among them."""


@dataclass
class Hosts:
    """The containers of a job, in order."""

    tree: Path
    group: str
    """The log group."""
    job: str
    logs: Logs
    count: int
    hosts: list[Host] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(f"algo-{number}" for number in range(1, self.count + 1))
        began = int(time.time())
        self.hosts = [
            Host(
                name,
                place,
                self.tree / name,
                self.logs.stream(self.group, f"{self.job}/{name}-{began}"),
                names,
            )
            for place, name in enumerate(names)
        ]
        number = next(_networks)
        self._network = f"127.{1 + number // 250 % 250}.{1 + number % 250}"

    def names_file(self) -> Path:
        """Write the hosts file that every container sees, the machine's names in it; return it."""
        file = self.tree / "hosts"
        lines = [f"{self._network}.{host.place + 1} {host.name}\n" for host in self.hosts]
        file.parent.mkdir(parents=True, exist_ok=True)
        known = _HOSTS.read_text() if _HOSTS.is_file() else "127.0.0.1 localhost\n"
        file.write_text("".join(lines) + known)
        return file

    def run(
        self,
        processes: Processes,
        job: Job,
        command: Callable[[Host], Command],
        deadlines: dict[End, float],
        *,
        on_end: Callable[[End], None],
        on_line: Callable[[str], None] | None = None,
        alarm: Callable[[], str] = lambda: "",
    ) -> Outcome:
        """Run every host's command to the job's end. Raises ShutdownError."""
        watched = []
        try:
            for host in self.hosts:
                watched.append(Watched(processes.spawn(command(host)), host.log, on_line))
        except BaseException:
            for member in watched:  # a container that does not start takes its peers along
                member.process.kill()
            raise
        outcome = job.watch(watched, deadlines, on_end, alarm)
        self.logs.flush()  # who sees the job end finds its log whole
        return outcome


class Volume:
    """An alarm for the hosts' disks: no quota holds them back, so what grew too large is ended."""

    def __init__(self, hosts: list[Host], gigabytes: int) -> None:
        self._hosts, self._limit = hosts, gigabytes * 2**30
        self._next = time.monotonic() + _INTERVAL

    def __call__(self) -> str:
        """Return what is wrong, "" if nothing is."""
        began = time.monotonic()
        if not self._limit or began < self._next:
            return ""
        found = [host.name for host in self._hosts if used(host.tree) > self._limit]
        spent = time.monotonic() - began
        self._next = began + max(_INTERVAL, spent / _SHARE)
        if not found:
            return ""
        size = self._limit // 2**30
        return (
            f"ClientError: Artifact upload failed:Insufficient disk space on {', '.join(found)}: "
            f"/opt/ml holds more than the volume's {size} GB. Raise VolumeSizeInGB."
        )


def used(folder: Path) -> int:
    """Return how many bytes of the disk a folder takes."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue  # it went meanwhile
    return total
