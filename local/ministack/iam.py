"""IAM for service roles: may this role, assumed by that service, do this?

AWS ("IAM roles for Step Functions", "EventBridge target permissions"): a service acts with the
role it was given, which must trust the service and allow the action. Stock MiniStack enforces IAM
for requests that arrive over HTTP, not for what Step Functions and EventBridge do on their own,
and serves unsigned S3 requests as the account's root.
"""

import hashlib
import json
from contextvars import ContextVar
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, sts

from local.ministack import guard

_passed_role: ContextVar[str | None] = ContextVar("passed_role", default=None)
# A request that names several resources needs the right to each.
_other_resources: ContextVar[tuple[str, ...]] = ContextVar("other_resources", default=())


class RoleError(Exception):
    """The role does not exist or does not trust the service."""


def install() -> None:
    """Refuse anonymous S3 requests, count loopback as secure, ask for iam:PassRole.

    AWS blocks public access to buckets by default ("Blocking public access to your Amazon S3
    storage"); stock MiniStack serves an unsigned S3 request as root. The usual policy that denies
    `aws:SecureTransport: false` would deny everything here, where there is no network to secure.
    Handing a role to SageMaker or a schedule takes iam:PassRole ("Granting a user permissions to
    pass a role to an AWS service"), which stock never asks for.
    """
    guard.expect(hasattr(iam_evaluator, "AuthError"), "iam_evaluator.AuthError is missing")
    guard.replace(app, "pin_request_origin", "source_ip secure_transport", _pin_request_origin)
    guard.replace(
        iam_evaluator,
        "enforce",
        "access_key_id iam_action service region resource_arn service_context",
        _enforce,
    )
    guard.replace(
        iam_actions, "request_tag_context", "service iam_action body params", _note_passed_role
    )
    guard.replace(
        iam_actions,
        "extract_resource_arn",
        "service method path headers body query_params region account_id",
        _resource,
    )


def _pin_request_origin(source_ip: str, secure_transport: bool) -> None:
    del secure_transport
    guard.stock(_pin_request_origin)(source_ip, True)


def _enforce(
    access_key_id: str, iam_action: str, service: str, region: str, *rest: Any, **options: Any
) -> Any:
    if service == "s3" and not access_key_id:
        return iam_evaluator.AuthError("AccessDenied", "Access Denied")
    stock = guard.stock(_enforce)
    denied = stock(access_key_id, iam_action, service, region, *rest, **options)
    for other in _other_resources.get():
        denied = denied or stock(access_key_id, iam_action, service, region, resource_arn=other)
    passed = _passed_role.get()
    if denied or not passed:
        return denied
    context = {"iam:PassedToService": f"{service}.amazonaws.com"}
    refused = stock(
        access_key_id, "iam:PassRole", "iam", region, resource_arn=passed, service_context=context
    )
    if refused is None:
        return None
    return iam_evaluator.AuthError(
        "AccessDenied",
        f"User: {refused.principal_arn} is not authorized to perform: iam:PassRole on resource: "
        f"{passed} because no identity-based policy allows the iam:PassRole action",
    )


def _note_passed_role(service: str, iam_action: str, body: bytes, params: Any) -> Any:
    """`enforce` is not given the request; this, called before it, is."""
    role = None
    # Not a runtime request, whose body is the user's.
    makes = iam_action.split(":")[-1].startswith(("Create", "Update"))
    if service in ("sagemaker", "scheduler") and makes and body[:1] == b"{":
        request = json.loads(body)
        target = request.get("Target") or {}
        role = request.get("RoleArn") or request.get("ExecutionRoleArn") or target.get("RoleArn")
    _passed_role.set(role)
    return guard.stock(_note_passed_role)(service, iam_action, body, params)


def _resource(service: str, *request: Any) -> Any:
    """The ARNs of the Service Authorization Reference where stock builds others."""
    arn: str = guard.stock(_resource)(service, *request)
    method, _path, headers, body, query = request[:5]
    _other_resources.set(())
    if service == "monitoring":
        return _alarm(arn, headers.get("x-amz-target", ""), body)
    if service == "scheduler" and ":schedule/default/" in arn:
        group = (query.get("groupName") or ["default"])[0]
        if method in ("POST", "PUT") and body[:1] == b"{":
            group = json.loads(body).get("GroupName") or "default"
        return arn.replace(":schedule/default/", f":schedule/{group}/")
    if service == "events":
        return arn.replace(":rule/default/", ":rule/")
    if service == "logs" and b"logStreamName" in body:
        return f"{arn}:log-stream:{json.loads(body).get('logStreamName')}"
    return arn


