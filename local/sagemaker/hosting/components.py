"""Inference components: models with copies of their own, on the instances of an endpoint.

"Deploy models for real-time inference", CreateInferenceComponent. An endpoint for components has
variants without a model: their instances are room, nothing runs there but the copies. Here every
copy is a process of this machine, wherever the instances are.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from local.sagemaker.context import Context
from local.sagemaker.hosting.asking import LOG_GROUP
from local.sagemaker.hosting.fleet import Variant, retire
from local.sagemaker.hosting.instance import DeploymentError, maker
from local.sagemaker.store import Record

MODEL = "model"
"""What a component's only model is called in its deployment."""
_LOG_GROUP = LOG_GROUP.replace("Endpoints", "InferenceComponents")


@dataclass
class Component:
    """A component in service: its copies are a variant's replicas."""

    endpoint: str
    copies: Variant
    folder: Path

    def scale(self, count: int) -> None:
        """Start or stop copies. Raises DeploymentError, with the copies there were."""
        had = len(self.copies.replicas)
        try:
            self.copies.grow(max(0, count - had))
            self.copies.wait_ready()
        except DeploymentError:
            retire(self.copies.shrink(len(self.copies.replicas) - had))
            raise
        if count < had:
            retire(self.copies.shrink(had - count))

    def stop(self) -> None:
        """Stop every copy, once what it was asked is answered."""
        retire(self.copies.close())
        shutil.rmtree(self.folder, ignore_errors=True)


def start(context: Context, record: Record, count: int) -> Component:
    """Start a component's copies and wait for them. Raises DeploymentError, with none left."""
    name, deployment = record["InferenceComponentName"], record["_deployment"]
    folder = context.state / "components" / name / deployment["id"]
    variant = {"VariantName": record["VariantName"], "ModelName": MODEL}
    make = maker(
        context,
        record["EndpointName"],
        deployment,
        variant,
        folder,
        log_group=f"{_LOG_GROUP}/{name}",
    )
    startup = record["Specification"].get("StartupParameters", {})
    copies = Variant(
        record["VariantName"],
        1.0,
        make,
        startup.get("ContainerStartupHealthCheckTimeoutInSeconds", context.settings.ping_timeout),
        deployment["least_outstanding"],
        component=name,
    )
    component = Component(record["EndpointName"], copies, folder)
    try:
        component.scale(count)
    except DeploymentError:
        component.stop()
        raise
    return component
