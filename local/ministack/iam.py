"""IAM for service roles: may this role, assumed by that service, do this?

AWS ("IAM roles for Step Functions", "EventBridge target permissions"): a service acts with the
role it was given, which must trust the service and allow the action. Stock MiniStack enforces IAM
for requests that arrive over HTTP, not for what Step Functions and EventBridge do on their own,
and serves unsigned S3 requests as the account's root.
"""

import hashlib
import json
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, sts

from local.ministack import guard


class RoleError(Exception):
    """The role does not exist or does not trust the service."""


def install() -> None:
    """Refuse anonymous S3 requests, and count loopback as a secure transport.

    AWS blocks public access to buckets by default ("Blocking public access to your Amazon S3
    storage"); stock MiniStack serves an unsigned S3 request as root. The usual policy that denies
    `aws:SecureTransport: false` would deny everything here, where there is no network to secure.
    """
    parameters = "access_key_id iam_action service region resource_arn service_context"
    guard.expect(hasattr(iam_evaluator, "AuthError"), "iam_evaluator.AuthError is missing")

    def pin_request_origin(source_ip: str, secure_transport: bool) -> None:
        del secure_transport
        iam_evaluator.pin_request_origin(source_ip, True)

    guard.replace(app, "pin_request_origin", "source_ip secure_transport", pin_request_origin)

    def enforce(
        access_key_id: str, iam_action: str, service: str, *rest: Any, **options: Any
    ) -> Any:
        if service == "s3" and not access_key_id:
            return iam_evaluator.AuthError("AccessDenied", "Access Denied")
        return guard.stock(enforce)(access_key_id, iam_action, service, *rest, **options)

    guard.replace(iam_evaluator, "enforce", parameters, enforce)


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
