"""What ends a command early: each says what, where, why, what to do next, and its exit code."""

from typing import Any, ClassVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 — botocore's own name
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from headrace.errors import DropError, HeadraceError, ProjectError
from headrace_cli.exit_codes import ExitCode

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthorizationError",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "ExpiredToken",
    "ExpiredTokenException",
    "403",
}
_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, ProfileNotFound, TokenRetrievalError)


class CommandError(HeadraceError):
    """An expected ending other than success; printed without a traceback."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def document(self) -> dict[str, Any]:
        """Return the error as `--json` prints it."""
        body = {"type": type(self).__name__, "message": self.message, "next": self.hint}
        return {"error": {**body, "exit_code": int(self.exit_code)}}


class UsageError(CommandError):
    """The command names something that does not exist, or does not make sense."""

    exit_code = ExitCode.USAGE


class RefusedError(CommandError):
    """What was asked for was judged, and refused."""

    exit_code = ExitCode.NEGATIVE


class NotUpError(CommandError):
    """The environment is not up, or cannot be reached."""

    exit_code = ExitCode.NOT_UP


class DeniedError(CommandError):
    """AWS denied it, or there are no valid credentials."""

    exit_code = ExitCode.DENIED


class TimedOutError(CommandError):
    """What was waited for did not come in time."""

    exit_code = ExitCode.TIMED_OUT


class FailedError(CommandError):
    """AWS, or a program that was run, failed."""

    exit_code = ExitCode.FAILED


def error_code(error: ClientError) -> str:
    """Return AWS's code of an error, such as `AccessDeniedException`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def translate(error: Exception, environment: str) -> CommandError | None:
    """Return an error as the user should read it, or None when it is a bug of ours."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, ProjectError):
        return RefusedError(str(error), "Correct the project, then publish it again.")
    if isinstance(error, DropError):
        return UsageError(str(error), "Correct the drop, then drop it again.")
    if isinstance(error, HeadraceError):
        return FailedError(str(error), f"headrace doctor --env {environment}")
    if isinstance(error, ClientError):
        return _translate_client_error(error, environment)
    if isinstance(error, BotoCoreError):
        return _translate_botocore_error(error, environment)
    return None


def _translate_client_error(error: ClientError, environment: str) -> CommandError:
    code = error_code(error)
    detail = error.response.get("Error", {}).get("Message") or str(error)
    said = f"{error.operation_name} in environment '{environment}': {detail} ({code})"
    if code in _DENIED:
        return DeniedError(
            f"AWS denied {said}",
            "Check whose credentials these are (aws sts get-caller-identity) and what they allow.",
        )
    return FailedError(f"AWS refused {said}", f"headrace doctor --env {environment}")


def _translate_botocore_error(error: BotoCoreError, environment: str) -> CommandError:
    if isinstance(error, _CREDENTIALS):
        return DeniedError(
            f"No usable AWS credentials for environment '{environment}': {error}",
            "Log in (aws sso login, or aws configure), or choose another --env.",
        )
    if isinstance(error, NoRegionError):
        return UsageError(
            f"No AWS region for environment '{environment}'.",
            f"Give samconfig.toml a region under [{environment}.deploy.parameters], "
            "or set AWS_REGION.",
        )
    if isinstance(error, ConnectionError | HTTPClientError):
        return NotUpError(
            f"AWS of environment '{environment}' cannot be reached: {error}",
            f"headrace up --env {environment}, or check the network.",
        )
    return FailedError(f"boto3 could not do it: {error}", f"headrace doctor --env {environment}")
