"""Sends outcomes to S3, and reads from the ledger what became of their rows."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from headrace import names
from headrace.monitoring.layout import outcomes_folder
from headrace.records import Key, OutcomesRecord, model_partition
from headrace_cli.errors import UsageError
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for

_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".parquet")


class Sent(NamedTuple):
    """An object of outcomes in S3; `known` is its record if it was accepted before."""

    key: str
    digest: str
    version_id: str
    known: OutcomesRecord | None


def send(session: Session, model: str, path: Path) -> Sent:
    """Upload a file under the name of its content, unless it was accepted before.

    Raises:
        UsageError: the model is unknown, or the file is not there or of no known kind.
    """
    session.model(model)
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in _SUFFIXES:
        raise UsageError(
            f"Cannot read outcomes from {path}.",
            f"Name a file that ends in {', '.join(_SUFFIXES)}.",
        )
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    s3, bucket = session.client("s3"), session.stack.data_bucket
    key = f"{outcomes_folder(model)}{content}{suffix}"
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    if listed:
        digest = digest_of(key, listed[0]["ETag"])
        known = read(session, model, digest)
        if known and known.status == "accepted":
            return Sent(key, digest, known.version_id, known)
    s3.upload_file(str(path), bucket, key)
    head = s3.head_object(Bucket=bucket, Key=key)
    return Sent(key, digest_of(key, head["ETag"]), head.get("VersionId", "null"), None)


def digest_of(key: str, etag: str) -> str:
    """Name an object of outcomes as the stack does: by where it is and what is in it."""
    return names.digest(key, etag.strip('"'), length=32)


def read(session: Session, model: str, digest: str) -> OutcomesRecord | None:
    """Return what became of an object, or None while the ledger does not know it."""
    key = Key(pk=model_partition(model), sk=f"outcomes#{digest}")
    return session.ledger.get(OutcomesRecord, key)


def wait_for_verdict(session: Session, model: str, sent: Sent, timeout: float) -> OutcomesRecord:
    """Wait until an object is recorded.

    Raises:
        TimedOutError: it was not in time.
    """

    def look() -> OutcomesRecord | None:
        record = read(session, model, sent.digest)
        # What was refused before and is sent again gets another verdict.
        judged = record and (record.status == "accepted" or record.version_id == sent.version_id)
        return record if judged else None

    return wait_for(
        look,
        f"the verdict on outcomes {sent.key} of '{model}'",
        timeout=timeout,
        interval=session.environment.poll_seconds,
        hint=f"headrace logs {model} --stage monitoring",
    )
