"""What endpoints' containers use of this machine, from /proc.

CPUUtilization (percent of one core), MemoryUtilization and DiskUtilization (percent of what there
is) of "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch". A container that uses
more memory than its serverless variant has is killed, as out-of-memory containers are.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from local.sagemaker.hosting.asking import Container
from local.sagemaker.hosting.fleet import Fleet, Variant
from local.sagemaker.hosting.measures import Measures
from local.sagemaker.hosting.multi_model import MultiModel

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MEMORY = os.sysconf("SC_PHYS_PAGES") * _PAGE


@dataclass
class Use:
    """CPU ticks since the start and bytes in memory, of all processes of a container."""

    ticks: int = 0
    memory: int = 0


class Usage:
    """Samples the containers; `interval` seconds lie between two samples at least."""

    def __init__(self, measures: Measures, disk: Path, interval: float) -> None:
        self._measures = measures
        self._disk = disk
        self._interval = interval
        self._sampled = time.monotonic()
        self._before: dict[int, int] = {}
        self._loaded: dict[tuple[str, str], int] = {}

    def sample(self, fleets: Iterable[Fleet]) -> None:
        """Note what the containers of fleets use."""
        variants = [(fleet.endpoint, each) for fleet in fleets for each in fleet.all_variants]
        for endpoint, variant in variants:
            many = [each for each in containers_of(variant) if isinstance(each, MultiModel)]
            count = sum(container.loaded for container in many)
            if many and self._loaded.get((endpoint, variant.name)) != count:
                self._loaded[endpoint, variant.name] = count
                self._measures.add(endpoint, variant.name, [("LoadedModelCount", float(count))])
        passed = time.monotonic() - self._sampled
        if passed < self._interval or not variants:
            return
        self._sampled = time.monotonic()
        found, before = uses(), self._before
        self._before = {session: use.ticks for session, use in found.items()}
        total, used, _ = shutil.disk_usage(self._disk)
        for endpoint, variant in variants:
            for container in containers_of(variant):
                use = found.get(container.pid) if container.pid else None
                if use is None or container.pid not in before:
                    continue
                values = utilization(use, before[container.pid], passed)
                values.append(("DiskUtilization", round(used / total * 100, 1)))
                self._measures.add(endpoint, variant.name, values)
                _limit_memory(variant, container, use.memory)


def containers_of(variant: Variant) -> list[Container]:
    """Return every container of a variant's instances."""
    return [container for instance in variant.replicas for container in instance.containers]


def _limit_memory(variant: Variant, container: Container, used: int) -> None:
    if variant.serverless and used > variant.serverless.memory:
        container.restart(
            f"Killed: it used {used // 2**20} MB of memory, more than MemorySizeInMB allows"
        )


def utilization(use: Use, ticks_before: int, passed: float) -> list[tuple[str, float]]:
    """Return the metrics of CPU and memory since an earlier sample, `passed` seconds ago."""
    return [
        ("CPUUtilization", round((use.ticks - ticks_before) / _TICKS / passed * 100, 1)),
        ("MemoryUtilization", round(use.memory / _MEMORY * 100, 1)),
    ]


def uses() -> dict[int, Use]:
    """Return what every session of processes uses; a container is a session of its own."""
    found: dict[int, Use] = defaultdict(Use)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
        use = found[int(fields[3])]
        use.ticks += int(fields[11]) + int(fields[12])
        use.memory += int(fields[21]) * _PAGE
    return found
