"""The one error a client of the local SageMaker sees."""

from __future__ import annotations

from typing import Any


class ServiceError(Exception):
    """An error answered to the caller as AWS would: a code, a message, an HTTP status.

    `fields` are the further members of a modelled error, such as ModelError's OriginalStatusCode.
    """

    def __init__(self, code: str, message: str, status: int = 400, **fields: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields


def invalid(message: str) -> ServiceError:
    """Return the ValidationException that SageMaker answers to nearly every bad request."""
    return ServiceError("ValidationException", message)


def not_implemented(what: str) -> ServiceError:
    """Refuse what the local SageMaker does not do, rather than pretend it was done."""
    return ServiceError("NotImplementedLocally", f"{what} is not implemented locally", 501)
