"""Unpacking archives that somebody else made."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from headrace_tabular.errors import ArtifactError

MAX_BYTES = 2 * 1024**3
MAX_FILES = 10_000


def extract(
    archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
) -> None:
    """Extract a tar archive, compressed or not, into a folder.

    Sizes are counted before anything is written, from the headers that tarfile itself obeys, so
    an archive bomb stops at the cap. Python's `data` filter refuses absolute paths, `..`, links
    that leave the folder and devices (docs.python.org, tarfile, "Extraction filters").
    Raises ArtifactError.
    """
    try:
        with tarfile.open(archive) as tar:
            total = 0
            for count, member in enumerate(tar, start=1):
                total += member.size
                if count > max_files or total > max_bytes:
                    raise ArtifactError(
                        f"{archive.name} holds more than {max_files:,} files or"
                        f" {max_bytes:,} bytes when unpacked: make it smaller"
                    )
            for member in tar:
                _extract(tar, member, folder)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise ArtifactError(f"{archive.name} cannot be unpacked: {error}") from error


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
