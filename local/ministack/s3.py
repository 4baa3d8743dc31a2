"""S3 events on the default bus carry the version of the object; `aws:kms` needs no key.

AWS ("EventBridge event message structure"): `object.version-id` is there when the bucket is
versioned. Stock MiniStack leaves it out of the event on the bus. AWS (API_PutObject): a write with
`aws:kms` and no key id takes the AWS managed key, which stock refuses.
"""

import json
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, s3

from local.ministack import guard

_version: ContextVar[str | None] = ContextVar("version", default=None)
_PARAMETERS = (
    "bucket_name key event_name size etag deletion_type restore_event_data version_id sequencer "
    "object_extra record_extra"
)


def install() -> None:
    """Note the version where it is known, add it where the event leaves; know the managed key."""
    guard.replace(s3, "_fire_s3_event", _PARAMETERS, _fire)
    guard.replace(eventbridge, "_dispatch_event", "event view", _dispatch)
    guard.replace(s3, "_resolve_sse_write_headers", "headers bucket_name", _encryption)


def _fire(bucket_name: str, key: str, event_name: str, *rest: Any, **named: Any) -> None:
    positional = rest[4] if len(rest) > 4 else None
    token = _version.set(named.get("version_id", positional))
    try:
        guard.stock(_fire)(bucket_name, key, event_name, *rest, **named)
    finally:
        _version.reset(token)


def _dispatch(event: dict[str, Any], view: Any = None) -> None:
    version = _version.get()
    if version and event.get("Source") == "aws.s3":
        detail = json.loads(event["Detail"])
        detail["object"]["version-id"] = version
        event = {**event, "Detail": json.dumps(detail)}
    guard.stock(_dispatch)(event, view)


def _encryption(headers: dict[str, str], bucket_name: str) -> Any:
    if headers.get("x-amz-server-side-encryption") == "aws:kms":
        managed = f"arn:aws:kms:{get_region()}:{get_account_id()}:alias/aws/s3"
        headers = {"x-amz-server-side-encryption-aws-kms-key-id": managed, **headers}
    return guard.stock(_encryption)(headers, bucket_name)
