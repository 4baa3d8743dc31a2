"""The inputs of a job: which objects a host gets, in which order, and how they come."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from local.sagemaker.jobs.hosts import Host
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, NothingFoundError, TransferError, inside

Object: TypeAlias = tuple[str, Location]
_SHARDED = "ShardedByS3Key"


def distribution(source: Record) -> str:
    """Return how an S3 source is spread over the hosts."""
    found: str = source.get("S3DataDistributionType", "FullyReplicated")
    return found


def objects(s3: S3, source: Record, host: Host, seed: int | None = None) -> list[Object]:
    """Return the names and places of a host's objects, shuffled if there is a seed.

    Raises NothingFoundError if the source has none; a shard may be empty.
    """
    uri = source["S3Uri"]
    found = s3.manifest(uri) if source["S3DataType"] == "ManifestFile" else list(s3.objects(uri))
    if not found:
        raise NothingFoundError(f'No S3 objects found under S3 URL "{uri}"')
    if seed is not None:
        random.Random(seed).shuffle(found)  # noqa: S311 - an order anyone can repeat
    return shard(found, source, host)


def shard(found: list[Object], source: Record, host: Host) -> list[Object]:
    """Return a host's share: all of it, or every n-th object."""
    if distribution(source) != _SHARDED:
        return found
    return found[host.place :: len(host.names)]


def download(s3: S3, source: Record, host: Host, folder: Path) -> None:
    """Download a host's objects below a folder. Raises TransferError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, location in objects(s3, source, host):
        s3.download_file(str(location), inside(folder, name))


def augmented(
    s3: S3, source: Record, host: Host, seed: int | None = None
) -> Iterator[Location | bytes]:
    """Yield what the lines of an augmented manifest name: each attribute's value, in order.

    An attribute whose name ends in "-ref" stands for the object it names. Raises TransferError.
    """
    lines = s3.get(source["S3Uri"]).decode().splitlines()
    rows = [line for line in lines if line.strip()]
    if seed is not None:
        random.Random(seed).shuffle(rows)  # noqa: S311 - an order anyone can repeat
    if distribution(source) == _SHARDED:
        rows = rows[host.place :: len(host.names)]
    for row in rows:
        try:
            record = json.loads(row)
            values = [(name, record[name]) for name in source["AttributeNames"]]
        except (ValueError, KeyError, TypeError) as error:
            raise TransferError(
                f'A line of the augmented manifest "{source["S3Uri"]}" is not JSON with the '
                f"attributes {', '.join(source['AttributeNames'])}: {row[:100]}"
            ) from error
        for name, value in values:
            if name.endswith("-ref"):
                yield Location.of(str(value))
            else:
                yield (value if isinstance(value, str) else json.dumps(value)).encode()
