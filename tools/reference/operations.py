"""docs/local-operations.md: what of SageMaker's API the local AWS carries out."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from local.autoscaling.service import AutoScaling
from local.sagemaker import SageMaker, shapes
from local.sagemaker.hosting.invocation import Runtime
from local.sagemaker.settings import Settings
from reference import markdown as md

_INTRODUCTION = """
Every operation of botocore's models of these services is in one of three classes.

- **Runs for real**: it does what AWS's operation does, on this machine. What differs is said on the
  pages that [local mode](local-mode.md) lists.
- **Stored only**: it is accepted and kept, and nothing here acts on it as AWS does.
- **Refused**: HTTP 501, error code `NotImplementedLocally`. Nothing is ever ignored in silence.

An operation that runs may still refuse some of its members in the same way; the pages name them.
"""
_SERVICES = {
    "sagemaker": "The control plane",
    "sagemaker-runtime": "Requests to endpoints",
    "sagemaker-featurestore-runtime": "Records of the feature store",
    "sagemaker-metrics": "Metrics of experiments",
    "application-autoscaling": "Scaling of endpoint variants",
    "headrace-labeling": "Tasks of labeling jobs: an API of our own",
}
_STORED = "stored only"


@dataclass(frozen=True)
class Row:
    """Operations of one service that one class of the local AWS answers."""

    service: str
    what: str
    real: list[str]
    stored: list[str]


def page(_root: Path) -> str:
    """Return the page."""
    found = list(rows())
    return md.page(
        "Operations of the local SageMaker",
        "the families of local/sagemaker and botocore's models",
        _INTRODUCTION,
        md.table(
            ["service", "", "operations", "run for real", _STORED, "refused"],
            [_counts(service, found) for service in _SERVICES],
        ),
        *(block for service in _SERVICES for block in _section(service, found)),
        "## Refused",
        *(_folded(service, refused(service, found)) for service in _SERVICES),
    )


def rows() -> Iterator[Row]:
    """Return what runs, as a service that is made but not started says."""
    with tempfile.TemporaryDirectory() as folder:
        nowhere: Any = SimpleNamespace(region="", account_id="", endpoint_url="")
        service = SageMaker(Path(folder), nowhere, Settings())
        scaling = AutoScaling(Path(folder), service.call, nowhere, period=60)
        runtime = set(Runtime.operations.values())
        yield _row("sagemaker-runtime", Runtime, runtime, frozenset())
        yield _row("application-autoscaling", AutoScaling, scaling.operations, frozenset())
        for each in service.answering:
            for name in ("sagemaker", *shapes.REST):
                if own := each.operations().keys() & set(_operations(name)):
                    yield _row(name, type(each), own, each.stored_only)


def _row(service: str, kind: type, names: set[str] | frozenset[str], stored: frozenset[str]) -> Row:
    real = sorted(names - stored)
    return Row(service, md.prose(kind.__doc__), real, sorted(names & stored))


def refused(service: str, found: list[Row]) -> list[str]:
    """Return the operations of a service that no row has."""
    running = {name for row in found for name in (*row.real, *row.stored)}
    return [name for name in _operations(service) if name not in running]


def _operations(service: str) -> list[str]:
    return sorted(shapes.service_model(service).operation_names)


def _counts(service: str, found: list[Row]) -> list[str]:
    own = [row for row in found if row.service == service]
    numbers = (
        len(_operations(service)),
        sum(len(row.real) for row in own),
        sum(len(row.stored) for row in own),
        len(refused(service, found)),
    )
    return [md.code(service), _SERVICES[service], *map(str, numbers)]


def _section(service: str, found: list[Row]) -> list[str]:
    own = [row for row in found if row.service == service]
    columns = ["", "runs for real"]
    if any(row.stored for row in own):
        columns.append(_STORED)
    cells = [[row.what, _listed(row.real), _listed(row.stored)][: len(columns)] for row in own]
    return [f"## {_SERVICES[service]}: `{service}`", md.table(columns, cells)]


def _listed(names: list[str]) -> str:
    return ", ".join(map(md.code, names))


def _folded(service: str, names: list[str]) -> str:
    if not names:
        return ""
    noun = "operation" if len(names) == 1 else "operations"
    summary = f"<summary>{len(names)} {noun} of <code>{service}</code></summary>"
    return f"<details>{summary}\n\n{_listed(names)}\n\n</details>"
