"""AWS's event stream encoding: messages with typed headers and checksums.

Format: "Event Stream Encoding" of the Amazon Transcribe developer guide; botocore reads it.
"""

from __future__ import annotations

import json
import struct
import zlib

MEDIA_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def event(kind: str, payload: bytes) -> bytes:
    """Return an event of a kind whose payload is a blob."""
    headers = {
        ":message-type": "event",
        ":event-type": kind,
        ":content-type": "application/octet-stream",
    }
    return _message(headers, payload)


def error(kind: str, **members: str) -> bytes:
    """Return a modelled exception, the last message of a stream that failed."""
    headers = {
        ":message-type": "exception",
        ":exception-type": kind,
        ":content-type": "application/json",
    }
    return _message(headers, json.dumps(members).encode())


def _message(headers: dict[str, str], payload: bytes) -> bytes:
    encoded = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", len(encoded) + len(payload) + 16, len(encoded))
    start = prelude + struct.pack("!I", zlib.crc32(prelude)) + encoded + payload
    return start + struct.pack("!I", zlib.crc32(start))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(text)) + text
