"""An endpoint's variants: made from a deployment, then chosen among by weight."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from local.sagemaker.context import Context
from local.sagemaker.hosting.asking import Call, unhealthy
from local.sagemaker.hosting.connection import Response
from local.sagemaker.hosting.instance import DeploymentError, Instance, maker
from local.sagemaker.hosting.multi_model import MultiModel
from local.sagemaker.hosting.replica import UnhealthyError
from local.sagemaker.hosting.serverless import Serverless
from local.sagemaker.hosting.traffic import Routes, Target
from local.sagemaker.store import Record

_DRAIN = 60.0  # seconds: the longest an invocation may take
_SETTLE = 0.05  # a request that was given a replica in this moment counts itself first


@dataclass
class Variant:
    """A production variant that serves. `replicas` is never changed in place: requests read it."""

    name: str
    weight: float
    make: Callable[[int], Instance]
    startup_seconds: float
    least_outstanding: bool = False
    replicas: list[Instance] = field(default_factory=list)
    active: int | None = None
    """How many replicas, the oldest first, get requests; None for all of them."""
    serverless: Serverless | None = None
    """What answers in place of replicas that always run."""
    component: str = ""
    """The inference component whose copies the replicas are."""
    closed: bool = False
    """Whether it was taken out of service: its replicas are being stopped, and none may start."""
    _made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    async def answer(self, call: Call) -> Response:
        """Answer a call with status 2xx. Raises ServiceError."""
        if self.serverless:
            return await self.serverless.answer(self, call)
        replica = self.pick(call.option("target-model"))
        if replica is None:
            raise unhealthy(self.name)
        return await replica.answer(call)

    def adopt(self, replica: Instance) -> None:
        """Count a replica among the variant's, to be stopped with it. Raises ServiceUnavailable."""
        with self._lock:
            if self.closed:
                raise unhealthy(self.name)
            self.replicas = [*self.replicas, replica]

    def release(self, replica: Instance) -> None:
        """Forget a replica that is being stopped."""
        with self._lock:
            self.replicas = [each for each in self.replicas if each is not replica]

    def close(self) -> list[Instance]:
        """Adopt no more replicas; return those there are."""
        with self._lock:
            self.closed = True
            return self.replicas

    def grow(self, count: int) -> None:
        """Start replicas; they get requests once healthy. Raises DeploymentError."""
        added = [self.make(self._made + number) for number in range(count)]
        self._made += count
        for replica in added:
            replica.start()
        self.replicas = [*self.replicas, *added]

    def shrink(self, count: int) -> list[Instance]:
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
        for replica in self.close():
            replica.kill()

    def pick(self, model: str | None = None) -> Instance | None:
        """Choose a healthy replica: at random (SageMaker's default) or the least busy.

        One that has a model already, of those that hold many, is preferred.
        """
        ready = [replica for replica in self.replicas[: self.active] if replica.ready]
        if len(ready) < 2:
            return ready[0] if ready else None
        if model:
            held = (each for each in ready if isinstance(each, MultiModel) and each.holds(model))
            ready = list(held) or ready
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
    shadows: dict[str, Variant] = field(default_factory=dict)
    """Variants that get copies of requests."""
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
        for variant in self.all_variants:
            variant.wait_ready(deadline - time.monotonic())

    @property
    def all_variants(self) -> list[Variant]:
        """Every variant, of production and shadow."""
        return [*self.variants.values(), *self.shadows.values()]

    @property
    def replicas(self) -> list[Instance]:
        """Every replica of every variant."""
        return [replica for variant in self.all_variants for replica in variant.replicas]

    def stop(self) -> None:
        """Let requests under way finish, then stop every container."""
        retire([replica for variant in self.all_variants for replica in variant.close()])

    def kill(self) -> None:
        """Stop every container at once."""
        for variant in self.all_variants:
            variant.kill()


def retire(replicas: list[Instance]) -> None:
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
        variants: dict[str, Variant] = {}
        shadows: dict[str, Variant] = {}
        for kind, started_of in (("", variants), ("Shadow", shadows)):
            for variant in config.get(f"{kind}ProductionVariants", []):
                started = _variant(context, endpoint, deployment, variant, folder)
                undo.callback(started.kill)
                started_of[started.name] = started
                started.grow(counts.get(started.name, _initial_count(context, variant)))
        undo.pop_all()
    role = role_of(deployment)
    capture = config.get("DataCaptureConfig")
    enabled = capture if capture and capture["EnableCapture"] else None
    return Fleet(endpoint, deployment, variants, role, enabled, shadows)


def role_of(deployment: Record) -> str:
    """Return the role that acts for an endpoint: its config's, else its first model's."""
    config = deployment["config"]
    first = config["ProductionVariants"][0].get("ModelName")
    role = config.get("ExecutionRoleArn") or deployment["models"][first]["ExecutionRoleArn"]
    return str(role)


def _initial_count(context: Context, variant: Record) -> int:
    """Return how many replicas a variant begins with: of a serverless one, what is provisioned."""
    if "ServerlessConfig" in variant:
        return Serverless.of(context, variant["ServerlessConfig"]).provisioned
    return int(variant["InitialInstanceCount"])


def _variant(
    context: Context, endpoint: str, deployment: Record, variant: Record, folder: Path
) -> Variant:
    strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy")
    serverless = variant.get("ServerlessConfig")
    return Variant(
        variant["VariantName"],
        variant["InitialVariantWeight"],
        maker(context, endpoint, deployment, variant, folder),
        variant.get("ContainerStartupHealthCheckTimeoutInSeconds", context.settings.ping_timeout),
        strategy == "LEAST_OUTSTANDING_REQUESTS",
        serverless=Serverless.of(context, serverless) if serverless else None,
    )
