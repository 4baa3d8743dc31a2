"""Endpoints: created, updated all at once with the old config serving meanwhile, deleted."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.sagemaker import events
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Context, Family, operation
from local.sagemaker.families.endpoint_configs import KIND as CONFIG
from local.sagemaker.families.models import Models
from local.sagemaker.hosting.fleet import Fleet, launch
from local.sagemaker.hosting.instance import DeploymentError
from local.sagemaker.hosting.invocation import Runtime
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record

_INTERRUPTED = (
    "The local AWS was restarted while the endpoint was updated; it serves the config it served "
    "before the update."
)
logger = logging.getLogger(__name__)


class Endpoints(Family):
    """Operations on endpoints.

    A record keeps its deployments whole: `_serving` is what serves, `_pending` what is being
    brought into service, each `{id, config, models}` as they were when the deployment began. So a
    config or model deleted meanwhile, or a restart, changes nothing of what an endpoint serves.
    """

    kind = Kind(
        name="Endpoint",
        slug="endpoint",
        missing='Could not find endpoint "{arn}".',
        duplicate='Cannot create already existing endpoint "{arn}".',
        order="Descending",
        status="EndpointStatus",
    )

    def __init__(self, context: Context, runtime: Runtime) -> None:
        super().__init__(context)
        self._runtime = runtime
        self._configs = Resources(CONFIG, context.store, context.cloud)
        self._models = Resources(Models.kind, context.store, context.cloud)
        self._folder = context.state / "endpoints"
        self._closing = False

    def start(self) -> None:
        """Bring endpoints back to the config they served; finish what else was under way."""
        for record in self.resources.all():
            name, status = record["EndpointName"], record["EndpointStatus"]
            if status == "Deleting":
                self._in_background(name, self._remove)
            elif status == "Creating":
                self._in_background(name, self._deploy)
            elif status != "Failed":
                self.resources.update(name, {"EndpointStatus": "SystemUpdating"})
                self._in_background(name, self._restore)

    def close(self) -> None:
        """Leave records as they are, for the next start."""
        self._closing = True

    def changed(self, record: Record) -> None:
        """Emit the endpoint's state, spelt as events spell it."""
        if self._closing:
            return
        detail = events.detail("Endpoint", record)
        detail["EndpointStatus"] = events.upper_snake(record["EndpointStatus"])
        self.context.cloud.emit("SageMaker Endpoint State Change", detail, [record["EndpointArn"]])

    @operation
    def create_endpoint(self, request: Record) -> Record:
        """Begin to bring a config into service."""
        _check_deployment_config(request)
        deployment = self._deployment(request["EndpointConfigName"])
        record = self.resources.create(
            request["EndpointName"],
            request,
            EndpointStatus="Creating",
            LastDeploymentConfig=request.get("DeploymentConfig"),
            _pending=deployment,
        )
        self._in_background(request["EndpointName"], self._deploy)
        return record

    @operation
    def update_endpoint(self, request: Record) -> Record:
        """Begin to replace the config that serves."""
        _check_deployment_config(request)
        if request.get("ExcludeRetainedVariantProperties"):
            raise not_implemented("ExcludeRetainedVariantProperties")
        if request.get("RetainAllVariantProperties"):
            raise not_implemented("RetainAllVariantProperties")
        name = request["EndpointName"]
        deployment = self._deployment(request["EndpointConfigName"])

        def change(record: Record) -> None:
            if record["EndpointStatus"] == "Failed":
                raise invalid(f'Cannot update failed endpoint "{record["EndpointArn"]}".')
            self._require_settled(record)
            record.pop("FailureReason", None)
            record.update(EndpointStatus="Updating", _pending=deployment)
            if "DeploymentConfig" in request:
                record["LastDeploymentConfig"] = request["DeploymentConfig"]
            record["PendingDeploymentSummary"] = {
                "EndpointConfigName": request["EndpointConfigName"],
                "StartTime": time.time(),
                "ProductionVariants": _summaries(deployment, "Creating"),
            }

        record = self.resources.update(name, change)
        self._in_background(name, self._deploy)
        return record

    @operation
    def delete_endpoint(self, request: Record) -> None:
        """Begin to remove an endpoint."""

        def change(record: Record) -> None:
            self._require_settled(record)
            record["EndpointStatus"] = "Deleting"

        self.resources.update(request["EndpointName"], change)
        self._in_background(request["EndpointName"], self._remove)

    def _require_settled(self, record: Record) -> None:
        if record["EndpointStatus"] not in ("InService", "Failed"):
            raise invalid(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')

    def _deployment(self, config_name: str) -> Record:
        """Return a config and its models, as they are now."""
        config = self._configs.get(config_name)
        wanted = sum(variant["InitialInstanceCount"] for variant in config["ProductionVariants"])
        if wanted > self.context.settings.instances:
            raise ServiceError(
                "ResourceLimitExceeded",
                f"The local limit of instances per endpoint is {self.context.settings.instances}, "
                f"and {wanted} were requested. HEADRACE_LOCAL_INSTANCES raises it.",
            )
        names = {variant["ModelName"] for variant in config["ProductionVariants"]}
        models = {name: self._models.get(name) for name in names}
        return {"id": uuid.uuid4().hex[:12], "config": config, "models": models}

    def _deploy(self, name: str) -> None:
        """Bring the pending deployment into service; on failure what served goes on serving."""
        pending = self.resources.get(name)["_pending"]
        try:
            fleet = self._launch(name, pending)
            self._wait_ready(fleet)
        except DeploymentError as error:
            reason = str(error)[:1024]
            shutil.rmtree(self._path(name, pending), ignore_errors=True)
            self._settle(name, lambda record: _failed(record, reason))
            return
        old = self._runtime.fleets.get(name)
        self._put_in_service(name, fleet)
        if old:
            old.stop()
            shutil.rmtree(self._path(name, old.deployment), ignore_errors=True)

    def _restore(self, name: str) -> None:
        """Start again what served before a restart; requests are told to retry until it does."""
        record = self.resources.get(name)
        interrupted = record.get("_pending")
        try:
            fleet = self._runtime.fleets[name] = self._launch(name, record["_serving"])
            self._wait_ready(fleet)
        except DeploymentError as error:
            reason = str(error)[:1024]
            self._runtime.fleets.pop(name, None)
            self._settle(name, lambda record: _failed(record, reason, serves=False))
            return
        self._put_in_service(name, fleet)
        if interrupted:
            self.resources.update(name, {"FailureReason": _INTERRUPTED})
            shutil.rmtree(self._path(name, interrupted), ignore_errors=True)

    def _launch(self, name: str, deployment: Record) -> Fleet:
        return launch(self.context, name, deployment, self._path(name, deployment))

    def _wait_ready(self, fleet: Fleet) -> None:
        """Wait for a fleet; one that does not get ready is stopped. Raises DeploymentError."""
        try:
            fleet.wait_ready()
        except DeploymentError:
            fleet.stop()
            raise

    def _put_in_service(self, name: str, fleet: Fleet) -> None:
        """Send the endpoint's requests to a fleet from now on."""
        self._runtime.fleets[name] = fleet

        def change(record: Record) -> None:
            config = fleet.deployment["config"]
            record.update(
                EndpointStatus="InService",
                EndpointConfigName=config["EndpointConfigName"],
                ProductionVariants=_summaries(fleet.deployment),
                DataCaptureConfig=_capture_summary(config),
                _serving=fleet.deployment,
                _pending=None,
                PendingDeploymentSummary=None,
                FailureReason=None,
            )

        self._settle(name, change)

    def _remove(self, name: str) -> None:
        fleet = self._runtime.fleets.pop(name, None)
        if fleet:
            fleet.stop()
        shutil.rmtree(self._folder / name, ignore_errors=True)
        self.resources.delete(name)

    def _settle(self, name: str, change: Callable[[Record], None]) -> None:
        if not self._closing:
            self.resources.update(name, change)

    def _path(self, name: str, deployment: Record) -> Path:
        path: Path = self._folder / name / deployment["id"]
        return path

    def _in_background(self, name: str, work: Callable[[str], None]) -> None:
        def run() -> None:
            try:
                work(name)
            except Exception as error:  # a deployment's boundary: it ends in a status
                if self._closing:
                    return
                logger.exception("endpoint %s", name)
                reason = f"InternalServerError: {type(error).__name__}: {error}"[:1024]
                self._settle(name, lambda record: _failed(record, reason))

        threading.Thread(target=run, name=f"sagemaker-{name}", daemon=True).start()


def _failed(record: Record, reason: str, serves: bool = True) -> None:
    """Record a failed deployment: back to what served, or Failed if nothing does."""
    status = "InService" if serves and record.get("_serving") else "Failed"
    record.update(EndpointStatus=status, FailureReason=reason)
    record.update(_pending=None, PendingDeploymentSummary=None)


def _summaries(deployment: Record, status: str = "") -> list[Record]:
    """Return the variants of a deployment as DescribeEndpoint shows them."""
    now = time.time()
    summaries = []
    for variant in deployment["config"]["ProductionVariants"]:
        image = deployment["models"][variant["ModelName"]]["_container"]["Image"]
        weight, count = variant["InitialVariantWeight"], variant["InitialInstanceCount"]
        summary: dict[str, Any] = {
            "VariantName": variant["VariantName"],
            "DeployedImages": [
                {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": now}
            ],
            "CurrentWeight": weight,
            "DesiredWeight": weight,
            "CurrentInstanceCount": count,
            "DesiredInstanceCount": count,
        }
        if status:
            summary["VariantStatus"] = [{"Status": status, "StartTime": now}]
        summaries.append(summary)
    return summaries


def _capture_summary(config: Record) -> Record | None:
    capture = config.get("DataCaptureConfig")
    if not capture:
        return None
    return {
        "EnableCapture": capture["EnableCapture"],
        "CaptureStatus": "Started" if capture["EnableCapture"] else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }


def _check_deployment_config(request: Record) -> None:
    """Refuse what would not be done: anything but all at once, without waiting for alarms."""
    config = request.get("DeploymentConfig", {})
    policy = config.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    if "RollingUpdatePolicy" in config or routing["Type"] != "ALL_AT_ONCE":
        raise not_implemented("A deployment other than ALL_AT_ONCE")
    if config.get("AutoRollbackConfiguration", {}).get("Alarms"):
        raise not_implemented("AutoRollbackConfiguration")
    if policy.get("TerminationWaitInSeconds"):
        raise not_implemented("TerminationWaitInSeconds")
