import gzip
import io
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import projects
from headrace.errors import ProjectError
from headrace.projects import (
    archive_key,
    build_archive,
    judge_archive,
    parse_key,
    read_project,
    version_of,
)

LEAST = "name: credit\ndata: {label: y}\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "credit"
    (made / "lib").mkdir(parents=True)
    (made / "model.yaml").write_text(LEAST + "features: {entrypoint: features.py}\n")
    (made / "features.py").write_text("def features(columns): return columns\n")
    (made / "lib" / "helper.py").write_text("x = 1\n")
    return made


def packed(*members, content=b"x"):
    """Return an archive of members: names of files, or TarInfo of anything else."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        model = tarfile.TarInfo("model.yaml")
        model.size = len(LEAST)
        tar.addfile(model, io.BytesIO(LEAST.encode()))
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content) if info.isfile() else 0
            tar.addfile(info, io.BytesIO(content) if info.isfile() else None)
    return buffer.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_the_same_sources_are_the_same_bytes(folder, tmp_path):
    first = build_archive(folder)
    os.utime(folder / "features.py", (1, 1))
    (folder / "features.py").chmod(0o700)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "features.pyc").write_bytes(b"x")
    (folder / ".env").write_text("SECRET=1")
    (folder / "data.parquet").write_bytes(b"PAR1")
    again = build_archive(folder)
    assert again == first
    assert first.files == ("features.py", "lib/helper.py", "model.yaml")
    (folder / "lib" / "helper.py").write_text("x = 2\n")
    assert build_archive(folder).version != first.version


def test_what_is_packed_is_what_is_read(folder):
    archive = build_archive(folder)
    project = read_project(archive.content, "dev")
    assert project.definition.name == "credit"
    assert project.version == archive.version == version_of(archive.content)
    assert project.files["lib/helper.py"] == b"x = 1\n"
    key = archive_key("credit", archive.version)
    assert parse_key(key) == ("credit", archive.version)
    assert judge_archive(key, archive.content, "dev") == project.definition


def test_a_folder_must_be_a_project_of_real_files(folder, tmp_path):
    with pytest.raises(ProjectError, match=r"no model\.yaml"):
        build_archive(tmp_path)
    (folder / "link.py").symlink_to(folder / "features.py")
    with pytest.raises(ProjectError, match="symbolic link"):
        build_archive(folder)


def test_too_many_files_do_not_pack(folder):
    for i in range(projects.MAX_FILES):
        (folder / f"f{i}.txt").write_text("")
    with pytest.raises(ProjectError, match="Keep data out"):
        build_archive(folder)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"junk", "not gzip"),
        (gzip.compress(b"junk" * 1000), "cannot be unpacked"),
        (packed("features.py")[:-20], "cut short"),
        (packed("../evil.py"), "leads out of it"),
        (packed("/evil.py"), "leads out of it"),
        (packed(special("evil", tarfile.SYMTYPE, "/etc/passwd")), "not a plain file"),
        (packed(special("evil", tarfile.SYMTYPE, "model.yaml")), "not a plain file"),
        (packed(special("evil", tarfile.CHRTYPE)), "not a plain file"),
        (packed("twice.py", "twice.py"), "twice"),
        (packed(*[f"{i}.py" for i in range(projects.MAX_FILES)]), "more than"),
    ],
)
def test_archives_with_tricks_are_refused(content, why):
    with pytest.raises(ProjectError, match=why):
        read_project(content, "dev")


def test_a_bomb_stops_at_the_cap():
    bomb = gzip.compress(b"\0" * (projects.MAX_UNPACKED_BYTES + 1), compresslevel=1)
    assert len(bomb) < projects.MAX_UNPACKED_BYTES / 100
    with pytest.raises(ProjectError, match="unpacks to more than"):
        read_project(bomb, "dev")


def test_entrypoints_must_be_in_the_archive(folder):
    (folder / "features.py").unlink()
    with pytest.raises(ProjectError, match=r"features\.entrypoint: names features\.py"):
        read_project(build_archive(folder).content, "dev")


def test_key_and_content_must_agree(folder):
    archive = build_archive(folder)
    with pytest.raises(ProjectError, match=f"hash is {archive.version}"):
        judge_archive(archive_key("credit", "0" * 12), archive.content, "dev")
    with pytest.raises(ProjectError, match="published as 'other'"):
        judge_archive(archive_key("other", archive.version), archive.content, "dev")


@pytest.mark.parametrize("key", ["projects/x", "projects/a/b/project.tar.gz", "drops/a/b"])
def test_other_keys_name_no_project(key):
    with pytest.raises(ProjectError, match="not a published project"):
        parse_key(key)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    with pytest.raises(ProjectError):
        read_project(content, "dev")
