"""Reading a few named files out of a `.tar.gz` somebody else wrote."""

import gzip
import tarfile
import zlib
from collections.abc import Collection
from typing import BinaryIO, cast

from headrace.errors import ArchiveError


def read_members(archive: BinaryIO, wanted: Collection[str], limit: int) -> dict[str, bytes]:
    """Return the contents of the wanted regular files that the archive holds.

    Nothing is written to disk, so no member can escape anywhere; and no more than `limit` bytes
    are ever decompressed, whatever the archive claims.

    Raises:
        ArchiveError: it is no gzipped tar, or unpacks to more than `limit` bytes.
    """
    found: dict[str, bytes] = {}
    try:
        with (
            gzip.GzipFile(fileobj=archive) as unzipped,
            tarfile.open(fileobj=cast(BinaryIO, _Capped(unzipped, limit)), mode="r|") as tar,
        ):
            for member in tar:
                name = member.name.removeprefix("./")
                # A sparse member's holes would be read as zeros that no cap has counted.
                if name in wanted and member.isfile() and not member.issparse():
                    content = tar.extractfile(member)
                    found[name] = content.read() if content else b""
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ArchiveError(f"Not a readable .tar.gz archive: {error}") from error
    return found


class _Capped:
    """A reader that stops with an error once it has given out `limit` bytes."""

    def __init__(self, source: gzip.GzipFile, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._given = 0

    def read(self, size: int) -> bytes:
        chunk = self._source.read(size)
        self._given += len(chunk)
        if self._given > self._limit:
            raise ArchiveError(f"The archive unpacks to more than {self._limit:,} bytes")
        return chunk
