"""The entities of lineage that AWS makes by itself: for jobs, model packages and endpoints.

AWS ("Amazon SageMaker-created tracking entities"): a trial component for each job, with artifacts
for its image, data and model; a context for each package group, an artifact and actions for each
package; a context for each endpoint, an action for each deployment. Associations follow the data.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError
from local.sagemaker.store import Record

_NAME = 120  # characters of an entity's name
_PARAMETER = 2500  # characters of a trial component's parameter
_ENDED = ("Completed", "Failed", "Stopped")
logger = logging.getLogger(__name__)


class Observer:
    """Hears of every record, and makes entities; never fails what it observes."""

    def __init__(self, context: Context) -> None:
        self._call = context.call
        self._store = context.store
        self._cloud = context.cloud
        self._seen: dict[str, Any] = {}
        self._observe: dict[str, Callable[[Record], None]] = {
            "TrainingJob": self._training_job,
            "ProcessingJob": self._processing_job,
            "TransformJob": self._transform_job,
            "ModelPackage": self._model_package,
            "Endpoint": self._endpoint,
        }

    def __call__(self, kind: str, record: Record) -> None:
        """Take note of a record that was made or changed."""
        observe = self._observe.get(kind)
        if observe is None:
            return
        try:
            observe(record)
        except Exception:  # an observer's boundary: what it observes goes on
            logger.exception("lineage of %s", kind)

    # Jobs

    def _training_job(self, job: Record) -> None:
        component = self._job(job, "TrainingJob", "training-job", _training_parameters(job))
        if component is None:
            return
        self._image(job.get("AlgorithmSpecification", {}).get("TrainingImage"), component)
        for channel in job.get("InputDataConfig", []):
            uri = channel["DataSource"].get("S3DataSource", {}).get("S3Uri")
            self._artifact_of(uri, "DataSet", to=component)
        checkpoint = job.get("CheckpointConfig", {}).get("S3Uri")
        self._artifact_of(checkpoint, "Checkpoint", by=component)
        model = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        if job["TrainingJobStatus"] == "Completed":
            self._artifact_of(model, "Model", by=component)
        name = component.rpartition("/")[2]
        metrics = {
            each["MetricName"]: [[each["Timestamp"], None, each["Value"]]]
            for each in job.get("FinalMetricDataList", [])
        }
        self._store.update(
            "TrialComponent", name, lambda record: record["_metrics"].update(metrics)
        )

    def _processing_job(self, job: Record) -> None:
        component = self._job(job, "ProcessingJob", "processing-job", {})
        if component is None:
            return
        self._image(job["AppSpecification"].get("ImageUri"), component)
        for given in job.get("ProcessingInputs", []):
            self._artifact_of(given.get("S3Input", {}).get("S3Uri"), "DataSet", to=component)
        for made in job.get("ProcessingOutputConfig", {}).get("Outputs", []):
            self._artifact_of(made.get("S3Output", {}).get("S3Uri"), "DataSet", by=component)

    def _transform_job(self, job: Record) -> None:
        component = self._job(job, "TransformJob", "transform-job", {})
        if component is None:
            return
        source = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        self._artifact_of(source, "DataSet", to=component)
        self._artifact_of(job["TransformOutput"]["S3OutputPath"], "DataSet", by=component)

    def _job(self, job: Record, kind: str, slug: str, parameters: Record) -> str | None:
        """Keep a job's trial component up to date; return its ARN when its artifacts are due."""
        arn, status = job[f"{kind}Arn"], job[f"{kind}Status"]
        name = f"{job[f'{kind}Name']}-aws-{slug}"[-_NAME:]
        started = job.get("TrainingStartTime") or job.get("ProcessingStartTime")
        state = (status, started)
        if self._seen.get(arn) == state:
            return None
        self._seen[arn] = state
        if status in _ENDED:
            del self._seen[arn]  # nothing more will come of it
        change: Record = {"TrialComponentName": name, "Status": {"PrimaryStatus": status}}
        if reason := job.get("FailureReason"):
            change["Status"]["Message"] = reason[:1024]
        if started:
            change["StartTime"] = started
        if status in _ENDED:
            change["EndTime"] = job["LastModifiedTime"]
        record = self._store.get("TrialComponent", name)
        if record is None:
            source = {"SourceArn": arn, "SourceType": f"SageMaker{kind}"}
            given = {"DisplayName": job[f"{kind}Name"], "Parameters": parameters}
            self._call("CreateTrialComponent", {**given, **change})
            self._store.update("TrialComponent", name, lambda record: record.update(Source=source))
            self._experiment(name, job.get("ExperimentConfig", {}))
        else:
            self._call("UpdateTrialComponent", change)
        return self._arn(f"experiment-trial-component/{name}")

    def _experiment(self, component: str, config: Record) -> None:
        """Put a job's component into the trial its request names."""
        if "TrialComponentDisplayName" in config:
            shown = {"DisplayName": config["TrialComponentDisplayName"]}
            self._call("UpdateTrialComponent", {"TrialComponentName": component, **shown})
        if "TrialName" in config:
            trial = {"TrialName": config["TrialName"], "TrialComponentName": component}
            try:
                self._call("AssociateTrialComponent", trial)
            except ServiceError as error:
                logger.warning("trial component %s: %s", component, error.message)

    # Model packages

    def _model_package(self, package: Record) -> None:
        status = package.get("ModelApprovalStatus", "")
        arn = package["ModelPackageArn"]
        artifact = self._artifact(arn, "Model", package.get("ModelPackageDescription"))
        for container in package.get("InferenceSpecification", {}).get("Containers", []):
            self._image(container.get("Image"), artifact)
            self._artifact_of(_model_data(container), "Model", to=artifact)
        if "ModelPackageGroupName" not in package:
            return
        group = package["ModelPackageGroupName"]
        context = self._context(
            f"{group}-aws-model-group", self._arn(f"model-package-group/{group}"), "ModelGroup"
        )
        self._associate(artifact, context, "AssociatedWith")
        if self._seen.get(arn) != status and status != self._last_approval(artifact):
            name = f"{group}-{package['ModelPackageVersion']}-{status}-{time.time():.0f}"
            approval = self._action(f"{name}-aws-model-group", arn, "Approval", status)
            self._associate(approval, artifact, "ContributedTo")
        self._seen[arn] = status

    def _last_approval(self, artifact: str) -> str:
        """Return the approval status that the newest action on a package gave it."""
        found = self._call(
            "ListAssociations",
            {"DestinationArn": artifact, "SourceType": "Approval", "MaxResults": 1},
        )["AssociationSummaries"]
        if not found:
            return ""
        action = self._call("DescribeAction", {"ActionName": found[0]["SourceArn"]})
        return str(action["Properties"]["ModelApprovalStatus"])

    # Endpoints

    def _endpoint(self, endpoint: Record) -> None:
        """Make a deployment's entities once it serves; its name tells it from others."""
        deployment = endpoint.get("_serving")
        if endpoint["EndpointStatus"] != "InService" or not deployment:
            return
        arn, name = endpoint["EndpointArn"], endpoint["EndpointName"]
        if self._seen.get(arn) == deployment["id"]:
            return
        self._seen[arn] = deployment["id"]
        context = self._context(f"{name}-aws-endpoint", arn, "Endpoint")
        title = f"{name}-{deployment['id']}-aws-endpoint"
        action = self._action(title, arn, "ModelDeployment")
        self._associate(action, context, "AssociatedWith")
        for model in deployment["models"].values():
            for container in _containers(model):
                if "ModelPackageName" in container:
                    package = self._artifact(container["ModelPackageName"], "Model")
                    self._associate(package, action, "ContributedTo")
                self._image(container.get("Image"), action)
                self._artifact_of(_model_data(container), "Model", to=action)

    # Entities

    def _image(self, uri: str | None, user: str) -> None:
        self._artifact_of(uri, "Image", to=user)

    def _artifact_of(
        self, uri: str | None, kind: str, to: str | None = None, by: str | None = None
    ) -> None:
        """Make an artifact that contributed `to` an entity, or was produced `by` one."""
        if not uri:
            return
        artifact = self._artifact(uri, kind)
        if to:
            self._associate(artifact, to, "ContributedTo")
        if by:
            self._associate(by, artifact, "Produced")

    def _artifact(self, uri: str, kind: str, description: str | None = None) -> str:
        request: Record = {"Source": {"SourceUri": uri}, "ArtifactType": kind}
        if description:
            request["Properties"] = {"Description": description[:256]}
        return str(self._call("CreateArtifact", request)["ArtifactArn"])

    def _action(self, name: str, source: str, kind: str, approval: str = "") -> str:
        request: Record = {
            "ActionName": name[-_NAME:].lstrip("-"),
            "Source": {"SourceUri": source},
            "ActionType": kind,
            "Status": "Completed",
        }
        if approval:
            request["Properties"] = {"ModelApprovalStatus": approval}
        return self._made("Action", request)

    def _context(self, name: str, source: str, kind: str) -> str:
        request = {
            "ContextName": name[-_NAME:].lstrip("-"),
            "Source": {"SourceUri": source},
            "ContextType": kind,
        }
        return self._made("Context", request)

    def _made(self, kind: str, request: Record) -> str:
        """Return the ARN of an action or context, made unless it is there."""
        name = request[f"{kind}Name"]
        if self._store.get(kind, name) is None:
            try:
                self._call(f"Create{kind}", request)
            except ServiceError:
                if self._store.get(kind, name) is None:
                    raise  # not because another thread was first
        return self._arn(f"{kind.lower()}/{name}")

    def _associate(self, source: str, destination: str, kind: str) -> None:
        ends = {"SourceArn": source, "DestinationArn": destination}
        self._call("AddAssociation", {**ends, "AssociationType": kind})

    def _arn(self, resource: str) -> str:
        return f"arn:aws:sagemaker:{self._cloud.region}:{self._cloud.account_id}:{resource}"


def _training_parameters(job: Record) -> Record:
    parameters = {
        name: {"StringValue": value[:_PARAMETER]}
        for name, value in job.get("HyperParameters", {}).items()
    }
    for name, value in job.get("ResourceConfig", {}).items():
        if isinstance(value, str):
            parameters[f"SageMaker.{name}"] = {"StringValue": value}
        elif isinstance(value, int):
            parameters[f"SageMaker.{name}"] = {"NumberValue": float(value)}
    return dict(list(parameters.items())[:300])


def _containers(model: Record) -> Iterable[Record]:
    """Return a model's containers: as they were given, and as they run."""
    given = model.get("Containers") or [model["PrimaryContainer"]]
    return [*given, *(model.get("_containers") or [])]


def _model_data(container: Record) -> str | None:
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    uri: str | None = container.get("ModelDataUrl") or source.get("S3Uri")
    return uri
