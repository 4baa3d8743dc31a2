"""Batch transform's records, JSONPath and joins.

AWS: "Associate Prediction Results with Input Records" (developer guide), API_TransformInput.
"""

import io
import json
import struct
from typing import Any

import pytest

from local.sagemaker.transform.joining import JoinError, Joining
from local.sagemaker.transform.jsonpath import Path, PathError
from local.sagemaker.transform.records import RecordError, split

DOCUMENT = {"id": {"a": 1, "b": 2}, "features": [1, 2, 3], "label": "x"}


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("$", DOCUMENT, DOCUMENT),
        ("$.features", DOCUMENT, [1, 2, 3]),
        ("$.features[-1]", DOCUMENT, 3),
        ("$.id.*", DOCUMENT, [1, 2]),
        ("$['label','id']", DOCUMENT, {"label": "x", "id": {"a": 1, "b": 2}}),
        ("$.id.['a','b']", DOCUMENT, {"a": 1, "b": 2}),
        ("$[1:]", [1, 2, 3, 4], [2, 3, 4]),
        ("$[1:-1]", [1, 2, 3, 4], [2, 3]),
        ("$[0,2:]", [1, 2, 3, 4], [1, 3, 4]),
        ("$[*].a", [{"a": 1}, {"a": 2}], [1, 2]),
    ],
)
def test_jsonpath(text: str, value: Any, expected: Any) -> None:
    assert Path.parse(text).select(value) == expected


@pytest.mark.parametrize("text", ["", "a", "$..a", "$[?(@.a)]", "$[1:2:3]", "$[a]", "$.", "$a"])
def test_other_jsonpath_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        Path.parse(text)


@pytest.mark.parametrize(("text", "value"), [("$[5]", [1]), ("$.b", {"a": 1}), ("$[0]", {"a": 1})])
def test_what_is_not_there_is_an_error(text: str, value: Any) -> None:
    with pytest.raises(PathError):
        Path.parse(text).select(value)


def recordio(*parts: tuple[int, bytes]) -> bytes:
    """The frames of (flag, payload), padded to four bytes."""
    return b"".join(
        struct.pack("<II", 0xCED7230A, flag << 29 | len(part)) + part + bytes(-len(part) % 4)
        for flag, part in parts
    )


def tfrecord(payload: bytes) -> bytes:
    return struct.pack("<Q", len(payload)) + b"head" + payload + b"foot"


MAGIC = struct.pack("<I", 0xCED7230A)
CUT = recordio((1, b"left"), (2, b"mid"), (3, b"right"))


@pytest.mark.parametrize(
    ("kind", "content", "framed", "expected"),
    [
        ("None", b"a\nb", True, [b"a\nb"]),
        ("Line", b"a\nb", True, [b"a\n", b"b"]),
        ("Line", b"", True, []),
        ("RecordIO", recordio((0, b"one"), (0, b"two!")), False, [b"one", b"two!"]),
        ("RecordIO", recordio((0, b"one")), True, [recordio((0, b"one"))]),
        ("RecordIO", CUT, False, [b"left" + MAGIC + b"mid" + MAGIC + b"right"]),
        ("RecordIO", CUT, True, [CUT]),
        ("TFRecord", tfrecord(b"one") + tfrecord(b""), False, [b"one", b""]),
        ("TFRecord", tfrecord(b"one"), True, [tfrecord(b"one")]),
    ],
)
def test_splits(kind: str, content: bytes, framed: bool, expected: list[bytes]) -> None:
    """SingleRecord takes a binary record's padding off; MultiRecord leaves it."""
    assert list(split(io.BytesIO(content), kind, 100, framed)) == expected


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("None", b"x" * 11),
        ("Line", b"1\n" + b"x" * 11),
        ("RecordIO", recordio((0, b"x" * 11))),
        ("RecordIO", b"not recordio"),
        ("RecordIO", recordio((0, b"one"))[:-1]),
        ("RecordIO", recordio((1, b"one"))),
        ("TFRecord", tfrecord(b"x" * 11)),
        ("TFRecord", tfrecord(b"one")[:-1]),
    ],
)
def test_records_too_large_or_cut_off(kind: str, content: bytes) -> None:
    with pytest.raises(RecordError):
        list(split(io.BytesIO(content), kind, 10, framed=False))


def joining(
    is_csv: bool = False, given: str = "$", result: str = "$", join: bool = True
) -> Joining:
    return Joining(is_csv, Path.parse(given), Path.parse(result), join)


def test_json_objects_gain_the_output_and_others_are_wrapped() -> None:
    work = joining(given="$.features", result="$['id','SageMakerOutput']")
    record = b'{"id": 7, "features": [1, 2]}\n'
    assert work.payload([record]) == b"[1, 2]\n"
    result = work.results([record], b'{"label":\n 1}', b"")
    assert json.loads(result) == {"id": 7, "SageMakerOutput": {"label": 1}}
    result = joining().results([b"[1, 2]"], b"0.5", b"")
    assert json.loads(result) == {"SageMakerInput": [1, 2], "SageMakerOutput": 0.5}


def test_csv_rows_keep_their_quotes() -> None:
    work = joining(is_csv=True)
    records = [b'"a,b",1\n', b"c,2\n"]
    assert work.results(records, b"0.1\n0.2,x\n", b"\n") == b'"a,b",1,0.1\nc,2,0.2,x\n'
    work = joining(is_csv=True, result="$[-1,0]")
    assert work.results(records, b"0.1\n0.2,x\n", b"\n") == b'0.1,"a,b"\nx,c\n'


def test_answers_that_do_not_fit_the_records() -> None:
    with pytest.raises(JoinError, match="1 results to 2 records"):
        joining(is_csv=True).results([b"1", b"2"], b"0.1,0.2", b"")
    with pytest.raises(JoinError, match="is not JSON"):
        joining().results([b"{}"], b"oops", b"")
    with pytest.raises(JoinError, match="newline"):
        joining(is_csv=True, given="$[0]").payload([b'"1\n', b'2"\n'])
