"""SageMaker as a service of the local AWS: HTTP, IAM, Step Functions and CloudFormation.

AWS ("Actions, resources, and condition keys for Amazon SageMaker", "Create and manage Amazon
SageMaker AI jobs with Step Functions"): requests are authorized by action, resource and the keys
of their fields; `.sync` waits for the job, returns its description with times in milliseconds, and
fails with States.TaskFailed and that description; stopping the execution stops the job. Stock
MiniStack has no SageMaker.
"""

import json
from datetime import UTC, datetime
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import StreamingResponse
from ministack.services import stepfunctions as sfn
from ministack.services.cloudformation import provisioners

from local.ministack import guard, scopes, service_calls
from local.sagemaker import SageMaker, rest
from local.sagemaker.errors import ServiceError

_POLL_SECONDS = 0.2
# Job operation -> (its noun, status field): what `.sync` describes, awaits and stops.
_JOBS = {
    "CreateTrainingJob": ("TrainingJob", "TrainingJobStatus"),
    "CreateProcessingJob": ("ProcessingJob", "ProcessingJobStatus"),
    "CreateTransformJob": ("TransformJob", "TransformJobStatus"),
    "CreateHyperParameterTuningJob": (
        "HyperParameterTuningJob",
        "HyperParameterTuningJobStatus",
    ),
    "CreateLabelingJob": ("LabelingJob", "LabelingJobStatus"),
}
# What Step Functions integrates without the `aws-sdk:` prefix.
_OPTIMIZED = {*_JOBS, "CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"}
# Errors that the service declares; an SDK has a class for each and one for all others.
_DECLARED = {"ResourceInUse", "ResourceNotFound", "ResourceLimitExceeded", "ConflictException"}


