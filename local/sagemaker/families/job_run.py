"""What jobs of every kind do alike."""

from __future__ import annotations

from pathlib import Path

from local.sagemaker.families.base import Context
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location, NothingFoundError, TransferError

RESTARTED = "InternalServerError: the local AWS was restarted while the job ran"
TERMINAL = ("Completed", "Failed", "Stopped")


class JobFailedError(Exception):
    """A job failed; the message is its FailureReason."""


def fetch(s3: S3, source: Record, folder: Path, context: Context, role: str) -> None:
    """Download an input. Raises JobFailedError in AWS's words."""
    uri = source["S3Uri"]
    try:
        if source["S3DataType"] == "ManifestFile":
            s3.download_manifest(uri, folder)
        else:
            s3.download_prefix(uri, folder)
    except NothingFoundError as error:
        bucket = Location.of(uri).bucket
        raise JobFailedError(
            f"ClientError: Data download failed:{error} given in input data source. Please ensure "
            f"that the bucket exists in the selected region ({context.cloud.region}), that objects "
            f'exist under that S3 prefix, and that the role "{role}" has "s3:ListBucket" '
            f'permissions on bucket "{bucket}".'
        ) from error
    except TransferError as error:
        raise JobFailedError(f"ClientError: Data download failed:{error}") from error
