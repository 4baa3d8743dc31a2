"""Reading files out of archives somebody else wrote."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.archives import read_members
from headrace.errors import ArchiveError


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_only_what_is_wanted_is_read() -> None:
    archive = packed((member("./a.json"), b"1"), (member("b.json"), b"2"), (member("x/c"), b"3"))
    assert read_members(archive, {"a.json", "b.json"}, 1 << 20) == {"a.json": b"1", "b.json": b"2"}


@pytest.mark.parametrize(
    "info",
    [
        member("../a.json"),
        member("/a.json"),
        member("a.json", tarfile.SYMTYPE, "/etc/passwd"),
        member("a.json", tarfile.LNKTYPE, "/etc/passwd"),
        member("a.json", tarfile.FIFOTYPE),
        member("a.json", tarfile.DIRTYPE),
    ],
)
def test_what_is_no_plain_file_of_that_name_is_not_read(info: tarfile.TarInfo) -> None:
    assert read_members(packed((info, b"")), {"a.json"}, 1 << 20) == {}


@given(content=st.binary(max_size=200))
def test_what_is_no_archive_is_one_kind_of_error(content: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_members(io.BytesIO(b"\x1f\x8b" + content), {"a"}, 1 << 20)


def test_an_archive_that_is_cut_short_is_an_error() -> None:
    whole = packed((member("a.json"), bytes(range(256)) * 400)).getvalue()
    with pytest.raises(ArchiveError):
        read_members(io.BytesIO(whole[: len(whole) // 2]), {"a.json"}, 1 << 20)


def test_the_cap_counts_what_comes_out() -> None:
    archive = packed((member("other"), bytes(2 << 20)))
    assert len(archive.getvalue()) < 10_000
    with pytest.raises(ArchiveError, match="more than"):
        read_members(archive, {"a.json"}, 1 << 20)


def test_nested_compression_is_not_undone() -> None:
    inner = gzip.compress(b"x" * 1000)
    assert read_members(packed((member("a.gz"), inner)), {"a.gz"}, 1 << 20) == {"a.gz": inner}
