"""What can go wrong, in words for the person who has to put it right."""

from __future__ import annotations


class TabularError(Exception):
    """Root of the errors whose message is meant for a person and is shown without a traceback."""


class DataError(TabularError):
    """The data does not fit the model project."""


class ProjectError(TabularError):
    """The model project, its settings or its code are wrong."""


class ArtifactError(TabularError):
    """An archive or a model artifact is damaged, unsafe or of another kind."""


class RequestError(TabularError):
    """A prediction request cannot be answered; `status` is the HTTP status to answer with."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
