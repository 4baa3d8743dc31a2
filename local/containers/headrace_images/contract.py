"""The container contract seen from inside: folders, configuration, the user's code, failures."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tarfile
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from headrace_images import s3

_FAILURE = 1024  # characters of the failure file that SageMaker reads


class UserError(Exception):
    """The user can mend this; the message is written to the failure file."""


def base() -> Path:
    """Return where this container's /opt/ml is."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def local(path: str) -> Path:
    """Return the file that a path under /opt/ml names here."""
    return (
        base() / path.removeprefix("/opt/ml").lstrip("/")
        if path.startswith("/opt/ml")
        else Path(path)
    )


def read_config(name: str) -> Any:
    """Return a file of /opt/ml/input/config, {} if there is none."""
    file = base() / "input" / "config" / name
    return json.loads(file.read_text()) if file.is_file() else {}


def decoded(value: str) -> Any:
    """Return a hyperparameter's value: SDKs send each as JSON, people as plain text."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def log(message: str) -> None:
    """Write a line to the container's log."""
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


def write_failure(message: str) -> None:
    """Leave the reason of a failure where SageMaker looks for it."""
    file = base() / "output" / "failure"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(message[:_FAILURE])


def bring_code(source: str, folder: Path) -> Path:
    """Return the folder of the user's code: what `source` names, unpacked below `folder`.

    `source` is a .tar.gz in S3, a .tar.gz or a folder of this container, or a file:// URL of one.
    Raises UserError.
    """
    source = source.removeprefix("file://")
    if source.startswith("s3://"):
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / "sourcedir.tar.gz"
        try:
            s3.download(source, archive)
        except s3.DownloadError as error:
            raise UserError(f"cannot download the code {source}: {error}") from error
        return _unpack(archive, folder)
    path = local(source)
    if path.is_dir():
        return path
    if path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        return _unpack(Path(shutil.copy(path, folder / "sourcedir.tar.gz")), folder)
    raise UserError(f"there is no code at {source}")


def _unpack(archive: Path, folder: Path) -> Path:
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                _extract(tar, member, folder)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"the code cannot be unpacked: {error}") from error
    finally:
        archive.unlink()
    return folder


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Extract a member with Python's `data` filter.

    Distributions still ship Python 3.11 without it: there all links are refused, too.
    """
    if hasattr(tarfile, "data_filter"):
        tar.extract(member, folder, filter="data")
        return
    leaves = member.name.startswith("/") or ".." in PurePosixPath(member.name).parts
    if leaves or not (member.isfile() or member.isdir()):
        raise tarfile.ExtractError(f"{member.name!r} is no plain file within its folder")
    tar.extract(member, folder)


def missing_requirements(code: Path) -> list[str]:
    """Return the names in the code's requirements.txt that are not installed here.

    AWS's images install that file with pip; the local ones never change their environment.
    """
    file = code / "requirements.txt"
    if not file.is_file():
        return []
    names = [
        re.match(r"[A-Za-z0-9][\w.-]*", line.strip()) for line in file.read_text().splitlines()
    ]
    return [found[0] for found in names if found and not _is_installed(found[0])]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def advice(module: str) -> str:
    """Say what to do about a module that the local image lacks."""
    return (
        f"{module!r} is not installed in the environment that stands for this image here, "
        f"{sys.executable}; install it there, or map the image to another one "
        "(local/images.yaml, HEADRACE_LOCAL_IMAGES)"
    )
