"""Sends the source of the tabular image to the stack, whose CodeBuild builds and pushes it."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from headrace_cli.environments import ROOT
from headrace_cli.errors import error_code
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for

# What the Dockerfile copies, and itself; they keep their places in the repository.
_SOURCES = ("containers/tabular", "layers/profiling/headrace_profiling")
_PREFIX = "images/tabular/"
_LEFT_OUT = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
# The oldest date ZIP can hold: the same source must give the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Image:
    """The image of one source, in the stack's repository."""

    source: str
    digest: str
    built: bool


@dataclass(frozen=True)
class Pushed:
    """An image in ECR, and when it was pushed."""

    digest: str
    at: datetime

    def is_after(self, moment: datetime) -> bool:
        """Tell whether it was pushed then or later; ECR knows whole seconds only."""
        return self.at >= moment.replace(microsecond=0)


def zip_source(root: Path, folders: Sequence[str] = _SOURCES) -> bytes:
    """Return folders of a root as a ZIP archive that depends on names and contents only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        found = (path for folder in folders for path in (root / folder).rglob("*"))
        for path in sorted(path for path in found if path.is_file()):
            inside = path.relative_to(root)
            if _LEFT_OUT.isdisjoint(inside.parts):
                entry = zipfile.ZipInfo(inside.as_posix(), _EPOCH)
                entry.external_attr = (0o755 if path.stat().st_mode & 0o100 else 0o644) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def ensure_image(session: Session, timeout: float, root: Path = ROOT) -> Image:
    """Return the image of this source, built by the stack first when it is not there.

    Raises:
        TimedOutError: the image did not appear in time.
    """
    content = zip_source(root)
    source = hashlib.sha256(content).hexdigest()[:12]
    location = {"Bucket": session.stack.artifacts_bucket, "Key": f"{_PREFIX}{source}.zip"}
    sent = _newest_source(session)
    before = find_image(session)
    if before and sent.get("Key") == location["Key"] and before.is_after(sent["LastModified"]):
        return Image(source, before.digest, built=False)
    s3 = session.client("s3")
    s3.put_object(**location, Body=content, ContentType="application/zip")
    sent_at = s3.head_object(**location)["LastModified"]

    def look() -> str | None:
        found = find_image(session)
        # An image pushed once before keeps its time when `latest` comes back to it.
        is_new = found and (found.is_after(sent_at) or before is None or found != before)
        return found.digest if found and is_new else None

    digest = wait_for(
        look,
        f"the image of {location['Key']} in repository '{session.stack.tabular_repository}'",
        timeout=timeout,
        interval=session.environment.poll_seconds,
        hint="Look at the stack's CodeBuild project, and at its log stream 'image'.",
    )
    return Image(source, digest, built=True)


def find_image(session: Session) -> Pushed | None:
    """Return the latest image in the stack's repository, or None before the first."""
    try:
        reply = session.client("ecr").describe_images(
            repositoryName=session.stack.tabular_repository, imageIds=[{"imageTag": "latest"}]
        )
    except ClientError as error:
        if error_code(error) == "ImageNotFoundException":
            return None
        raise
    latest = next(iter(reply["imageDetails"]), None)
    return Pushed(latest["imageDigest"], latest["imagePushedAt"]) if latest else None


def _newest_source(session: Session) -> dict[str, Any]:
    """Return the source that was sent last, as S3 lists it: its image is the latest."""
    pages = (
        session.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=session.stack.artifacts_bucket, Prefix=_PREFIX)
    )
    listed = [o for page in pages for o in page.get("Contents", [])]
    return max(listed, key=lambda o: o["LastModified"], default={})
