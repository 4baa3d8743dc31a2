"""Publishes a model project: judged here first, then sent, then judged by the stack."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from headrace.deployment.comparison import explain_comparisons
from headrace.deployment.strategy import explain
from headrace.projects import archive_key, build_archive, read_project
from headrace.records import Key, ModelRecord, ProjectRecord, model_partition
from headrace_cli.registry import caller
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for


@dataclass(frozen=True)
class Published:
    """A project that was sent; the stack's verdict comes later."""

    model: str
    project_version: str
    commit: str | None
    files: int
    uri: str
    sent_at: str
    rollout: str


def publish(session: Session, folder: Path) -> Published:
    """Validate a project as the stack will, and upload its archive.

    Raises:
        ProjectError: it cannot be used; one line per reason.
    """
    archive = build_archive(folder)
    definition = read_project(archive.content, session.environment.config).definition
    wanted = definition.deployment
    key = archive_key(definition.name, archive.version)
    commit = git_commit(folder)
    metadata = {"publisher": caller(session)} | ({"commit": commit} if commit else {})
    s3, location = session.client("s3"), {"Bucket": session.stack.data_bucket, "Key": key}
    s3.put_object(
        **location, Body=archive.content, ContentType="application/gzip", Metadata=metadata
    )
    # S3's own time of it is what the stack records.
    sent_at = s3.head_object(**location)["LastModified"].strftime("%Y-%m-%dT%H:%M:%S")
    return Published(
        model=definition.name,
        project_version=archive.version,
        commit=commit,
        files=len(archive.files),
        uri=f"s3://{location['Bucket']}/{key}",
        sent_at=sent_at,
        rollout=explain_comparisons(wanted)
        + explain(wanted.strategy, wanted.instance_count, wanted.kept),
    )


def wait_for_verdict(session: Session, published: Published, timeout: float) -> ProjectRecord:
    """Wait until the stack has recorded what it thinks of a published project.

    Raises:
        TimedOutError: it has not in time.
    """
    key = Key(pk=model_partition(published.model), sk=f"project#{published.project_version}")

    def look() -> ProjectRecord | None:
        record = session.ledger.get(ProjectRecord, key)
        if record is None or record.published_at < published.sent_at:
            return None
        if record.status == "refused" or _is_in_force(session, published):
            return record
        return None

    return wait_for(
        look,
        f"the verdict on project '{published.model}' {published.project_version}",
        timeout=timeout,
        interval=session.environment.poll_seconds,
        hint=f"headrace logs {published.model} --stage projects",
    )


def git_commit(folder: Path) -> str | None:
    """Return the commit a folder stands at, marked `-dirty` if it was changed; None without git."""
    try:
        head = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            ["git", "-C", folder, "status", "--porcelain", "--", "."],
            capture_output=True,
            text=True,
            check=True,
        )
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None
    return head.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")


def _is_in_force(session: Session, published: Published) -> bool:
    """Tell whether the model's own record, which follows the verdict, is as new."""
    model = session.ledger.get(ModelRecord, Key(pk="models", sk=published.model))
    return model is not None and model.published_at >= published.sent_at
