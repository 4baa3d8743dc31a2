"""Records of an input object, read one by one: no more of the object is ever in memory.

SplitType and what becomes of a binary record's padding: API_TransformInput. Formats: MXNet's
RecordIO and TensorFlow's TFRecord.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import IO

_RECORDIO_MAGIC = 0xCED7230A
_WHOLE, _FIRST, _LAST = 0, 1, 3  # the parts that RecordIO cuts a record into at its own magic
_TFRECORD_HEAD, _TFRECORD_FOOT = 12, 4  # length and its checksum; the data's checksum


class RecordError(Exception):
    """An object cannot be split into records, or one of them is too large."""


def split(file: IO[bytes], kind: str, limit: int, framed: bool) -> Iterator[bytes]:
    """Yield an object's records by SplitType, none larger than `limit` bytes.

    Lines keep their newline. A binary record is its payload, or the whole frame if `framed`.
    Raises RecordError.
    """
    return _SPLITS[kind](file, limit, framed)


def _whole(file: IO[bytes], limit: int, framed: bool) -> Iterator[bytes]:  # noqa: ARG001 - a split
    content = file.read(limit + 1)
    _check(len(content), limit)
    yield content


def _lines(file: IO[bytes], limit: int, framed: bool) -> Iterator[bytes]:  # noqa: ARG001 - a split
    while line := file.readline(limit + 1):
        _check(len(line), limit)
        yield line


def _recordio(file: IO[bytes], limit: int, framed: bool) -> Iterator[bytes]:
    parts: list[bytes] = []
    frames: list[bytes] = []
    while head := file.read(8):
        if len(head) < 8:
            raise RecordError("the last RecordIO record is cut off")
        magic, word = struct.unpack("<II", head)
        flag, length = word >> 29, word & ((1 << 29) - 1)
        if magic != _RECORDIO_MAGIC:
            raise RecordError("it is not RecordIO: the magic number is missing")
        _check(length + sum(map(len, parts)), limit)
        padded = length + (-length % 4)
        body = _exactly(file, padded)
        parts.append(body[:length])
        frames.append(head + body)
        if flag in (_WHOLE, _LAST):
            magic_bytes = head[:4]
            yield b"".join(frames) if framed else magic_bytes.join(parts)
            parts, frames = [], []
        elif flag == _FIRST and len(parts) > 1:
            raise RecordError("a RecordIO record begins within another")
    if parts:
        raise RecordError("the last RecordIO record is cut off")


def _tfrecords(file: IO[bytes], limit: int, framed: bool) -> Iterator[bytes]:
    while head := file.read(_TFRECORD_HEAD):
        if len(head) < _TFRECORD_HEAD:
            raise RecordError("the last TFRecord is cut off")
        (length,) = struct.unpack_from("<Q", head)
        _check(length, limit)
        body = _exactly(file, length + _TFRECORD_FOOT)
        yield head + body if framed else body[:length]


def _exactly(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise RecordError("the last record is cut off")
    return content


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise RecordError(f"a record is larger than MaxPayloadInMB ({limit // 2**20} MB)")


_SPLITS: dict[str, Callable[[IO[bytes], int, bool], Iterator[bytes]]] = {
    "None": _whole,
    "Line": _lines,
    "RecordIO": _recordio,
    "TFRecord": _tfrecords,
}
