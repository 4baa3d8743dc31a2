"""What a variant's instances are: one container or several, with their model data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from local.sagemaker import toolkit
from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.asking import LOG_GROUP, Call, Container
from local.sagemaker.hosting.connection import Response
from local.sagemaker.hosting.multi_model import MultiModel
from local.sagemaker.hosting.pipeline import Chain
from local.sagemaker.hosting.replica import Serving, unpack_once
from local.sagemaker.images import Image
from local.sagemaker.processes import Command
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, TransferError, extract


class DeploymentError(Exception):
    """A deployment failed; the message is the endpoint's FailureReason."""


class Instance(Protocol):
    """One of a variant's instances: a container, or several that work together."""

    outstanding: int
    """Requests under way."""
    containers: list[Container]

    @property
    def ready(self) -> bool:
        """Whether it is healthy."""

    def start(self) -> None:
        """Start its containers."""

    def wait_ready(self, limit: float) -> None:
        """Wait until it is healthy. Raises UnhealthyError after `limit` seconds."""

    def stop(self) -> None:
        """Stop its containers, with their grace."""

    def kill(self) -> None:
        """Stop its containers at once."""

    async def answer(self, call: Call) -> Response:
        """Answer a call with status 2xx. Raises ServiceError."""


def maker(
    context: Context,
    endpoint: str,
    deployment: Record,
    variant: Record,
    folder: Path,
    *,
    log_group: str = "",
    environment: dict[str, str] | None = None,
) -> Callable[[int], Instance]:
    """Return what makes a variant's instance of a number, not started yet.

    `log_group` is the endpoint's own unless given; `environment` adds to that of every container.
    It, and what it returns, raise DeploymentError in AWS's words.
    """
    log_group = log_group or f"{LOG_GROUP}/{endpoint}"
    name = variant["VariantName"]
    if "ModelName" not in variant:
        return lambda _: Chain([], direct=False)
    model = deployment["models"][variant["ModelName"]]
    definitions = definitions_of(model)
    try:
        credentials = context.assume(model["ExecutionRoleArn"], f"{endpoint}-{name}"[:64])
        images = [context.images.find(definition["Image"]) for definition in definitions]
    except ServiceError as error:
        raise DeploymentError(error.message) from error
    given = None if model.get("EnableNetworkIsolation") else credentials

    def contain(number: int, place: int) -> Container:
        definition = definitions[place]
        settings = {**definition.get("Environment", {}), **(environment or {})}
        definition = {**definition, "Environment": settings}
        tree, stream, shown = folder / name / str(number), f"{name}/i-{number:017x}", "primary"
        if len(definitions) > 1:
            shown = definition["ContainerHostname"]
            tree, stream = tree / shown, f"{stream}/{shown}"
        toolkit.make_tree(tree)
        serving = Serving(
            processes=context.processes,
            command=_serve_command(context, images[place], definition, tree, given),
            log=context.logs.stream(log_group, stream),
            stop_grace=context.settings.serve_stop_grace,
            ping_interval=context.settings.ping_interval,
        )
        if definition.get("Mode") == "MultiModel":
            return MultiModel(serving, shown, context, credentials, definition, tree)
        _bring_model(context, credentials, definition, tree / "model")
        return Container(serving, shown)

    def make(number: int) -> Instance:
        containers = [contain(number, place) for place in range(len(definitions))]
        if len(containers) == 1:
            return containers[0]
        mode = model.get("InferenceExecutionConfig", {}).get("Mode", "Serial")
        return Chain(containers, direct=mode == "Direct")

    return make


def definitions_of(model: Record) -> list[Record]:
    """Return a model's container definitions, in their order."""
    found: list[Record] = model.get("_containers") or [model["_container"]]
    return found


def _serve_command(
    context: Context, image: Image, container: Record, tree: Path, credentials: Record | None
) -> Callable[[int], Command]:
    root = context.processes.root(tree)
    given = {
        **toolkit.common_variables(context.cloud, root, credentials),
        **image.variables(),
        "SM_MODEL_DIR": f"{root}/model",
        "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
        **({"SAGEMAKER_MULTI_MODEL": "true"} if container.get("Mode") == "MultiModel" else {}),
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
