"""Endpoints: created, updated as their deployment config says, scaled, deleted."""

from __future__ import annotations

import uuid

from local.sagemaker import events
from local.sagemaker.context import Context
from local.sagemaker.errors import invalid
from local.sagemaker.families.base import Family, operation
from local.sagemaker.families.endpoint_configs import KIND as CONFIG
from local.sagemaker.families.models import Models
from local.sagemaker.hosting import capacity, description, plan, serverless
from local.sagemaker.hosting.deployments import Deployments
from local.sagemaker.hosting.invocation import Runtime
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record

_SETTLED = ("InService", "Failed", "UpdateRollbackFailed")
_VARIANTS = ("ProductionVariants", "ShadowProductionVariants")


class Endpoints(Family):
    """Endpoints: serving containers, and updates that shift traffic between them.

    `Deployments` carries the operations out and says what a record holds.
    """

    kind = Kind(
        name="Endpoint",
        slug="endpoint",
        missing='Could not find endpoint "{arn}".',
        duplicate='Cannot create already existing endpoint "{arn}".',
        order="Descending",
        status="EndpointStatus",
        ignores_case=True,
    )

    def __init__(self, context: Context, runtime: Runtime) -> None:
        super().__init__(context)
        self._configs = Resources(CONFIG, context.store, context.cloud)
        self._models = Resources(Models.kind, context.store, context.cloud)
        self._deployments = Deployments(context, self.resources, runtime)
        self._emitted: dict[str, str] = {}

    def start(self) -> None:
        """Bring endpoints back to the config they served; finish what else was under way."""
        for record in self.resources.all():
            name, status = record["EndpointName"], record["EndpointStatus"]
            if status == "Deleting":
                self._deployments.remove(name)
            elif status == "Creating":
                self._deployments.create(name)
            elif status != "Failed":
                self.resources.update(name, {"EndpointStatus": "SystemUpdating"})
                self._deployments.restore(name)

    def close(self) -> None:
        """Leave records as they are, for the next start; kill what is being deployed."""
        self._deployments.close()

    def changed(self, record: Record) -> None:
        """Emit the endpoint's state, spelt as events spell it, and the news of a deployment."""
        if self._deployments.closed:
            return
        name, status = record["EndpointName"], record["EndpointStatus"]
        is_deploying = "PendingDeploymentSummary" in record or any(
            "VariantStatus" in variant for variant in record.get("ProductionVariants", [])
        )
        detail = events.detail("Endpoint", record)
        detail["EndpointStatus"] = events.upper_snake(status)
        arn = record["EndpointArn"]
        if not is_deploying or self._emitted.get(name) != status:
            self.context.cloud.emit("SageMaker Endpoint State Change", detail, [arn])
        if is_deploying:
            self.context.cloud.emit("SageMaker Endpoint Deployment State Change", detail, [arn])
        self._emitted[name] = status

    @operation
    def create_endpoint(self, request: Record) -> Record:
        """Begin to bring a config into service; a DeploymentConfig is kept for later updates."""
        strategy = request.get("DeploymentConfig")
        if strategy:
            plan.check(strategy)
        deployment = self._deployment(request["EndpointConfigName"])
        capacity.check_limit(deployment["config"], self.context.settings.instances)
        record = self.resources.create(
            request["EndpointName"],
            request,
            EndpointStatus="Creating",
            LastDeploymentConfig=strategy,
            _pending=deployment,
        )
        self._deployments.create(request["EndpointName"])
        return record

    @operation
    def update_endpoint(self, request: Record) -> Record:
        """Begin to replace the config that serves, in the way that a DeploymentConfig says."""
        deployment = self._deployment(request["EndpointConfigName"])

        def change(record: Record) -> None:
            if record["EndpointStatus"] == "Failed":
                raise invalid(f'Cannot update failed endpoint "{record["EndpointArn"]}".')
            _require(record, _SETTLED)
            serving = record["_serving"]["config"]
            config = deployment["config"] = self._wanted(request, serving, deployment["config"])
            counts = description.counts(config)
            last = record.get("LastDeploymentConfig") or {}
            kept = last if request.get("RetainDeploymentConfig") else {}
            strategy = request.get("DeploymentConfig") or kept
            plan.check(strategy, counts)
            falls_back = plan.excluded(serving) or plan.excluded(config)
            deployment["strategy"] = {} if falls_back else strategy
            [first, *_] = plan.plan(deployment["strategy"], {}, counts)
            record.pop("FailureReason", None)
            record.update(
                EndpointStatus="Updating",
                LastDeploymentConfig=strategy or last or None,
                PendingDeploymentSummary=description.pending(deployment, first.launched),
                _pending=deployment,
            )

        record = self.resources.update(request["EndpointName"], change)
        self._deployments.update(request["EndpointName"])
        return record

    @operation
    def update_endpoint_weights_and_capacities(self, request: Record) -> Record:
        """Begin to weigh variants anew and to start or stop their instances."""
        wanted = request["DesiredWeightsAndCapacities"]

        def change(record: Record) -> None:
            _require(record, ("InService",))
            capacity.check(record["_serving"]["config"], wanted, self.context.settings.instances)
            record.pop("FailureReason", None)
            record.update(EndpointStatus="Updating", _scaling=wanted)
            description.show_desired(record["ProductionVariants"], wanted)

        record = self.resources.update(request["EndpointName"], change)
        self._deployments.scale(request["EndpointName"])
        return record

    @operation
    def delete_endpoint(self, request: Record) -> None:
        """Begin to remove an endpoint, which inference components must have left."""
        name = request["EndpointName"]
        if any(
            each["EndpointName"] == name for each in self.context.store.all("InferenceComponent")
        ):
            raise invalid(
                f'Cannot delete endpoint "{self.resources.arn(name)}" with inference components. '
                "Delete them first."
            )

        def change(record: Record) -> None:
            _require(record, _SETTLED)
            record["EndpointStatus"] = "Deleting"

        self.resources.update(request["EndpointName"], change)
        self._deployments.remove(request["EndpointName"])

    def _wanted(self, request: Record, serving: Record, config: Record) -> Record:
        """Return the config that an update is to, with what it retains of the one that serves."""
        serverless.check_update(serving, config)
        capacity.check_scaled(serving, config, self.context.scaled(request["EndpointName"]))
        if request.get("RetainAllVariantProperties"):
            excluded = request.get("ExcludeRetainedVariantProperties", [])
            names = {each["VariantPropertyType"] for each in excluded}
            config = capacity.retained(serving, config, names)
        capacity.check_limit(config, self.context.settings.instances)
        return config

    def _deployment(self, config_name: str) -> Record:
        """Return a config and its models, as they are now."""
        config = self._configs.get(config_name)
        variants = [variant for kind in _VARIANTS for variant in config.get(kind, [])]
        names = {variant["ModelName"] for variant in variants if "ModelName" in variant}
        models = {name: self._models.get(name) for name in names}
        return {"id": uuid.uuid4().hex[:12], "config": config, "models": models, "strategy": {}}


def _require(record: Record, statuses: tuple[str, ...]) -> None:
    if record["EndpointStatus"] not in statuses:
        raise invalid(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
