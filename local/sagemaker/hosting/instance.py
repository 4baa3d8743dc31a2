"""What a variant's instances are made of: model data, environment and command of a container."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from local.sagemaker import toolkit
from local.sagemaker.errors import ServiceError
from local.sagemaker.hosting.replica import Replica, Serving, unpack_once
from local.sagemaker.images import Image
from local.sagemaker.processes import Command
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, TransferError, extract

if TYPE_CHECKING:
    from local.sagemaker.families.base import Context

LOG_GROUP = "/aws/sagemaker/Endpoints"


class DeploymentError(Exception):
    """A deployment failed; the message is the endpoint's FailureReason."""


def maker(
    context: Context,
    endpoint: str,
    deployment: Record,
    variant: Record,
    folder: Path,
    *,
    log_group: str = "",
    environment: dict[str, str] | None = None,
) -> Callable[[int], Replica]:
    """Return what makes a variant's instance of a number, not started yet.

    `log_group` is the endpoint's own unless given; `environment` adds to that of every container.
    It, and what it returns, raise DeploymentError in AWS's words.
    """
    log_group = log_group or f"{LOG_GROUP}/{endpoint}"
    name = variant["VariantName"]
    model = deployment["models"][variant["ModelName"]]
    container = model["_container"]
    settings = {**container.get("Environment", {}), **(environment or {})}
    container = {**container, "Environment": settings}
    try:
        credentials = context.assume(model["ExecutionRoleArn"], f"{endpoint}-{name}"[:64])
        image = context.images.find(container["Image"])
    except ServiceError as error:
        raise DeploymentError(error.message) from error
    given = None if model.get("EnableNetworkIsolation") else credentials

    def make(number: int) -> Replica:
        tree = folder / name / str(number)
        toolkit.make_tree(tree)
        _bring_model(context, credentials, container, tree / "model")
        serving = Serving(
            processes=context.processes,
            command=_serve_command(context, image, container, tree, given),
            log=context.logs.stream(log_group, f"{name}/i-{number:017x}"),
            stop_grace=context.settings.serve_stop_grace,
        )
        return Replica(serving)

    return make


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
