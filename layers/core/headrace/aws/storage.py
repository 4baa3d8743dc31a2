"""S3, as far as Headrace needs it: whole small objects as JSON, large ones in streams."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from headrace.aws.clients import client

_CHUNK_BYTES = 1 << 20
_COPY_OBJECT_BYTES = 5_000_000_000  # CopyObject, API reference: "up to 5 GB"


class Location(NamedTuple):
    """Where an object is, and in which version (None: the newest)."""

    bucket: str
    key: str
    version_id: str | None = None

    @classmethod
    def of(cls, uri: str) -> Self:
        """Read `s3://bucket/key`. Not a URL: every character of the key means itself."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket:
            raise ValueError(f"{uri!r} is not an S3 address: expected s3://bucket/key")
        return cls(bucket, key)

    @property
    def uri(self) -> str:
        """The address without the version."""
        return f"s3://{self.bucket}/{self.key}"

    def _arguments(self) -> dict[str, str]:
        pin = {"VersionId": self.version_id} if self.version_id else {}
        return {"Bucket": self.bucket, "Key": self.key, **pin}


class Storage:
    """Reads and writes objects; never loads a large one into memory."""

    def __init__(self, s3: Any, kms_key_arn: str = "") -> None:
        self._s3 = s3
        self._encryption = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_arn} if kms_key_arn else {}
        )

    @classmethod
    def of(cls, kms_key_arn: str = "") -> Self:
        """Return the storage seen by the process's own client."""
        return cls(client("s3"), kms_key_arn)

    def exists(self, location: Location) -> bool:
        """Tell whether an object is there; without ListBucket S3 answers 403, which is raised."""
        try:
            self._s3.head_object(**location._arguments())
        except self._s3.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    def head(self, location: Location) -> dict[str, Any]:
        """Return size, version, metadata and the like, as S3's HeadObject does."""
        return dict(self._s3.head_object(**location._arguments()))

    def get_bytes(self, location: Location, limit: int) -> bytes:
        """Return an object's content, refusing more than `limit` bytes.

        Raises:
            ValueError: the object is larger.
        """
        content = self._s3.get_object(**location._arguments())["Body"].read(limit + 1)
        if len(content) > limit:
            raise ValueError(f"{location.uri} has more than the {limit} bytes expected")
        return bytes(content)

    def get_json(self, location: Location, limit: int = 16 << 20) -> Any:
        """Return a small object's JSON."""
        return json.loads(self.get_bytes(location, limit))

    def put_json(self, location: Location, content: Any) -> None:
        """Write JSON."""
        self.put_bytes(location, json.dumps(content, allow_nan=False).encode(), "application/json")

    def put_json_if_absent(self, location: Location, content: Any) -> bool:
        """Write JSON unless an object is there; return whether it was written.

        S3 decides (`If-None-Match: *`), so of several writers exactly one wins.
        """
        return self.replace_json(location, content, None)

    def find_tagged(self, location: Location, limit: int = 64 << 20) -> tuple[bytes, str] | None:
        """Return a small object and its ETag, to `replace_json` it; None when there is none.

        Without ListBucket S3 answers 403, which is raised.
        """
        try:
            reply = self._s3.get_object(**location._arguments())
        except self._s3.exceptions.NoSuchKey:
            return None
        if reply["ContentLength"] > limit:
            raise ValueError(f"{location.uri} has {reply['ContentLength']} bytes: over {limit}")
        return reply["Body"].read(), reply["ETag"]

    def replace_json(self, location: Location, content: Any, tag: str | None) -> bool:
        """Write JSON if the object still has the ETag `tag` (None: is not there yet).

        Returns whether it was written; S3 decides, so of several writers exactly one wins. When the
        reply was lost it was written and looks refused: read again what is there.
        """
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            self._s3.put_object(
                Bucket=location.bucket,
                Key=location.key,
                Body=json.dumps(content, allow_nan=False, separators=(",", ":")).encode(),
                ContentType="application/json",
                **condition,
                **self._encryption,
            )
        except self._s3.exceptions.ClientError as error:
            # 409: another conditional write of the same key was first, in this very moment. 404: it
            # was deleted (PutObject, API reference).
            refused = {409, 412} if tag is None else {404, 409, 412}
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in refused:
                return False
            raise
        return True

    def put_bytes(self, location: Location, content: bytes, content_type: str) -> None:
        """Write a small object."""
        self._s3.put_object(
            Bucket=location.bucket,
            Key=location.key,
            Body=content,
            ContentType=content_type,
            **self._encryption,
        )

    def download(self, location: Location, path: Path) -> str:
        """Stream an object to a file; return its SHA-256 as hex digits."""
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for chunk in self._chunks(location):
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    def sha256(self, location: Location) -> str:
        """Stream an object and return its SHA-256 as hex digits."""
        digest = hashlib.sha256()
        for chunk in self._chunks(location):
            digest.update(chunk)
        return digest.hexdigest()

    def upload(self, path: Path, location: Location) -> None:
        """Write a file, in parts when it is large."""
        self._s3.upload_file(
            str(path), location.bucket, location.key, ExtraArgs=self._encryption or None
        )

    def copy(self, source: Location, target: Location, size: int | None = None) -> None:
        """Copy within S3, the pinned version when there is one; no byte passes through here.

        Knowing the `size` in bytes saves a request: up to 5 GB, CopyObject does it in one.
        """
        if size is not None and size <= _COPY_OBJECT_BYTES:
            self._s3.copy_object(
                CopySource=source._arguments(),
                Bucket=target.bucket,
                Key=target.key,
                **self._encryption,
            )
            return
        self._s3.copy(
            source._arguments(),
            target.bucket,
            target.key,
            ExtraArgs=self._encryption or None,
        )

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[dict[str, Any]]:
        """Yield the objects under a prefix as ListObjectsV2 does, from the key behind `after`."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, **({"StartAfter": after} if after else {})
        )
        for page in pages:
            yield from page.get("Contents", [])

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """Yield the names of the folders right under a prefix that ends in a slash."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, Delimiter="/"
        )
        for page in pages:
            for common in page.get("CommonPrefixes", []):
                yield common["Prefix"].removeprefix(prefix).rstrip("/")

    def lines(self, location: Location) -> Iterator[str]:
        """Stream the lines of a text object."""
        for line in self._s3.get_object(**location._arguments())["Body"].iter_lines():
            yield line.decode(errors="replace")

    def _chunks(self, location: Location) -> Iterator[bytes]:
        body = self._s3.get_object(**location._arguments())["Body"]
        yield from body.iter_chunks(_CHUNK_BYTES)
