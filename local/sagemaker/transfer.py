"""Data in and out of S3 with a role's own credentials, and archives packed and unpacked safely."""

from __future__ import annotations

import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.clients import make_client
from local.sagemaker.cloud import Cloud

_ENTRIES = 100_000


class TransferError(Exception):
    """Data could not be moved; the message is meant for a FailureReason."""


class NothingFoundError(TransferError):
    """No object lies under a prefix."""


@dataclass(frozen=True)
class Location:
    """An S3 URI taken apart."""

    bucket: str
    key: str

    @classmethod
    def of(cls, uri: str) -> Location:
        """Parse `s3://bucket/key`."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return cls(bucket, key)

    def __truediv__(self, name: str) -> Location:
        return Location(self.bucket, f"{self.key.rstrip('/')}/{name}".lstrip("/"))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class S3:
    """S3 as a role sees it. Every failure is a TransferError."""

    def __init__(self, cloud: Cloud, credentials: dict[str, str]) -> None:
        self._client = make_client(
            "s3",
            cloud,
            credentials,
            Config(s3={"addressing_style": "path"}, retries={"mode": "standard"}),
        )

    def download_prefix(self, uri: str, folder: Path) -> int:
        """Download what lies under a prefix; return how many files.

        Names are kept below the prefix's last "/", as File mode does.
        Raises NothingFoundError if there are none.
        """
        count = 0
        for name, location in self.objects(uri):
            self._download(location.bucket, location.key, inside(folder, name))
            count += 1
        if not count:
            raise NothingFoundError(f'No S3 objects found under S3 URL "{uri}"')
        return count

    def objects(self, uri: str) -> Iterator[tuple[str, Location]]:
        """Yield what lies under a prefix, but folders' markers: name below it, and location."""
        prefix = Location.of(uri)
        for key in self._keys(prefix):
            if not key.endswith("/"):
                yield relative_name(key, prefix.key), Location(prefix.bucket, key)

    def manifest(self, uri: str) -> list[tuple[str, Location]]:
        """Read a manifest, `[{"prefix": "s3://b/p/"}, "name", ...]`: names and locations.

        Raises NothingFoundError if it lists none.
        """
        location = Location.of(uri)
        try:
            entries = json.loads(self.get(uri))
            prefix = Location.of(entries[0]["prefix"])
            names = [str(name) for name in entries[1:]]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise TransferError(f'The manifest "{location}" is malformed: {error}') from error
        if not names:
            raise NothingFoundError(f'The manifest "{uri}" lists no objects')
        return [(name, Location(prefix.bucket, prefix.key + name)) for name in names]

    def get(self, uri: str) -> bytes:
        """Return an object's body."""
        location = Location.of(uri)
        try:
            response = self._client.get_object(Bucket=location.bucket, Key=location.key)
            body: bytes = response["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise TransferError(f"{location}: {error}") from error
        return body

    def stream(self, location: Location, size: int) -> Iterator[bytes]:
        """Yield an object's body by pieces of `size` bytes."""
        try:
            answer = self._client.get_object(Bucket=location.bucket, Key=location.key)
            yield from answer["Body"].iter_chunks(size)
        except (ClientError, BotoCoreError) as error:
            raise TransferError(f"{location}: {error}") from error

    def put(self, location: Location, body: bytes) -> None:
        """Write an object."""
        try:
            self._client.put_object(Bucket=location.bucket, Key=location.key, Body=body)
        except (ClientError, BotoCoreError) as error:
            raise TransferError(f"{location}: {error}") from error

    def delete(self, location: Location) -> None:
        """Remove an object."""
        try:
            self._client.delete_object(Bucket=location.bucket, Key=location.key)
        except (ClientError, BotoCoreError) as error:
            raise TransferError(f"{location}: {error}") from error

    def download_file(self, uri: str, file: Path) -> None:
        """Download one object."""
        location = Location.of(uri)
        self._download(location.bucket, location.key, file)

    def upload_file(self, file: Path, location: Location) -> None:
        """Upload one file."""
        try:
            self._client.upload_file(str(file), location.bucket, location.key)
        except (ClientError, BotoCoreError, Boto3Error) as error:
            raise TransferError(f"{location}: {error}") from error

    def upload_folder(self, folder: Path, location: Location) -> None:
        """Upload every regular file of a folder; links are not followed (they may point out)."""
        for file in regular_files(folder):
            self.upload_file(file, location / file.relative_to(folder).as_posix())

    def upload_archive(self, folder: Path, location: Location) -> None:
        """Upload a folder as a .tar.gz of its contents."""
        archive = folder.with_name(f"{folder.name}.tar.gz")
        with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
            for entry in sorted(folder.iterdir()):
                tar.add(entry, entry.name)
        self.upload_file(archive, location)
        archive.unlink()

    def _keys(self, location: Location) -> Iterator[str]:
        pages: Any = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=location.bucket, Prefix=location.key
        )
        try:
            for page in pages:
                for entry in page.get("Contents", []):
                    yield entry["Key"]
        except (ClientError, BotoCoreError) as error:
            raise TransferError(f"{location}: {error}") from error

    def _download(self, bucket: str, key: str, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._client.download_file(bucket, key, str(file))
        except (ClientError, BotoCoreError, Boto3Error) as error:
            raise TransferError(f"s3://{bucket}/{key}: {error}") from error
        except OSError as error:
            raise TransferError(f"s3://{bucket}/{key}: {error.strerror}: {file.name}") from error


def relative_name(key: str, prefix: str) -> str:
    """Return where an object goes below the folder of its prefix.

    `data/train` and `data/train/` both put `data/train/a.csv` at `a.csv`; `data/tr` matches whole
    names, so that `data/train.csv` goes to `train.csv`.
    """
    rest = key.removeprefix(prefix)
    if rest and (not prefix or prefix.endswith("/") or rest.startswith("/")):
        return rest.lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def inside(folder: Path, name: str) -> Path:
    """Return the file of that name below a folder. Raises TransferError if it would lie outside."""
    file = Path(os.path.normpath(folder / name))
    if not file.is_relative_to(folder) or file == folder:
        raise TransferError(f'The name "{name}" leads out of its folder')
    return file


def regular_files(folder: Path) -> list[Path]:
    """Return the regular files below a folder, in order, following no link."""
    found = []
    for parent, _, names in os.walk(folder, followlinks=False):
        found += [Path(parent, name) for name in names if not Path(parent, name).is_symlink()]
    return sorted(found)


def extract(archive: Path, folder: Path, limit: int) -> None:
    """Unpack a .tar.gz below a folder.

    Links and paths that lead out, devices, more than `limit` bytes or 100,000 entries are refused
    with a TransferError.
    """
    size = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for count, member in enumerate(tar, 1):
                size += member.size
                if size > limit or count > _ENTRIES:
                    raise TransferError(f"The archive holds more than {limit} bytes or entries")
                _extract(tar, member, folder)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise TransferError(f"The archive cannot be unpacked: {error}") from error


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
