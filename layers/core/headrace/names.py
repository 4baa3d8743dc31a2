"""Deterministic names: the same cause always gives the same name, so that a replay is harmless.

SageMaker allows 63 characters of `[a-zA-Z0-9-]` in most names, Step Functions 80 in an
execution's.
"""

import hashlib
import re

from headrace.errors import ProjectError

MODEL_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
MODEL_MAX_LENGTH = 32
_SAGEMAKER_MAX_LENGTH = 63
# So that a stack and any model have room in the name of an endpoint: events are told apart by it.
STACK_MAX_LENGTH = _SAGEMAKER_MAX_LENGTH - MODEL_MAX_LENGTH - 1
_EXECUTION_MAX_LENGTH = 80


def digest(*parts: str, length: int = 10) -> str:
    """Return `length` hex digits that stand for `parts`, whose order and boundaries count."""
    joined = "\x00".join(parts).encode()
    return hashlib.sha256(joined).hexdigest()[:length]


def run_id(model: str, data: str, project_version: str, attempt: int = 0) -> str:
    """Name the run that learns from these data with this code; doing so again is another."""
    parts = (data, project_version, *((str(attempt),) if attempt else ()))
    return f"{model}-{digest(*parts)}"


def deployment_id(model: str, package_version: int, approved_at: str) -> str:
    """Name the deployment that this approval causes; approving again is another deployment."""
    return f"{model}-v{package_version}-{digest(approved_at, length=8)}"


def recovery_id(alarm: str, since: str) -> str:
    """Name the recovery that an alarm's ringing causes; ringing again later is another one."""
    return digest(alarm, since)


def execution_name(*parts: str) -> str:
    """Return a valid execution name (<= 80 characters) that is unique to `parts`."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(parts))
    suffix = digest(*parts)
    return f"{readable[: _EXECUTION_MAX_LENGTH - len(suffix) - 1]}-{suffix}"


def sagemaker_name(stack: str, *parts: str) -> str:
    """Return a SageMaker resource name that starts with the stack's (IAM is scoped to it).

    It is cut and given a digest when longer than 63 characters, so it stays unique to its parts.
    """
    name = "-".join((stack, *parts))
    if len(name) <= _SAGEMAKER_MAX_LENGTH:
        return name
    suffix = digest(name)
    return f"{name[: _SAGEMAKER_MAX_LENGTH - len(suffix) - 1].rstrip('-')}-{suffix}"


def require_room(stack: str, model: str) -> None:
    """Refuse a model whose endpoint's name would be cut: its model could not be read from it.

    Raises:
        ProjectError: saying how much too long the names are.
    """
    excess = len(f"{stack}-{model}") - _SAGEMAKER_MAX_LENGTH
    if excess > 0:
        raise ProjectError(
            f"model.yaml: name: {model!r} is {excess} characters too long beside stack {stack!r}: "
            f"an endpoint is named by both and has {_SAGEMAKER_MAX_LENGTH}. Shorten it, or use a "
            f"stack name of at most {STACK_MAX_LENGTH} characters."
        )


def endpoint_name(stack: str, model: str) -> str:
    """Name the endpoint that serves `model`."""
    return sagemaker_name(stack, model)


def package_group_name(stack: str, model: str) -> str:
    """Name the model package group of `model`."""
    return sagemaker_name(stack, model)


def model_of(stack: str, package_group: str) -> str | None:
    """Return the model a package group belongs to, or None when it is not this stack's."""
    prefix = f"{stack}-"
    return package_group.removeprefix(prefix) if package_group.startswith(prefix) else None