class Plug:
    """Registers a `SageMaker` with MiniStack's routing, IAM, Step Functions and CloudFormation."""

    def __init__(self, service: SageMaker) -> None:
        self._service = service
        router.SERVICE_PATTERNS["sagemaker"] = {
            "target_prefixes": ["SageMaker."],
            "host_patterns": [r"(api|runtime)\.sagemaker\.", r"featurestore-runtime\.sagemaker\."],
            "credential_scope": "sagemaker",
        }
        app.SERVICE_HANDLERS["sagemaker"] = self._handle
        iam_actions.SERVICE_TO_IAM_NAMESPACE["sagemaker"] = "sagemaker"
        guard.replace(
            app, "fix_success_content_type", "service status headers", self._keep_content_type
        )
        names = "service method path headers body query_params"
        guard.replace(iam_actions, "extract_iam_action", names, self._action)
        guard.replace(
            iam_actions, "extract_resource_arn", f"{names} region account_id", self._resource
        )
        guard.replace(
            iam_actions, "request_tag_context", "service iam_action body params", self._conditions
        )
        guard.replace(
            iam_actions,
            "access_denied_response",
            "service action principal_arn request_id error_code message headers resource_arn "
            "explicit_deny resource_policy_arn",
            self._deny,
        )
        guard.replace(
            sfn, "_invoke_aws_sdk_integration", "resource input_data", self._call_with_sdk
        )
        sfn._AWS_SDK_ERROR_PREFIX["sagemaker"] = "SageMaker"
        sfn._SERVICE_DISPATCH["arn:aws:states:::sagemaker:"] = self._call_from_task
        provisioners._RESOURCE_HANDLERS["AWS::SageMaker::ModelPackageGroup"] = {
            "create": self._create_group,
            "update": self._update_group,
            "delete": self._delete_group,
        }

    def _keep_content_type(self, service: str, status: int, headers: dict[str, str]) -> None:
        """A container's JSON keeps its type; stock would call it the control plane's."""
        if service != "sagemaker":
            guard.stock(self._keep_content_type)(service, status, headers)

    async def _handle(self, *request: Any) -> Any:
        status, headers, body = await self._service.handle(*request)
        if isinstance(body, bytes):
            return status, headers, body

        async def send_parts(send: Any, _receive: Any) -> None:
            async for part in body:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        return status, headers, StreamingResponse(send_parts)

    # IAM of requests over HTTP

    def _action(self, service: str, *request: Any) -> Any:
        if service != "sagemaker":
            return guard.stock(self._action)(service, *request)
        method, path, headers = request[:3]
        return f"sagemaker:{_operation(method, path, headers)}"

    def _resource(self, service: str, *request: Any) -> Any:
        if service != "sagemaker":
            return guard.stock(self._resource)(service, *request)
        method, path, headers, body, query = request[:5]
        found = None if "x-amz-target" in headers else rest.find(method, path)
        if found is None:
            operation = _operation(method, path, headers)
            return self._service.resource_arn(operation, _json(body, headers))
        try:
            fields = rest.gather(*found, headers, query, body)
        except ServiceError:  # a body that cannot be read is refused by the service itself
            fields = dict(found[1])
        return self._service.resource_arn(found[0].operation, fields)

    def _conditions(self, service: str, iam_action: str, body: bytes, params: Any) -> Any:
        found = guard.stock(self._conditions)(service, iam_action, body, params)
        if service != "sagemaker":
            return found
        return {**found, **service_calls.sagemaker_conditions(_json(body, {}))}

    def _deny(
        self, service: str, action: str, principal_arn: str, request_id: str, **details: Any
    ) -> Any:
        """SageMaker's denials name the resource, as AWS's do; stock would leave it out."""
        if service == "sagemaker" and not (details.get("error_code") or details.get("message")):
            resource, explicit = (
                details.get("resource_arn", "*"),
                details.get("explicit_deny", False),
            )
            words = iam_actions.identity_denial_message(action, principal_arn, resource, explicit)
            details["message"] = words
        return guard.stock(self._deny)(service, action, principal_arn, request_id, **details)

    # Step Functions

    def _call_from_task(self, resource: str, request: Any) -> Any:
        """`arn:aws:states:::sagemaker:createTrainingJob[.sync]` and the like."""
        name, _, pattern = resource.rsplit(":", 1)[-1].partition(".")
        operation = name[0].upper() + name[1:]
        if operation not in _OPTIMIZED or (pattern == "sync" and operation not in _JOBS):
            raise sfn._ExecutionError("States.Runtime", f"{resource} is not an integration")
        reply = self._call(operation, request, "AmazonSageMakerException")
        if pattern != "sync":
            return _with_times(reply, _milliseconds)
        return self._await(operation, request, resource)

    def _await(self, operation: str, request: dict[str, Any], resource: str) -> Any:
        noun, status = _JOBS[operation]
        name = {f"{noun}Name": request[f"{noun}Name"]}
        scope = scopes.current()
        if scope:
            describe = resource.replace(operation[6:], noun).replace("create", "describe")
            service_calls.authorize(scope.role_arn, describe, name)
        forget = scope.on_stop(lambda: self._stop(noun, name)) if scope else lambda: None
        try:
            while True:
                job = self._call(f"Describe{noun}", name, "AmazonSageMakerException")
                if job[status] not in ("InProgress", "Stopping", "Initializing", "Pending"):
                    break
                scopes.sleep(_POLL_SECONDS)
        finally:
            forget()
        described = _with_times(job, _milliseconds)
        if job[status] != "Completed":
            raise sfn._ExecutionError("States.TaskFailed", json.dumps(described))
        return described

    def _stop(self, noun: str, name: dict[str, Any]) -> None:
        try:
            self._service.call(f"Stop{noun}", name)
        except ServiceError as error:
            # It may have ended in this moment, which is what was wanted.
            if error.code != "ValidationException":
                raise

    def _call_with_sdk(self, resource: str, request: Any) -> Any:
        """`...:aws-sdk:sagemaker:describeTrainingJob`: any operation, times in text."""
        parts = resource.removesuffix(".waitForTaskToken").split(":")
        if parts[6].lower() != "sagemaker":
            return guard.stock(self._call_with_sdk)(resource, request)
        operation = parts[7][0].upper() + parts[7][1:]
        return _with_times(self._call(operation, request, "SageMakerException"), _iso)

    def _call(self, operation: str, request: Any, otherwise: str) -> dict[str, Any]:
        try:
            return self._service.call(operation, request)
        except ServiceError as error:
            name = otherwise
            if error.code in _DECLARED:
                name = f"{error.code.removesuffix('Exception')}Exception"
            cause = f"{error.message} (Service: SageMaker; Error Code: {error.code})"
            raise sfn._ExecutionError(f"SageMaker.{name}", cause) from error

    # CloudFormation

    def _create_group(self, logical_id: str, props: dict[str, Any], stack: str) -> Any:
        name = props.get("ModelPackageGroupName") or f"{stack}-{logical_id}"
        reply = self._service.call(
            "CreateModelPackageGroup", {**props, "ModelPackageGroupName": name}
        )
        arn = reply["ModelPackageGroupArn"]
        return arn, {"ModelPackageGroupArn": arn, "ModelPackageGroupStatus": "Completed"}

    def _update_group(
        self, physical_id: str, _old: dict[str, Any], _new: dict[str, Any], _stack: str
    ) -> Any:
        return physical_id, {"ModelPackageGroupArn": physical_id}

    def _delete_group(self, physical_id: str, _props: dict[str, Any]) -> None:
        name = {"ModelPackageGroupName": physical_id.rsplit("/", 1)[-1]}
        self._service.call("DeleteModelPackageGroup", name)


def _operation(method: str, path: str, headers: dict[str, str]) -> str:
    """The operation of a request; "Unknown" is an action nobody has."""
    target = headers.get("x-amz-target", "")
    if target:
        return target.rsplit(".", 1)[-1]
    found = rest.find(method, path)
    return found[0].operation if found else "Unknown"


def _json(body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    if headers and "x-amz-target" not in headers:
        return {}  # a runtime request's body is the user's
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _iso(seconds: float) -> str:
    stamp = datetime.fromtimestamp(seconds, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _with_times(value: Any, render: Any, name: str = "") -> Any:
    """`value` with every time (a number or datetime in a `...Time` field) rendered."""
    if isinstance(value, dict):
        return {key: _with_times(each, render, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_times(each, render, name) for each in value]
    if isinstance(value, datetime):
        return render(value.timestamp())
    if name.endswith("Time") and isinstance(value, int | float):
        return render(value)
    return value
