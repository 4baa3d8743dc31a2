"""Batch transform jobs: CreateTransformJob and what a job goes through."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.sagemaker import events
from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import operation
from local.sagemaker.families.jobs import JobFamily, check_request
from local.sagemaker.families.models import Models
from local.sagemaker.hosting.instance import definitions_of
from local.sagemaker.jobs.line import Job
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record
from local.sagemaker.transform.jsonpath import PathError
from local.sagemaker.transform.run import TransformRun, joining_of

_PAYLOAD_MB = 100  # of one request, and of all that are under way (API_CreateTransformJob)
_PROCESSED = ("text/csv", "application/json", "application/jsonlines")

_INPUT = {"CompressionType": "None", "SplitType": "None"}
_PROCESSING = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}


class TransformJobs(JobFamily):
    """Batch transform jobs: a model's containers asked for every record of a data set."""

    kind = Kind(
        name="TransformJob",
        slug="transform-job",
        missing="Could not find requested job with name: {name}",
        duplicate="Job name must be unique within an AWS account and region, and a transform job "
        "with this name already exists ({arn})",
        duplicate_code="ResourceInUse",
        order="Descending",
        status="TransformJobStatus",
    )
    generic = ("Describe", "List")
    noun = "transform job"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._models = Resources(Models.kind, context.store, context.cloud)

    def changed(self, record: Record) -> None:
        """Emit the job's state; its times are ISO 8601 in AWS's sample of this event."""
        self.context.cloud.emit(
            "SageMaker Transform Job State Change",
            events.detail("TransformJob", record, events.iso),
            [record["TransformJobArn"]],
        )

    @operation
    def create_transform_job(self, request: Record) -> Record:
        """Queue a job, with the model as it is now."""
        model = self._models.get(request["ModelName"])
        if any(each.get("Mode") == "MultiModel" for each in definitions_of(model)):
            raise invalid("A multi-model container cannot be used for a transform job.")
        self._check_count(request["TransformResources"])
        _check_payload(request)
        _check_input(request)
        _check_processing(request)
        check_request(self.context, request)
        name = request["TransformJobName"]
        self.context.assume(model["ExecutionRoleArn"], name)
        record = self.resources.create(
            name,
            request,
            TransformJobStatus="InProgress",
            TransformInput={**_INPUT, **request["TransformInput"]},
            TransformOutput={"AssembleWith": "None", **request["TransformOutput"]},
            DataProcessing={**_PROCESSING, **request.get("DataProcessing", {})},
            _model=model,
        )
        self.submit(record)
        return record

    def fail(self, name: str, reason: str) -> None:
        """Record that a job failed."""
        self._end(name, "Failed", FailureReason=reason)

    def work(self, record: Record, tree: Path, job: Job) -> None:
        """Carry a job out, up to a terminal status. Raises JobFailedError."""
        name = record["TransformJobName"]
        if not job.stopping:
            self.resources.update(name, {"TransformStartTime": time.time()})
            TransformRun(self.context, record, job, tree).run()
        self._end(name, "Stopped" if job.stopping else "Completed")

    def _end(self, name: str, status: str, **members: Any) -> None:
        ended = {"TransformJobStatus": status, "TransformEndTime": time.time()}
        self.resources.update(name, {**ended, **members})

    def _check_count(self, resources: Record) -> None:
        limit = self.context.settings.instances
        if resources["InstanceCount"] > limit:
            raise ServiceError(
                "ResourceLimitExceeded",
                f"The local limit of instances per transform job is {limit}, with a request of "
                f"{resources['InstanceCount']}. HEADRACE_LOCAL_INSTANCES raises it.",
            )


def _check_payload(request: Record) -> None:
    payload = request.get("MaxPayloadInMB", 6)
    if payload > _PAYLOAD_MB:
        raise invalid(f"MaxPayloadInMB must be at most {_PAYLOAD_MB}.")
    if payload * request.get("MaxConcurrentTransforms", 1) > _PAYLOAD_MB:
        raise invalid(f"MaxConcurrentTransforms * MaxPayloadInMB must be at most {_PAYLOAD_MB} MB.")


def _check_input(request: Record) -> None:
    kind = request["TransformInput"]["DataSource"]["S3DataSource"]["S3DataType"]
    if kind == "AugmentedManifestFile":
        raise invalid("AugmentedManifestFile is not compatible with batch transform.")
    if kind not in ("S3Prefix", "ManifestFile"):
        raise not_implemented(f"CreateTransformJob with S3DataType {kind}")
    if "BatchStrategy" in request and request["BatchStrategy"] == "SingleRecord":
        return
    if request.get("MaxPayloadInMB") == 0 and _split(request) != "None":
        raise not_implemented("MaxPayloadInMB 0 with a SplitType and MultiRecord")


def _split(request: Record) -> str:
    return str(request["TransformInput"].get("SplitType", "None"))


def _check_processing(request: Record) -> None:
    """Refuse filters and joins that the formats do not allow."""
    try:
        joining = joining_of(request, datetime.now(UTC))
    except PathError as error:
        raise invalid(f"DataProcessing: {error}") from error
    if joining.is_plain:
        return
    given, wanted = request["TransformInput"], request["TransformOutput"]
    types = [given.get("ContentType"), wanted.get("Accept", given.get("ContentType"))]
    bare = {(kind or "").split(";")[0].strip() for kind in types}
    if not bare <= set(_PROCESSED) or ("text/csv" in bare and len(bare) > 1):
        raise invalid(
            "With DataProcessing or GenerateInferenceId, ContentType and Accept must both be "
            f"text/csv, or be of {_PROCESSED[1:]}."
        )
    if _split(request) not in ("None", "Line"):
        raise invalid("DataProcessing needs the SplitType Line or None.")
    assembled = wanted.get("AssembleWith", "None")
    if joining.is_csv and (_split(request), assembled) != ("Line", "Line"):
        raise invalid("DataProcessing of text/csv needs Line as SplitType and as AssembleWith.")
    if joining.is_csv and not joining.input_filter.is_by_index:
        raise invalid("InputFilter: rows of text/csv are selected by index, as in $[1:].")
    if joining.is_csv and not joining.output_filter.is_by_index:
        raise invalid("OutputFilter: rows of text/csv are selected by index, as in $[0,-1].")
    if request.get("MaxPayloadInMB") == 0:
        raise not_implemented("DataProcessing with MaxPayloadInMB 0")
