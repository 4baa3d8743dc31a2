"""Names, manifests' folders and archives: what may not lead out of its folder does not."""

import io
import tarfile
from pathlib import Path

import pytest

from local.sagemaker.transfer import (
    Location,
    TransferError,
    extract,
    inside,
    regular_files,
    relative_name,
)
from tests.local.sagemaker.conftest import archive


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("data/train/a.csv", "data/train/", "a.csv"),
        ("data/train/a.csv", "data/train", "a.csv"),
        ("data/train/2018/a.csv", "data/train", "2018/a.csv"),
        ("data/train.csv", "data/tr", "train.csv"),
        ("data/train.csv", "data/train.csv", "train.csv"),
        ("data/train-2/a.csv", "data/train", "train-2/a.csv"),
        ("a.csv", "", "a.csv"),
        ("x/a.csv", "", "x/a.csv"),
    ],
)
def test_names_below_a_prefix(key: str, prefix: str, name: str) -> None:
    assert relative_name(key, prefix) == name


@pytest.mark.parametrize("name", ["../a", "x/../../a", "/etc/passwd", "", "."])
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(TransferError, match="leads out"):
        inside(tmp_path, name)


def test_odd_names_stay_in(tmp_path: Path) -> None:
    assert inside(tmp_path, "a b/ü+%2F..csv") == tmp_path / "a b" / "ü+%2F..csv"


def test_locations() -> None:
    location = Location.of("s3://bucket/some/prefix/")
    assert str(location / "name") == "s3://bucket/some/prefix/name"
    assert str(Location.of("s3://bucket") / "name") == "s3://bucket/name"


def test_links_are_not_uploaded(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "linked-folder").symlink_to("/etc")
    assert regular_files(tmp_path) == [tmp_path / "folder" / "file"]


def test_archives(tmp_path: Path) -> None:
    file = tmp_path / "model.tar.gz"
    file.write_bytes(archive({"model.json": "{}", "code/serve.py": ""}))
    extract(file, tmp_path / "model", limit=100)
    assert (tmp_path / "model" / "code" / "serve.py").is_file()


def link(name: str, target: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, target
        tar.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        archive({"../outside": "x"}),
        link("passwd", "/etc/passwd"),
        link("up", "../../up"),
        archive({"big": "x" * 101}),
        archive({"one": "x" * 60, "two": "x" * 60}),
        archive({"model": "x"})[:-20],
        b"not an archive",
    ],
)
def test_archives_that_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.tar.gz"
    file.write_bytes(content)
    with pytest.raises(TransferError):
        extract(file, tmp_path / "model", limit=100)
    assert not (tmp_path / "outside").exists()
