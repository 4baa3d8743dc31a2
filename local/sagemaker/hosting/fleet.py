"""An endpoint's variants: made from a deployment, then chosen among by weight."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from local.sagemaker.hosting.instance import DeploymentError, maker
from local.sagemaker.hosting.replica import Replica, UnhealthyError
from local.sagemaker.store import Record

if TYPE_CHECKING:
    from local.sagemaker.families.base import Context

_DRAIN = 60.0  # seconds: the longest an invocation may take


@dataclass
class Variant:
    """A production variant that serves."""

    name: str
    weight: float
    replicas: list[Replica]
    startup_seconds: float
    least_outstanding: bool = False

    def wait_ready(self) -> None:
        """Wait until every replica is healthy. Raises DeploymentError if one does not get there."""
        deadline = time.monotonic() + self.startup_seconds
        for replica in self.replicas:
            try:
                replica.wait_ready(deadline - time.monotonic())
            except UnhealthyError as error:
                raise DeploymentError(
                    f"The primary container for production variant {self.name} did not pass the "
                    "ping health check. Please check CloudWatch logs for this endpoint. Last "
                    f"lines: {error}"
                ) from error

    def kill(self) -> None:
        """Stop every replica at once."""
        for replica in self.replicas:
            replica.kill()

    def pick(self) -> Replica | None:
        """Choose a healthy replica: at random (SageMaker's default) or the least busy."""
        ready = [replica for replica in self.replicas if replica.ready]
        if len(ready) < 2:
            return ready[0] if ready else None
        if self.least_outstanding:
            return min(ready, key=lambda replica: replica.outstanding)
        return random.choice(ready)  # noqa: S311 - routing


@dataclass
class Fleet:
    """All that serves one deployment of an endpoint."""

    endpoint: str
    deployment: Record
    variants: dict[str, Variant]
    role: str
    capture: Record | None = None
    _cumulative: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cumulative = list(accumulate(variant.weight for variant in self.variants.values()))

    def pick(self) -> Variant:
        """Choose a variant; its share is its weight over the sum of weights."""
        variants = list(self.variants.values())
        if len(variants) == 1 or not self._cumulative[-1]:
            return variants[0]
        return random.choices(variants, cum_weights=self._cumulative)[0]  # noqa: S311 - routing

    def wait_ready(self) -> None:
        """Wait until every variant is healthy. Raises DeploymentError."""
        for variant in self.variants.values():
            variant.wait_ready()

    @property
    def replicas(self) -> list[Replica]:
        """Every replica of every variant."""
        return [replica for variant in self.variants.values() for replica in variant.replicas]

    def stop(self) -> None:
        """Let requests under way finish, then stop every container."""
        deadline = time.monotonic() + _DRAIN
        while any(replica.outstanding for replica in self.replicas) and time.monotonic() < deadline:
            time.sleep(0.02)
        with ThreadPoolExecutor(max_workers=max(1, len(self.replicas))) as pool:
            list(pool.map(lambda replica: replica.stop(), self.replicas))

    def kill(self) -> None:
        """Stop every container at once."""
        for variant in self.variants.values():
            variant.kill()


def launch(context: Context, endpoint: str, deployment: Record, folder: Path) -> Fleet:
    """Start everything of a deployment; `Fleet.wait_ready` says whether it is healthy.

    `deployment` holds `config` (an endpoint config) and `models` (by name), as they were when the
    deployment began. Raises DeploymentError, with nothing left running.
    """
    config = deployment["config"]
    with ExitStack() as undo:
        variants = {}
        for variant in config["ProductionVariants"]:
            started = _start(context, endpoint, deployment, variant, folder)
            undo.callback(started.kill)
            variants[started.name] = started
        undo.pop_all()
    first = config["ProductionVariants"][0]["ModelName"]
    role = deployment["models"][first]["ExecutionRoleArn"]
    capture = config.get("DataCaptureConfig")
    enabled = capture if capture and capture["EnableCapture"] else None
    return Fleet(endpoint, deployment, variants, role, enabled)


def _start(
    context: Context, endpoint: str, deployment: Record, variant: Record, folder: Path
) -> Variant:
    name = variant["VariantName"]
    make = maker(context, endpoint, deployment, variant, folder)
    replicas = [make(number) for number in range(variant["InitialInstanceCount"])]
    for replica in replicas:
        replica.start()
    strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy")
    return Variant(
        name,
        variant["InitialVariantWeight"],
        replicas,
        variant.get("ContainerStartupHealthCheckTimeoutInSeconds", context.settings.ping_timeout),
        strategy == "LEAST_OUTSTANDING_REQUESTS",
    )
