"""A model project as it travels: one deterministic archive, named by its hash.

`build_archive` makes it from a folder (the CLI's `publish`), `read_project` judges one that came
from S3. The same folder gives the same bytes on any machine, so publishing twice is publishing
once. The git commit travels beside the archive, as object metadata: it is about the sources, not
in them.
"""

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from headrace.definition import ModelDefinition, parse
from headrace.errors import ProjectError

ARCHIVE_NAME = "project.tar.gz"
DEFINITION_NAME = "model.yaml"
MAX_ARCHIVE_BYTES = 16 << 20
MAX_UNPACKED_BYTES = 64 << 20
MAX_FILES = 1000
VERSION_LENGTH = 12

# Never part of a project: caches and what tools leave behind. Hidden files are left out too, so
# that a `.env` with secrets is never published.
_EXCLUDED_FOLDERS = {"__pycache__", "node_modules", "venv", "build", "dist"}
_EXCLUDED_SUFFIXES = {".pyc", ".pyo", ".parquet"}
_KEY = re.compile(rf"^projects/([^/]+)/([0-9a-f]{{{VERSION_LENGTH}}})/{re.escape(ARCHIVE_NAME)}$")


@dataclass(frozen=True)
class Archive:
    """A packed project: its bytes, the version they hash to, and the files inside."""

    content: bytes
    version: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """An unpacked, valid project as it applies to one environment."""

    version: str
    definition: ModelDefinition
    files: dict[str, bytes]


def archive_key(model: str, version: str) -> str:
    """Return the key of a published archive in the data bucket."""
    return f"projects/{model}/{version}/{ARCHIVE_NAME}"


def parse_key(key: str) -> tuple[str, str]:
    """Return the model and version a published key names.

    Raises:
        ProjectError: the key is not one that `headrace publish` writes.
    """
    match = _KEY.match(key)
    if match is None:
        raise ProjectError(
            f"{key!r} is not a published project: expected projects/<model>/<version>/"
            f"{ARCHIVE_NAME}. Use `headrace publish`."
        )
    return match[1], match[2]


def version_of(content: bytes) -> str:
    """Return the version an archive's bytes stand for."""
    return hashlib.sha256(content).hexdigest()[:VERSION_LENGTH]


def build_archive(folder: Path) -> Archive:
    """Pack a project folder: sorted, without times, owners, hidden files, caches or data.

    Raises:
        ProjectError: no model.yaml, a symbolic link, or too many files or bytes.
    """
    if not (folder / DEFINITION_NAME).is_file():
        raise ProjectError(f"{folder} holds no {DEFINITION_NAME}: is it a model project?")
    buffer = io.BytesIO()
    names = []
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in _project_files(folder):
            name = path.relative_to(folder).as_posix()
            info = tarfile.TarInfo(name)
            info.size = path.stat().st_size
            info.mode = 0o644
            with path.open("rb") as file:
                tar.addfile(info, file)
            names.append(name)
    content = gzip.compress(buffer.getvalue(), compresslevel=9, mtime=0)
    if len(names) > MAX_FILES or buffer.tell() > MAX_UNPACKED_BYTES:
        raise ProjectError(
            f"{folder} has {len(names)} files and {buffer.tell()} bytes; a project may have "
            f"{MAX_FILES} and {MAX_UNPACKED_BYTES}. Keep data out of it: data is dropped."
        )
    if len(content) > MAX_ARCHIVE_BYTES:
        raise ProjectError(
            f"{folder} packs to {len(content)} bytes, more than {MAX_ARCHIVE_BYTES}. "
            "Keep data and models out of it."
        )
    return Archive(content, version_of(content), tuple(names))


def read_project(content: bytes, environment: str) -> Project:
    """Unpack an archive in memory, within caps, and validate it for an environment.

    Raises:
        ProjectError: one line per reason why it cannot be used.
    """
    files = _unpack(content)
    if DEFINITION_NAME not in files:
        raise ProjectError(f"The archive holds no {DEFINITION_NAME} at its top.")
    try:
        text = files[DEFINITION_NAME].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProjectError(f"{DEFINITION_NAME} is not UTF-8 text: {error}") from error
    definition = parse(text, environment)
    entrypoints = {
        "features.entrypoint": definition.features.entrypoint,
        "training.entrypoint": definition.training.entrypoint,
    }
    missing = [
        f"{DEFINITION_NAME}: {field}: names {name}, which the archive lacks"
        for field, name in entrypoints.items()
        if name is not None and name not in files
    ]
    if missing:
        raise ProjectError("\n".join(missing))
    return Project(version_of(content), definition, files)


def judge_archive(key: str, content: bytes, environment: str) -> ModelDefinition:
    """Return the definition in a published archive if it may be used under its key.

    Raises:
        ProjectError: one line per reason why not.
    """
    model, version = parse_key(key)
    actual = version_of(content)
    if actual != version:
        raise ProjectError(
            f"The archive's hash is {actual}, but its key says {version}: it was changed or cut "
            "on its way. Publish it again with `headrace publish`."
        )
    definition = read_project(content, environment).definition
    if definition.name != model:
        raise ProjectError(
            f"{DEFINITION_NAME} names the model {definition.name!r}, but it was published as "
            f"{model!r}."
        )
    return definition


def _project_files(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part in _EXCLUDED_FOLDERS for part in parts):
            continue
        if path.is_symlink():
            raise ProjectError(f"{path} is a symbolic link: a project holds real files only.")
        if path.is_file() and path.suffix not in _EXCLUDED_SUFFIXES:
            found.append(path)
    return found


def _unpack(content: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_decompress(content))) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise ProjectError(f"The archive holds {member.name!r}, which leads out of it.")
                name = path.as_posix()
                if member.isdir():
                    continue
                file = tar.extractfile(member) if member.isfile() else None
                if file is None:
                    raise ProjectError(f"The archive holds {name!r}, which is not a plain file.")
                if name in files:
                    raise ProjectError(f"The archive holds {name!r} twice.")
                if len(files) == MAX_FILES:
                    raise ProjectError(f"The archive holds more than {MAX_FILES} files.")
                files[name] = file.read()
    except tarfile.TarError as error:
        raise ProjectError(f"The archive cannot be unpacked: {error}") from error
    return files


def _decompress(content: bytes) -> bytes:
    """Undo gzip, and stop at the cap however much more would come."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = decompressor.decompress(content, MAX_UNPACKED_BYTES + 1)
    except zlib.error as error:
        raise ProjectError(f"The archive is not gzip: {error}") from error
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise ProjectError(
            f"The archive unpacks to more than {MAX_UNPACKED_BYTES} bytes; a project holds code, "
            "not data."
        )
    if not decompressor.eof:
        raise ProjectError("The archive is cut short.")
    return unpacked
