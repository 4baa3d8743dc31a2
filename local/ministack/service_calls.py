"""Which IAM permissions a Task's call needs, and the error AWS reports when one is missing.

AWS ("How Step Functions generates IAM policies for integrated services"): the machine's role must
allow the action on the resource, and `iam:PassRole` for a role that the request hands on.
"""

import json
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions as sfn

from local.ministack import guard, iam

PRINCIPAL = "states.amazonaws.com"

# SDK name in `aws-sdk:NAME:action` -> IAM prefix, where they differ.
_IAM_PREFIX = {"sfn": "states", "eventbridge": "events", "cloudwatchlogs": "logs"}
# IAM asks for another action than the API's name says.
_S3_ACTION = {
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "ListObjects": "ListBucket",
    "CopyObject": "PutObject",
    "HeadBucket": "ListBucket",
}
# The exception that carries AccessDenied: the first generation SDK's for the optimized
# integrations, the second's ("<Service>.<Service>Exception") for `aws-sdk:`.
_DENIED = {
    "lambda": "Lambda.AWSLambdaException",
    "sagemaker": "SageMaker.AmazonSageMakerException",
    "dynamodb": "DynamoDB.AmazonDynamoDBException",
    "states": "StepFunctions.AWSStepFunctionsException",
    "events": "EventBridge.AmazonEventBridgeException",
    "sqs": "SQS.AmazonSQSException",
    "sns": "SNS.AmazonSNSException",
}
guard.expect(hasattr(sfn, "_AWS_SDK_ERROR_PREFIX"), "stepfunctions._AWS_SDK_ERROR_PREFIX")


def authorize(role_arn: str, resource: str, data: Any, principal: str = PRINCIPAL) -> None:
    """Raise the Step Functions error of a refused call unless the role allows it."""
    request = data if isinstance(data, dict) else {}
    needed = _needed(resource, request)
    if needed is None:
        return
    service, action, arn = needed
    conditions = sagemaker_conditions(request) if service == "sagemaker" else {}
    _require(role_arn, principal, resource, service, action, arn, conditions)
    passed = request.get("RoleArn") or request.get("ExecutionRoleArn")
    if service == "sagemaker" and passed:
        context = {"iam:passedtoservice": "sagemaker.amazonaws.com"}
        _require(role_arn, principal, resource, service, "iam:PassRole", passed, context)


def sagemaker_conditions(request: dict[str, Any]) -> dict[str, Any]:
    """Condition keys of a SageMaker request ("Condition keys for Amazon SageMaker AI").

    What has another type than it should is left out: the service refuses it after IAM.
    """
    parts = ("VpcConfig", "ResourceConfig", "OutputDataConfig")
    vpc, resources, output = (_object(request.get(name)) for name in parts)
    variants = request.get("ProductionVariants")
    described = [resources, *map(_object, variants if isinstance(variants, list) else ())]
    keys = {
        "modelapprovalstatus": request.get("ModelApprovalStatus"),
        "networkisolation": request.get("EnableNetworkIsolation"),
        "intercontainertrafficencryption": request.get("EnableInterContainerTrafficEncryption"),
        "vpcsubnets": vpc.get("Subnets"),
        "vpcsecuritygroupids": vpc.get("SecurityGroupIds"),
        "volumekmskey": resources.get("VolumeKmsKeyId") or request.get("KmsKeyId"),
        "outputkmskey": output.get("KmsKeyId"),
        "instancetypes": [kind for each in described if _is_text(kind := each.get("InstanceType"))],
    }
    return {
        f"sagemaker:{name}": str(value).lower() if isinstance(value, bool) else value
        for name, value in keys.items()
        if isinstance(value, bool) or (value and _is_text(value))
    }


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_text(value: Any) -> bool:
    """Whether a value is text, or a list of texts."""
    return all(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))


def _require(
    role_arn: str,
    principal: str,
    resource: str,
    service: str,
    action: str,
    arn: str,
    context: dict[str, Any],
) -> None:
    why = iam.refusal(role_arn, principal, action, arn, context)
    if why is None:
        return
    name = _DENIED.get(service, f"{service.capitalize()}.AmazonServiceException")
    if ":aws-sdk:" in resource:
        sdk = resource.split(":")[6]
        prefix = sfn._AWS_SDK_ERROR_PREFIX.get(sdk.lower(), sdk.capitalize())
        name = f"{prefix}.{prefix}Exception"
    raise sfn._ExecutionError(name, f"{why} (Error Code: AccessDeniedException)")


def _needed(resource: str, request: dict[str, Any]) -> tuple[str, str, str] | None:
    """(IAM prefix, action, resource ARN) of the call; None for an activity."""
    for suffix in (".waitForTaskToken", ".sync:2", ".sync"):
        resource = resource.removesuffix(suffix)
    parts = resource.split(":")
    if parts[2] == "lambda":
        return "lambda", "lambda:InvokeFunction", resource
    if parts[2] != "states" or parts[5] == "activity":
        return None
    sdk = parts[5] == "aws-sdk"
    service = parts[6] if sdk else parts[5]
    service = _IAM_PREFIX.get(service.lower(), service.lower())
    operation = parts[-1][0].upper() + parts[-1][1:]
    if service == "lambda" and operation == "Invoke":
        return service, "lambda:InvokeFunction", _function_arn(str(request.get("FunctionName")))
    if service == "s3":
        action = _S3_ACTION.get(operation, operation)
        key = f"/{request['Key']}" if "Key" in request else ""
        return service, f"s3:{action}", f"arn:aws:s3:::{request.get('Bucket')}{key}"
    return service, f"{service}:{operation}", _arn(service, operation, request)


def _function_arn(name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:{name}"


def _arn(service: str, operation: str, request: dict[str, Any]) -> str:
    where = f"{get_region()}:{get_account_id()}"
    if service == "states" and operation == "StartExecution":
        return str(request.get("StateMachineArn", "*"))
    if service == "sns" and "TopicArn" in request:
        return str(request["TopicArn"])
    if service == "sqs" and "QueueUrl" in request:
        return f"arn:aws:sqs:{where}:{request['QueueUrl'].rsplit('/', 1)[-1]}"
    if service == "events" and operation == "PutEvents":
        entries = request.get("Entries") or [{}]
        bus = entries[0].get("EventBusName", "default").rsplit("/", 1)[-1]
        return f"arn:aws:events:{where}:event-bus/{bus}"
    arn: str = iam_actions.extract_resource_arn(
        service,
        "POST",
        "/",
        {"x-amz-target": f"X.{operation}"},
        json.dumps(request).encode(),
        {},
        get_region(),
        get_account_id(),
    )
    return arn
