"""The local SageMaker: operations gathered from the families, requests to them, and its life."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.sagemaker import rest, shapes
from local.sagemaker.cloud import Cloud
from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, not_implemented
from local.sagemaker.families.base import Family, Operations
from local.sagemaker.families.endpoint_configs import EndpointConfigs
from local.sagemaker.families.endpoints import Endpoints
from local.sagemaker.families.experiments import Experiments, Metrics, TrialComponents, Trials
from local.sagemaker.families.feature_groups import FeatureGroups
from local.sagemaker.families.feature_records import FeatureRecords
from local.sagemaker.families.inference_components import InferenceComponents
from local.sagemaker.families.job_definitions import FAMILIES as JOB_DEFINITIONS
from local.sagemaker.families.labeling import LabelingJobs
from local.sagemaker.families.lineage import Actions, Artifacts, Associations, Contexts
from local.sagemaker.families.model_cards import ModelCards
from local.sagemaker.families.models import Models
from local.sagemaker.families.monitoring import MonitoringSchedules
from local.sagemaker.families.processing import ProcessingJobs
from local.sagemaker.families.registry import ModelPackageGroups, ModelPackages
from local.sagemaker.families.search import Search
from local.sagemaker.families.tags import Tags
from local.sagemaker.families.training import TrainingJobs
from local.sagemaker.families.transform import TransformJobs
from local.sagemaker.families.tuning import HyperParameterTuningJobs
from local.sagemaker.families.workteams import Workforces, Workteams
from local.sagemaker.hosting.invocation import Answer, Runtime, error_body
from local.sagemaker.images import Images
from local.sagemaker.jobs.line import Jobs
from local.sagemaker.lineage.automatic import Observer
from local.sagemaker.logs import Logs
from local.sagemaker.processes import Processes
from local.sagemaker.resources import Handler
from local.sagemaker.settings import Settings
from local.sagemaker.store import Store

_TARGET = "SageMaker."
logger = logging.getLogger(__name__)


class SageMaker:
    """SageMaker on this machine, with its state in a folder.

    `call` and `handle` may be used from any thread or event loop; `handle` should be used from one
    event loop at a time. Nothing in `call` waits for S3 or for a container. `answering` holds what
    the operations were gathered from; endpoints are invoked through `hosting.invocation.Runtime`.
    """

    def __init__(self, state: Path, cloud: Cloud, settings: Settings | None = None) -> None:
        state = state.resolve()
        settings = settings or Settings.from_environment()
        store = Store(state / "sagemaker.db")
        self._context = Context(
            state=state,
            settings=settings,
            store=store,
            cloud=cloud,
            images=Images(settings.images),
            processes=Processes(store, settings.opt_ml),
            jobs=Jobs(settings.jobs, settings.stop_grace),
            logs=Logs(cloud),
            call=self.call,
        )
        self._runtime = Runtime(self._context)
        self._endpoints = Endpoints(self._context, self._runtime)
        self._packages = ModelPackages(self._context)
        features = FeatureGroups(self._context)
        components = TrialComponents(self._context)
        self._families: list[Family] = [
            TrainingJobs(self._context),
            ProcessingJobs(self._context),
            *(family(self._context) for family in JOB_DEFINITIONS),
            MonitoringSchedules(self._context),
            Workforces(self._context),
            Workteams(self._context),
            LabelingJobs(self._context),
            HyperParameterTuningJobs(self._context),
            TransformJobs(self._context),
            Models(self._context),
            EndpointConfigs(self._context),
            self._endpoints,
            InferenceComponents(self._context, self._runtime),
            ModelPackageGroups(self._context),
            self._packages,
            features,
            ModelCards(self._context),
            Artifacts(self._context),
            Actions(self._context),
            Contexts(self._context),
            Experiments(self._context),
            Trials(self._context),
            components,
        ]
        self.answering: tuple[Operations, ...] = (
            *self._families,
            Associations(self._context),
            Metrics(self._context, components),
            FeatureRecords(features),
            Search(self._context),
            Tags(self._context),
        )
        self._handlers: dict[str, Handler] = {}
        for each in self.answering:
            self._handlers |= each.operations()
        self._context.observers.append(Observer(self._context))

    def start(self) -> None:
        """Take up the state that is there: reap processes, settle jobs, bring endpoints back."""
        self._context.processes.start()
        self._context.logs.start()
        self._context.jobs.start()
        self._runtime.start()
        for family in self._families:
            family.start()

    def close(self) -> None:
        """Kill what runs and keep the state. Captured data, metrics and logs are delivered."""
        for family in self._families:
            family.close()
        self._context.jobs.close()
        self._runtime.close()
        self._context.logs.close()
        self._context.processes.close()

    def scaled_by(self, scaled: Callable[[str], Collection[str]]) -> None:
        """Let somebody say which variants of an endpoint are scaled automatically."""
        self._context.scaled = scaled

    @property
    def operations(self) -> frozenset[str]:
        """The operations of the control plane that run here."""
        return frozenset(self._handlers)

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer an operation of the control plane or of a REST service. Raises ServiceError."""
        if shapes.operation_model(operation) is None:
            raise _unknown(operation)
        handler = self._handlers.get(operation)
        if handler is None:
            raise not_implemented(f"SageMaker's {operation}")
        return shapes.render(operation, handler(shapes.parse(operation, request)))

    async def handle(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: Mapping[str, Sequence[str]] | None = None,
    ) -> Answer:
        """Answer an HTTP request of the control plane or of a REST service.

        The path comes decoded, header names in lower case, the query as `parse_qs` gives it.
        """
        try:
            if path.startswith("/endpoints/") and method == "POST":
                status, answer, content = await self._runtime.handle(path, headers, body)
            elif found := rest.find(method, path):
                request = rest.gather(*found, headers, query or {}, body)
                status, answer, content = await self._answer(
                    found[0].operation, request, "application/json"
                )
            else:
                status, answer, content = await self._control(headers, body)
        except ServiceError as error:
            status, content = error.status, error_body(error)
            answer = {"Content-Type": "application/json", "x-amzn-ErrorType": error.code}
        except Exception as error:  # a request's boundary: AWS answers InternalFailure
            logger.exception("%s %s", method, path)
            fault = ServiceError("InternalFailure", f"{type(error).__name__}: {error}", 500)
            status, content = 500, error_body(fault)
            answer = {"Content-Type": "application/json", "x-amzn-ErrorType": fault.code}
        return status, {"x-amzn-requestid": str(uuid.uuid4()), **answer}, content

    async def _control(self, headers: dict[str, str], body: bytes) -> Answer:
        target = headers.get("x-amz-target", "")
        if not target.startswith(_TARGET):
            raise not_implemented("This REST operation of SageMaker")
        try:
            request = json.loads(body or b"{}")
        except ValueError as error:
            raise ServiceError("SerializationException", "The body is not JSON") from error
        if not isinstance(request, dict):
            raise ServiceError("SerializationException", "The body is not an object")
        operation = target.removeprefix(_TARGET)
        if operation not in shapes.operation_names():
            raise _unknown(operation)
        return await self._answer(operation, request, "application/x-amz-json-1.1")

    async def _answer(self, operation: str, request: dict[str, Any], media_type: str) -> Answer:
        answer = await asyncio.to_thread(self.call, operation, request)
        return 200, {"Content-Type": media_type}, json.dumps(answer).encode()

    def resource_arn(self, operation: str, request: dict[str, Any]) -> str:
        """Return the ARN that IAM checks an operation against, "*" if it is on no one resource."""
        group = request.get("ModelPackageGroupName")
        if operation == "CreateModelPackage" and isinstance(group, str):
            return self._packages.resources.arn(f"{group.rsplit('/', 1)[-1]}/*")
        if isinstance(request.get("ResourceArn"), str):
            return str(request["ResourceArn"])
        for family in self._families:
            kind = family.kind
            if operation.endswith(kind.name):
                given = request.get(kind.key) or request.get(kind.arn_member)
            elif operation in shapes.operation_names():
                given = request.get(kind.key) if _names(operation, kind.key) else None
            else:  # a REST operation is on what it names, once or in the entries of a batch
                given = _only(request, kind.key)
            if isinstance(given, str):
                return given if given.startswith("arn:") else family.resources.arn(given)
        return "*"


def _names(operation: str, member: str) -> bool:
    """Whether an operation is on what a member names: the first of those it requires."""
    inputs = shapes.operation_model(operation).input_shape
    return bool(inputs and inputs.required_members[:1] == [member])


def _only(request: dict[str, Any], member: str) -> str | None:
    """Return the member's value in a request or in its entries, if it has exactly one."""
    entries = [entry for value in request.values() if isinstance(value, list) for entry in value]
    rows = [row for row in (request, *entries) if isinstance(row, dict)]
    values = {row[member] for row in rows if isinstance(row.get(member), str)}
    return values.pop() if len(values) == 1 else None


def _unknown(operation: str) -> ServiceError:
    return ServiceError("UnknownOperationException", f"Unknown operation {operation}")
