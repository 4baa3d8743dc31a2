"""Inference components: created on an endpoint, scaled by copies, updated, deleted."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from typing import Any

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Family, operation
from local.sagemaker.families.endpoints import Endpoints
from local.sagemaker.families.models import Models
from local.sagemaker.hosting.components import MODEL, start
from local.sagemaker.hosting.instance import DeploymentError
from local.sagemaker.hosting.invocation import Runtime
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record

logger = logging.getLogger(__name__)


class InferenceComponents(Family):
    """Inference components: models with copies of their own on an endpoint's instances.

    A record keeps `_deployment`, the model as it was when its copies were started, and while it is
    updated `_pending`, what will replace it. Work runs in the background and ends in a status.
    """

    kind = Kind(
        name="InferenceComponent",
        slug="inference-component",
        missing='Could not find inference component "{arn}".',
        duplicate='Cannot create already existing inference component "{arn}".',
        order="Descending",
        status="InferenceComponentStatus",
    )
    generic = ("Describe",)

    def __init__(self, context: Context, runtime: Runtime) -> None:
        super().__init__(context)
        self._runtime = runtime
        self._endpoints = Resources(Endpoints.kind, context.store, context.cloud)
        self._models = Resources(Models.kind, context.store, context.cloud)
        self._closing = False

    def start(self) -> None:
        """Bring components back; finish what else was under way."""
        for record in self.resources.all():
            name, status = record["InferenceComponentName"], record["InferenceComponentStatus"]
            if status == "Deleting":
                self._in_background(name, self._remove)
            elif status != "Failed":
                self._in_background(name, self._deploy)

    def close(self) -> None:
        """Leave records as they are, for the next start."""
        self._closing = True

    @operation
    def create_inference_component(self, request: Record) -> Record:
        """Begin to start a model's copies on an endpoint."""
        endpoint = self._endpoints.get(request["EndpointName"])
        if endpoint["EndpointStatus"] != "InService":
            raise invalid(
                f'Endpoint "{endpoint["EndpointArn"]}" must be InService to create an inference '
                "component on it."
            )
        config = endpoint["_serving"]["config"]
        names = [variant["VariantName"] for variant in config["ProductionVariants"]]
        variant = request.get("VariantName", names[0])
        if variant not in names:
            raise invalid(f"Variant {variant} not found in endpoint {request['EndpointName']}.")
        if "ModelName" in config["ProductionVariants"][names.index(variant)]:
            raise invalid(
                f"Variant {variant} has a model of its own; inference components need a variant "
                "without ModelName."
            )
        if "RuntimeConfig" not in request:
            raise invalid("RuntimeConfig must be provided.")
        self._check_copies(request["RuntimeConfig"]["CopyCount"])
        deployment = self._deployment(config, variant, request)
        record = self.resources.create(
            request["InferenceComponentName"],
            request,
            VariantName=variant,
            EndpointArn=endpoint["EndpointArn"],
            InferenceComponentStatus="Creating",
            Specification=_shown(request["Specification"]),
            RuntimeConfig=_copies(request["RuntimeConfig"]["CopyCount"], 0),
            _deployment=deployment,
        )
        self._in_background(request["InferenceComponentName"], self._deploy)
        return record

    @operation
    def update_inference_component(self, request: Record) -> Record:
        """Begin to replace a component's model, or to start or stop copies."""
        if "DeploymentConfig" in request:
            raise not_implemented("UpdateInferenceComponent with DeploymentConfig")
        if "Specification" not in request and "Specifications" not in request:
            if "RuntimeConfig" not in request:
                raise invalid("Specification or RuntimeConfig must be provided.")
            wanted = {**request, "DesiredRuntimeConfig": request["RuntimeConfig"]}
            return self.update_inference_component_runtime_config(wanted)
        name = request["InferenceComponentName"]
        record = self.resources.get(name)
        config = self._endpoints.get(record["EndpointName"])["_serving"]["config"]
        deployment = self._deployment(config, record["VariantName"], request)

        def change(record: Record) -> None:
            _require_settled(record)
            if count := request.get("RuntimeConfig", {}).get("CopyCount"):
                self._check_copies(count)
                record["RuntimeConfig"]["DesiredCopyCount"] = count
            record.update(InferenceComponentStatus="Updating", FailureReason=None)
            record["_pending"] = {
                "deployment": deployment,
                "Specification": _shown(request["Specification"]),
            }

        record = self.resources.update(name, change)
        self._in_background(name, self._deploy)
        return record

    @operation
    def update_inference_component_runtime_config(self, request: Record) -> Record:
        """Begin to start or stop copies."""
        name, count = (
            request["InferenceComponentName"],
            request["DesiredRuntimeConfig"]["CopyCount"],
        )
        self._check_copies(count)

        def change(record: Record) -> None:
            _require_settled(record)
            record.update(InferenceComponentStatus="Updating", FailureReason=None)
            record["RuntimeConfig"]["DesiredCopyCount"] = count

        record = self.resources.update(name, change)
        self._in_background(name, self._scale)
        return record

    @operation
    def delete_inference_component(self, request: Record) -> None:
        """Begin to stop a component."""
        name = request["InferenceComponentName"]

        def change(record: Record) -> None:
            if record["InferenceComponentStatus"] in ("Creating", "Updating", "Deleting"):
                _require_settled(record)
            record["InferenceComponentStatus"] = "Deleting"

        self.resources.update(name, change)
        self._in_background(name, self._remove)

    @operation
    def list_inference_components(self, request: Record) -> Record:
        """List components, those of an endpoint or a variant if asked."""
        filters = {"EndpointNameEquals": "EndpointName", "VariantNameEquals": "VariantName"}
        wanted = {filters[key]: request[key] for key in filters if key in request}
        rest = {key: value for key, value in request.items() if key not in filters}
        records = [
            record
            for record in self.resources.all()
            if all(record[key] == value for key, value in wanted.items())
        ]
        return self.resources.list(rest, records)

    def _check_copies(self, count: int) -> None:
        limit = self.context.settings.instances
        if count > limit:
            raise ServiceError(
                "ResourceLimitExceeded",
                f"The local limit of copies is {limit}, and {count} were requested. "
                "HEADRACE_LOCAL_INSTANCES raises it.",
            )

    def _deployment(self, config: Record, variant: str, request: Record) -> Record:
        """Return the model a specification names or describes, as it is now."""
        if "Specifications" in request or "Specification" not in request:
            raise not_implemented("Specifications by instance type")
        specification = request["Specification"]
        for member in ("BaseInferenceComponentName", "DataCacheConfig", "InstanceType"):
            if member in specification:
                raise not_implemented(f"An inference component with {member}")
        if "ComputeResourceRequirements" not in specification:
            raise invalid("ComputeResourceRequirements must be provided.")
        if ("ModelName" in specification) == ("Container" in specification):
            raise invalid("Exactly one of ModelName and Container must be provided.")
        if "ModelName" in specification:
            model = self._models.get(specification["ModelName"])
        else:
            container = specification["Container"]
            self.context.images.find(container.get("Image", "")).argv("serve")
            renamed = {"ArtifactUrl": "ModelDataUrl"}
            definition = {renamed.get(key, key): value for key, value in container.items()}
            model = {"_container": definition, "ExecutionRoleArn": config["ExecutionRoleArn"]}
        strategies = {
            each["VariantName"]: each.get("RoutingConfig", {}).get("RoutingStrategy")
            for each in config["ProductionVariants"]
        }
        return {
            "id": uuid.uuid4().hex[:12],
            "models": {MODEL: model},
            "least_outstanding": strategies[variant] == "LEAST_OUTSTANDING_REQUESTS",
        }

    def _deploy(self, name: str) -> None:
        """Start what a record says is to serve; what serves already goes on until it does."""
        record = self.resources.get(name)
        pending = record.get("_pending")
        if pending:
            record["_deployment"] = pending["deployment"]
        component = start(self.context, record, record["RuntimeConfig"]["DesiredCopyCount"])
        old, self._runtime.components[name] = self._runtime.components.get(name), component
        changes: dict[str, Any] = {"_deployment": record["_deployment"], "_pending": None}
        if pending:
            changes["Specification"] = pending["Specification"]
        self._settle(name, changes)
        if old:
            old.stop()

    def _scale(self, name: str) -> None:
        record = self.resources.get(name)
        self._runtime.components[name].scale(record["RuntimeConfig"]["DesiredCopyCount"])
        self._settle(name, {})

    def _remove(self, name: str) -> None:
        component = self._runtime.components.pop(name, None)
        if component:
            component.stop()
        self.resources.delete(name)

    def _settle(self, name: str, changes: Record) -> None:
        count = len(self._runtime.components[name].copies.replicas)

        def change(record: Record) -> None:
            record.update(InferenceComponentStatus="InService", **changes)
            record["RuntimeConfig"] = _copies(count, count)

        if not self._closing:
            self.resources.update(name, change)

    def _in_background(self, name: str, work: Callable[[str], None]) -> None:
        def run() -> None:
            try:
                work(name)
            except DeploymentError as error:
                self._fail(name, str(error))
            except Exception as error:  # a component's boundary: it ends in a status
                logger.exception("inference component %s", name)
                self._fail(name, f"InternalServerError: {type(error).__name__}: {error}")

        threading.Thread(target=run, name=f"sagemaker-{name}", daemon=True).start()

    def _fail(self, name: str, reason: str) -> None:
        """Record a failure: what served before does still, or nothing does."""
        if self._closing:
            return
        if name in self._runtime.components:
            self._settle(name, {"FailureReason": reason[:1024], "_pending": None})
            return
        failed = {"InferenceComponentStatus": "Failed", "FailureReason": reason[:1024]}
        self.resources.update(name, {**failed, "_pending": None})


def _copies(desired: int, current: int) -> Record:
    return {"DesiredCopyCount": desired, "CurrentCopyCount": current}


def _shown(specification: Record) -> Record:
    """Return a specification as DescribeInferenceComponent shows it."""
    if "Container" not in specification:
        return specification
    container = dict(specification["Container"])
    image = container.pop("Image", "")
    deployed = {"SpecifiedImage": image, "ResolvedImage": image}
    return {**specification, "Container": {**container, "DeployedImage": deployed}}


def _require_settled(record: Record) -> None:
    if record["InferenceComponentStatus"] != "InService":
        raise invalid(
            f'Cannot update inference component "{record["InferenceComponentArn"]}" in status '
            f"{record['InferenceComponentStatus']}."
        )
