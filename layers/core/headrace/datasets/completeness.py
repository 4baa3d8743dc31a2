"""When a drop is whole, and what its manifest promises."""

import json
from collections import Counter
from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from headrace.datasets.arrivals import CONTROL_FILES, MANIFEST, SUCCESS
from headrace.errors import DropError

MANIFEST_LIMIT_BYTES = 16 << 20


class ManifestFile(BaseModel):
    """What a manifest promises of one file; whatever it says is checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str = Field(min_length=1, description="Path inside the drop.")
    size: int | None = Field(None, ge=0, description="Bytes.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="Hex digits.")
    rows: int | None = Field(None, ge=0, description="Rows before any is quarantined.")


class Manifest(BaseModel):
    """`_manifest.json`: the files that make a drop complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    files: tuple[ManifestFile, ...]

    @field_validator("files", mode="before")
    @classmethod
    def _names_alone_will_do(cls, files: object) -> object:
        if not isinstance(files, list | tuple):
            return files
        return [{"path": file} if isinstance(file, str) else file for file in files]

    @field_validator("files")
    @classmethod
    def _each_once(cls, files: tuple[ManifestFile, ...]) -> tuple[ManifestFile, ...]:
        counts = Counter(file.path for file in files)
        twice = min((path for path, count in counts.items() if count > 1), default=None)
        if twice is not None:
            raise ValueError(f"{twice!r} is named twice")
        return files

    @property
    def by_path(self) -> dict[str, ManifestFile]:
        """The files by their path."""
        return {file.path: file for file in self.files}


def read_manifest(content: bytes) -> Manifest:
    """Read `_manifest.json`.

    Raises:
        DropError: why it cannot be read; the message is the reason for quarantine.
    """
    try:
        return Manifest.model_validate(json.loads(content))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            detail = f"{place}: {str(first['msg']).removeprefix('Value error, ')}"
        else:
            detail = str(error)
        raise DropError(
            f"{MANIFEST} cannot be read ({detail}); expected "
            '{"files": [{"path": ..., "size": ..., "sha256": ..., "rows": ...}]}. '
            "Drop the files again under a new name with a manifest that names them."
        ) from error


class Completeness(BaseModel):
    """Whether a drop is whole, and if not what it waits for."""

    model_config = ConfigDict(frozen=True)
    complete: bool
    waiting_for: tuple[str, ...] = ()


def completeness(
    mode: Literal["manifest", "success", "quiet"],
    paths: Collection[str],
    manifest: Manifest | None,
    *,
    quiet: bool = False,
) -> Completeness:
    """Decide whether a drop with objects at these paths is whole.

    `manifest` is the one in the drop, if it can be read; whatever the mode, all it names must be
    there. A manifest that cannot be read is waited for no longer (nothing better will come): the
    drop is quarantined when it is planned. `quiet` tells that nothing came for `quiet_seconds`.
    """
    waiting_for = tuple(p for p in (manifest.by_path if manifest else {}) if p not in paths)
    if mode == "manifest" and MANIFEST not in paths:
        waiting_for = (MANIFEST,)
    elif mode == "success" and SUCCESS not in paths:
        waiting_for = (SUCCESS, *waiting_for)
    elif mode == "quiet" and not (quiet and any(path not in CONTROL_FILES for path in paths)):
        waiting_for = ("a quiet period after its last file", *waiting_for)
    return Completeness(complete=not waiting_for, waiting_for=waiting_for)
