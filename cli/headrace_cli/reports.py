"""Reports of monitoring: which there are, what they say, and their pages as files."""

from pathlib import Path

from botocore.exceptions import ClientError
from pydantic import ValidationError

from headrace.aws.storage import Location, Storage
from headrace.monitoring.layout import reports_folder
from headrace.monitoring.report import Report
from headrace_cli.errors import FailedError, UsageError, error_code
from headrace_cli.session import Session

_MOST_BYTES = 64 << 20


def names(session: Session, model: str) -> list[str]:
    """Return the names of a model's reports, the newest first: the ends of their windows.

    Raises:
        UsageError: the model is unknown.
    """
    session.model(model)
    folder = reports_folder(model)
    pages = (
        session.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=session.stack.artifacts_bucket, Prefix=folder, Delimiter="/")
    )
    found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    return sorted((prefix.removeprefix(folder).rstrip("/") for prefix in found), reverse=True)


def choose(session: Session, model: str, name: str) -> str:
    """Return the name of a report: the newest if none is given.

    Raises:
        UsageError: there is no such report, or none at all yet.
    """
    known = names(session, model)
    if not known:
        raise UsageError(
            f"There is no report of '{model}' yet in environment '{session.environment.name}'.",
            f"headrace monitor {model} makes one.",
        )
    if name and name not in known:
        raise UsageError(f"'{model}' has no report '{name}'.", f"headrace reports {model}")
    return name or known[0]


def find(session: Session, model: str, name: str) -> Report | None:
    """Return a report for a list; None if it is not whole, or of another version of Headrace."""
    content = _content(session, model, name, "report.json")
    return Report.if_known(content) if content else None


def read(session: Session, model: str, name: str) -> Report:
    """Return a report.

    Raises:
        FailedError: there is none, or it is of another version of Headrace.
    """
    content = _content(session, model, name, "report.json")
    if content is None:
        raise _interrupted(model, name)
    try:
        return Report.model_validate_json(content)
    except ValidationError as error:
        raise FailedError(
            f"Report '{name}' of '{model}' is of another version than this command line.",
            "Use the command line of the stack's version.",
        ) from error


def save_page(session: Session, model: str, name: str, path: Path | None = None) -> Path:
    """Write a report's page to a file, by default to one in the environment's own folder.

    Raises:
        FailedError: there is no page.
    """
    page = _content(session, model, name, "report.html")
    if page is None:
        raise _interrupted(model, name)
    target = path or session.environment.folder / "reports" / f"{model}-{name}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(page)
    return target


def _interrupted(model: str, name: str) -> FailedError:
    message = f"Report '{name}' of '{model}' is not whole: its monitor was interrupted."
    return FailedError(message, f"headrace monitor {model}")


def _content(session: Session, model: str, name: str, file: str) -> bytes | None:
    key = f"{reports_folder(model)}{name}/{file}"
    place = Location(session.stack.artifacts_bucket, key)
    try:
        return Storage(session.client("s3")).get_bytes(place, _MOST_BYTES)
    except ClientError as error:
        if error_code(error) == "NoSuchKey":
            return None
        raise