def _alarm(arn: str, target: str, body: bytes) -> str:
    """CloudWatch's alarms: DeleteAlarms names several, and PutCompositeAlarm takes no one resource.

    "You can't create a composite alarms if your cloudwatch:PutCompositeAlarm permission has a
    narrower scope" than * (API reference, PutCompositeAlarm).
    """
    if target.endswith("PutCompositeAlarm"):
        return "*"
    names = json.loads(body).get("AlarmNames") if body[:1] == b"{" else None
    if not (target.endswith("DeleteAlarms") and names):
        return arn
    first, *others = (
        f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}" for name in names
    )
    _other_resources.set(tuple(others))
    return first


def trusts(role_arn: str, service: str, context: dict[str, Any] | None = None) -> bool:
    """Whether the role exists and its trust policy lets `service` (a host name) assume it."""
    role = iam._roles.get(_name(role_arn))
    if role is None:
        return False
    document = role["AssumeRolePolicyDocument"]
    document = json.loads(document) if isinstance(document, str) else document
    request = _context(role_arn, service, "sts:AssumeRole", role_arn, context)
    for statement in _list(document.get("Statement")):
        principals = statement.get("Principal") or {}
        named = _list(principals.get("Service")) if isinstance(principals, dict) else []
        if (
            statement.get("Effect") == "Allow"
            and service in named
            and "sts:AssumeRole" in _list(statement.get("Action"))
            and iam_evaluator._conditions_met(statement.get("Condition", {}), request)
        ):
            return True
    return False


def refusal(
    role_arn: str,
    service: str,
    action: str,
    resource: str,
    context: dict[str, Any] | None = None,
) -> str | None:
    """AWS's message when the role, assumed by `service`, may not do `action`; None when it may."""
    if not trusts(role_arn, service):
        return f"{service} is not authorized to assume the provided role {role_arn}"
    request = _context(role_arn, service, action, resource, context)
    account = get_account_id()
    policies = iam_evaluator._gather_role_policies(_name(role_arn), account)
    limits = iam_evaluator._permissions_boundary(iam._roles, _name(role_arn), account)
    result = iam_evaluator.evaluate(request, policies, *limits)
    if result.decision == "Allow":
        return None
    why = (
        "with an explicit deny in an identity-based policy"
        if result.decision == "Deny"
        else f"because no identity-based policy allows the {action} action"
    )
    return (
        f"User: {request.principal_arn} is not authorized to perform: {action} "
        f"on resource: {resource} {why}"
    )


def role_credentials(role_arn: str, service: str, session: str) -> dict[str, str]:
    """Environment variables with credentials of the role, as `service` would hand to a job.

    Raises `RoleError` when the service may not assume the role.
    """
    if not trusts(role_arn, service):
        raise RoleError(
            f"Could not assume role {role_arn}: it does not exist or does not trust {service}"
        )
    digest = hashlib.sha256(f"{role_arn}:{session}".encode()).hexdigest()
    access_key = f"ASIA{digest[:16].upper()}"
    secret = hashlib.sha256(f"secret:{digest}".encode()).hexdigest()
    token = hashlib.sha256(f"token:{digest}".encode()).hexdigest()
    sts.register_session(
        access_key,
        {
            "Arn": _session_arn(role_arn, session),
            "UserId": f"{_name(role_arn)}:{session[:64]}",
            "SecretAccessKey": secret,
            "SessionToken": token,
        },
    )
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": token,
    }


def _name(role_arn: str) -> str:
    return role_arn.rsplit("/", 1)[-1]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _session_arn(role_arn: str, session: str) -> str:
    return f"arn:aws:sts::{get_account_id()}:assumed-role/{_name(role_arn)}/{session[:64]}"


def _context(
    role_arn: str, service: str, action: str, resource: str, context: dict[str, Any] | None
) -> Any:
    account = get_account_id()
    return iam_evaluator.EvalContext(
        principal_arn=_session_arn(role_arn, service.split(".", maxsplit=1)[0]),
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
        service_context={"aws:sourceaccount": account, **(context or {})},
    )
