"""`arn:aws:states:::aws-sdk:service:action` for what stock MiniStack lacks or misnames.

AWS ("Learning to use AWS service SDK integrations"): parameters and results have the names of the
API with the leading acronym of a name in camel case (DbCluster, but VolumeSizeInGB), an object's
Body is text, times are ISO 8601 text, and errors are those of the SDK's classes. Stock mangles
every acronym, has no S3 getObject, putObject or copyObject, and only part of Lambda.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError
from ministack.services import stepfunctions as sfn

from local.ministack import guard, loopback

# SDK name in the resource -> boto3's name, for the services that we call through boto3.
_SERVICES = {"s3": "s3", "lambda": "lambda", "scheduler": "scheduler", "codebuild": "codebuild"}
_LEADING_ACRONYM = re.compile(r"^([A-Z]+)(?=[A-Z][a-z]|$)")
_PREFIXES = {"scheduler": "Scheduler", "codebuild": "CodeBuild"}


def install() -> None:
    """Extend the dispatcher and correct the names."""
    guard.replace(sfn, "_invoke_aws_sdk_integration", "resource input_data", call)
    guard.replace(sfn, "_api_name_to_sfn_key", "name", member_name)
    sfn._AWS_SDK_ERROR_PREFIX.update(_PREFIXES)


def member_name(name: str) -> str:
    """An API member's name in Step Functions: capitalised; only a leading acronym changes."""
    name = _LEADING_ACRONYM.sub(lambda found: found[1].capitalize(), name)
    return name[:1].upper() + name[1:]


def call(resource: str, request: Any) -> Any:
    """Call the API; errors as Step Functions names them."""
    service, action = resource.removesuffix(".waitForTaskToken").split(":")[6:8]
    if service.lower() not in _SERVICES:
        return guard.stock(call)(resource, request)
    client = loopback.client(_SERVICES[service.lower()])
    prefix = sfn._AWS_SDK_ERROR_PREFIX[service.lower()]
    operation = action[0].upper() + action[1:]
    if operation not in client.meta.service_model.operation_names:
        raise sfn._ExecutionError("States.Runtime", f"{resource} does not exist")
    model = client.meta.service_model.operation_model(operation)
    blob = (model.input_shape and model.input_shape.members) or {}
    try:
        reply = client._make_api_call(operation, _encoded(request, blob))
    except ParamValidationError as error:
        raise sfn._ExecutionError("States.Runtime", str(error)) from error
    except ClientError as error:
        raise _error(prefix, client, error) from error
    reply.pop("ResponseMetadata", None)
    return _decoded(reply)


def _error(prefix: str, client: Any, error: ClientError) -> Exception:
    code = error.response["Error"]["Code"]
    declared = {shape.name for shape in client.meta.service_model.error_shapes}
    name = f"{prefix}Exception"
    if code in declared:
        name = code if code.endswith("Exception") else f"{code}Exception"
    found: Exception = sfn._ExecutionError(f"{prefix}.{name}", str(error))
    return found


def _encoded(request: dict[str, Any], members: dict[str, Any]) -> dict[str, Any]:
    """Blobs are text or JSON in a state machine, bytes in the API."""
    return {
        name: _bytes(value) if getattr(members.get(name), "type_name", "") == "blob" else value
        for name, value in request.items()
    }


def _bytes(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def _decoded(value: Any) -> Any:
    readers: list[tuple[Callable[[Any], bool], Callable[[Any], Any]]] = [
        (lambda each: isinstance(each, dict), _members),
        (lambda each: isinstance(each, list), lambda each: [_decoded(one) for one in each]),
        (lambda each: isinstance(each, datetime), _stamp),
        (lambda each: isinstance(each, bytes), lambda each: each.decode(errors="replace")),
        (lambda each: hasattr(each, "read"), lambda each: each.read().decode(errors="replace")),
    ]
    for matches, read in readers:
        if matches(value):
            return read(value)
    return value


def _members(value: dict[str, Any]) -> dict[str, Any]:
    return {member_name(name): _decoded(each) for name, each in value.items()}


def _stamp(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
