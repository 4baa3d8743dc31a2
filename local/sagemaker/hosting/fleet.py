"""An endpoint's variants: made from a deployment, then chosen among by weight."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.sagemaker.hosting.instance import DeploymentError, maker
from local.sagemaker.hosting.replica import Replica, UnhealthyError
from local.sagemaker.hosting.traffic import Routes, Target
from local.sagemaker.store import Record

if TYPE_CHECKING:
    from local.sagemaker.families.base import Context

_DRAIN = 60.0  # seconds: the longest an invocation may take
_SETTLE = 0.05  # a request that was given a replica in this moment counts itself first


@dataclass
class Variant:
    """A production variant that serves. `replicas` is never changed in place: requests read it."""

    name: str
    weight: float
    make: Callable[[int], Replica]
    startup_seconds: float
    least_outstanding: bool = False
    replicas: list[Replica] = field(default_factory=list)
    active: int | None = None
    """How many replicas, the oldest first, get requests; None for all of them."""
    _made: int = 0

    def grow(self, count: int) -> None:
        """Start replicas; they get requests once healthy. Raises DeploymentError."""
        added = [self.make(self._made + number) for number in range(count)]
        self._made += count
        for replica in added:
            replica.start()
        self.replicas = [*self.replicas, *added]

    def shrink(self, count: int) -> list[Replica]:
        """Take the newest replicas out of service and return them, for `retire`."""
        keep = max(0, len(self.replicas) - count)
        taken, self.replicas = self.replicas[keep:], self.replicas[:keep]
        return taken

    def wait_ready(self, limit: float = float("inf")) -> None:
        """Wait until every replica is healthy. Raises DeploymentError if one does not get there."""
        deadline = time.monotonic() + min(limit, self.startup_seconds)
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
        ready = [replica for replica in self.replicas[: self.active] if replica.ready]
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
    deploying: str = ""
    """The config's name while it is being deployed: its metrics are then published apart too."""
    routes: Routes = field(init=False)
    """Where the endpoint's requests go; during a deployment also to the new fleet."""

    def __post_init__(self) -> None:
        self.routes = Routes.of(self)

    def target(self, variant: str | None = None) -> Target | None:
        """Choose where a request goes, None if no variant has that name."""
        routes = self.routes.named(variant) if variant else self.routes
        return routes.pick() if routes else None

    def wait_ready(self, limit: float = float("inf")) -> None:
        """Wait until every variant is healthy, `limit` seconds at most. Raises DeploymentError."""
        deadline = time.monotonic() + limit
        for variant in self.variants.values():
            variant.wait_ready(deadline - time.monotonic())

    @property
    def replicas(self) -> list[Replica]:
        """Every replica of every variant."""
        return [replica for variant in self.variants.values() for replica in variant.replicas]

    def stop(self) -> None:
        """Let requests under way finish, then stop every container."""
        retire(self.replicas)

    def kill(self) -> None:
        """Stop every container at once."""
        for variant in self.variants.values():
            variant.kill()


def retire(replicas: list[Replica]) -> None:
    """Stop containers that get no new requests, once those under way are answered."""
    time.sleep(_SETTLE)
    deadline = time.monotonic() + _DRAIN
    while any(replica.outstanding for replica in replicas) and time.monotonic() < deadline:
        time.sleep(0.02)
    with ThreadPoolExecutor(max_workers=max(1, len(replicas))) as pool:
        list(pool.map(lambda replica: replica.stop(), replicas))


def launch(
    context: Context,
    endpoint: str,
    deployment: Record,
    folder: Path,
    counts: Mapping[str, int] | None = None,
) -> Fleet:
    """Start everything of a deployment; `Fleet.wait_ready` says whether it is healthy.

    `deployment` holds `config` (an endpoint config) and `models` (by name), as they were when the
    deployment began; `counts` how many replicas to start of each variant, all unless given.
    Raises DeploymentError, with nothing left running.
    """
    config = deployment["config"]
    counts = counts or {}
    with ExitStack() as undo:
        variants = {}
        for variant in config["ProductionVariants"]:
            started = _variant(context, endpoint, deployment, variant, folder)
            undo.callback(started.kill)
            variants[started.name] = started
            started.grow(counts.get(started.name, variant["InitialInstanceCount"]))
        undo.pop_all()
    first = config["ProductionVariants"][0]["ModelName"]
    role = deployment["models"][first]["ExecutionRoleArn"]
    capture = config.get("DataCaptureConfig")
    enabled = capture if capture and capture["EnableCapture"] else None
    return Fleet(endpoint, deployment, variants, role, enabled)


def _variant(
    context: Context, endpoint: str, deployment: Record, variant: Record, folder: Path
) -> Variant:
    strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy")
    return Variant(
        variant["VariantName"],
        variant["InitialVariantWeight"],
        maker(context, endpoint, deployment, variant, folder),
        variant.get("ContainerStartupHealthCheckTimeoutInSeconds", context.settings.ping_timeout),
        strategy == "LEAST_OUTSTANDING_REQUESTS",
    )
