"""An endpoint's variants: made from a deployment, then chosen among by weight."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from local.sagemaker import toolkit
from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.replica import Replica, Serving, UnhealthyError, unpack_once
from local.sagemaker.images import Image
from local.sagemaker.processes import Command
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, TransferError, extract

if TYPE_CHECKING:
    from local.sagemaker.families.base import Context

LOG_GROUP = "/aws/sagemaker/Endpoints"
_DRAIN = 60.0  # seconds: the longest an invocation may take


class DeploymentError(Exception):
    """A deployment failed; the message is the endpoint's FailureReason."""


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
    model = deployment["models"][variant["ModelName"]]
    try:
        credentials = context.assume(model["ExecutionRoleArn"], f"{endpoint}-{name}"[:64])
        image = context.images.find(model["_container"]["Image"])
    except ServiceError as error:
        raise DeploymentError(error.message) from error
    replicas = []
    for number in range(variant["InitialInstanceCount"]):
        tree = folder / name / str(number)
        toolkit.make_tree(tree)
        _bring_model(context, credentials, model["_container"], tree / "model")
        isolated = bool(model.get("EnableNetworkIsolation"))
        serving = Serving(
            processes=context.processes,
            command=_serve_command(
                context, image, model["_container"], tree, None if isolated else credentials
            ),
            log=context.logs.stream(f"{LOG_GROUP}/{endpoint}", f"{name}/i-{number:017x}"),
            stop_grace=context.settings.serve_stop_grace,
        )
        replicas.append(Replica(serving))
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


def _serve_command(
    context: Context, image: Image, container: Record, tree: Path, credentials: Record | None
) -> Callable[[int], Command]:
    root = context.processes.root(tree)
    given = {
        **toolkit.common_variables(context.cloud, root, credentials),
        **image.variables(),
        "SM_MODEL_DIR": f"{root}/model",
        "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
        **container.get("Environment", {}),
    }

    def command(port: int) -> Command:
        return Command(image.argv("serve"), {**given, "SAGEMAKER_BIND_TO_PORT": str(port)}, tree)

    return command


def _bring_model(context: Context, credentials: Record, container: Record, folder: Path) -> None:
    """Unpack the model's data to /opt/ml/model. Raises DeploymentError in AWS's words."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    uri = container.get("ModelDataUrl") or source.get("S3Uri")

    def fill(partial: Path) -> None:
        if uri is None:
            return
        s3 = S3(context.cloud, credentials)
        if source.get("S3DataType") == "S3Prefix":
            s3.download_prefix(uri, partial)
            return
        archive = partial.with_name("model.tar.gz")
        s3.download_file(uri, archive)
        try:
            extract(archive, partial, context.settings.archive_bytes)
        finally:
            archive.unlink()

    try:
        unpack_once(folder, fill)
    except TransferError as error:
        raise DeploymentError(
            f'Failed to download model data from URL: "{uri}". Please ensure that there is an '
            "object located at the URL and that the role passed to CreateModel has permissions to "
            f"download the object. {error}"
        ) from error
