"""Files of large captured records in pieces, and records of large requests in parts.

DuckDB looks at 2,048 lines of a file at a time, on each thread, and takes for their JSON some six
times their bytes. Where lines are long a file is cut, so that memory is bounded whatever was asked.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace_profiling.payloads import csv_rows, rows_in

LONGEST = 1 << 19
"""Bytes of a line; a longer one is parted."""
_PIECE = 2 << 20
_VECTOR = 2048  # lines at a time (STANDARD_VECTOR_SIZE)
_PART = 4  # a part is a quarter of the longest line, so that escapes and an uneven row fit


def in_pieces(path: Path, names: Sequence[str]) -> list[Path]:
    """Return the file, or pieces of it with the same records, beside it; it is gone then.

    A part of a record says in `firstRow` how many rows of its request are before it; what has no
    parts says why in `problem`. `names` are the columns of payloads without names.
    """
    with path.open("rb") as lines:
        longest = max(map(len, lines), default=0)
    if longest * _VECTOR <= _PIECE:
        return [path]
    pieces: list[Path] = []
    with path.open("rb") as lines:
        piece: list[bytes] = []
        size = 0
        for line in (short for each in lines for short in _short(each, names)):
            if piece and size + len(line) > _PIECE:
                pieces.append(_write(path, len(pieces), piece))
                piece, size = [], 0
            piece.append(line)
            size += len(line)
        pieces.append(_write(path, len(pieces), piece))
    path.unlink()
    return pieces


def _write(path: Path, number: int, lines: list[bytes]) -> Path:
    piece = path.with_name(f"{path.stem}.{number}{path.suffix}")
    piece.write_bytes(b"".join(lines))
    return piece


def _short(line: bytes, names: Sequence[str]) -> Iterator[bytes]:
    if len(line) <= LONGEST:
        yield line
        return
    for part in _parts(line, LONGEST, names):
        yield json.dumps(part).encode() + b"\n"


def _parts(line: bytes, longest: int, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    try:
        record = json.loads(line)
        metadata, sides = record["eventMetadata"], record["captureData"]
        asked = _rows(sides["endpointInput"], "instances", names)
        answers = _rows(sides["endpointOutput"], "predictions", ())
    except (ValueError, KeyError, TypeError, AttributeError):
        yield {"problem": "it is long, and no captured record whose rows can be told apart"}
        return
    if len(answers) == len(asked) + 1 and isinstance(answers[0], list):  # with a header
        answers = answers[1:]
    told = {"captureData": {}, "eventMetadata": metadata}
    if len(asked) != len(answers):
        said = "its answer has another number of rows than its request"
        yield told | {"problem": said}
        return
    step = max(1, len(asked) * longest // _PART // len(line))
    for start in range(0, len(asked), step):
        rows = slice(start, start + step)
        request, answer = {"instances": asked[rows]}, {"predictions": answers[rows]}
        part = {
            "captureData": {
                "endpointInput": {"data": json.dumps(request), "encoding": "JSON"},
                "endpointOutput": {"data": json.dumps(answer), "encoding": "JSON"},
            },
            "eventMetadata": metadata,
            "firstRow": start,
        }
        if len(json.dumps(part)) >= longest:
            part = told | {"problem": f"it has rows of more than {longest} bytes"}
        yield part


def _rows(side: Mapping[str, str], name: str, names: Sequence[str]) -> list[Any]:
    text = side["data"]
    if side["encoding"] == "BASE64":
        text = base64.b64decode(text).decode()
    if side["encoding"] != "CSV" and text.lstrip()[:1] in ("{", "["):
        return rows_in(text, name)
    return csv_rows(text, names)
