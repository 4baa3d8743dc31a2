"""Which local environment stands for a container image.

A mapping file is a list; the first entry whose `image` glob matches the whole URI wins:

    - image: "*/headrace*tabular*"
      python: .venv/tabular/bin/python
      pythonpath: [containers/tabular]
      train: [-m, headrace_tabular.train]
      serve: [-m, headrace_tabular.serve]

`train`, `serve` and `process` are what `docker run IMAGE train`, `... serve` and `... ` would run:
arguments of `python` if one is given, else a whole command. `environment` is the image's ENV, and
`path` are folders that come first in the container's PATH. `multi_model: true` stands for the label
com.amazonaws.sagemaker.capabilities.multi-models: its server has the API of many models. Relative
paths start at `root`: the repository for local/images.yaml, else the file's own folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from local.sagemaker.errors import invalid
from local.sagemaker.settings import REPOSITORY

_COMMANDS = ("train", "serve", "process")
_FIELDS = {"image", "python", "pythonpath", "path", "environment", "multi_model", *_COMMANDS}
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Image:
    """A container image as it exists here: commands and an environment. Paths are absolute."""

    uri: str
    python: Path | None = None
    pythonpath: tuple[Path, ...] = ()
    path: tuple[Path, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    multi_model: bool = False

    @property
    def algorithm(self) -> str:
        """Name the algorithm that the image has of its own, "" if it has none."""
        return self.environment.get("HEADRACE_ALGORITHM", "")

    def argv(
        self, command: str, entrypoint: list[str] | None = None, arguments: list[str] | None = None
    ) -> list[str]:
        """Return what to run, as docker would: an entry point replaces the image's command.

        Raises ValidationException if the image has no such command and no entry point is given.
        """
        if entrypoint:
            return [*entrypoint, *(arguments or [])]
        if command not in self.commands:
            raise invalid(
                f'The image "{self.uri}" has no `{command}` command in its mapping for the local '
                "AWS. Add one, or give a ContainerEntrypoint."
            )
        python = [str(self.python)] if self.python else []
        return [*python, *self.commands[command], *(arguments or [])]

    def variables(self) -> dict[str, str]:
        """Return the image's own environment; nothing of the machine's is in it."""
        own = [*self.path, *([self.python.parent] if self.python else [])]
        path = os.pathsep.join([*map(str, own), _SYSTEM_PATH])
        python = {"PYTHONPATH": os.pathsep.join(map(str, self.pythonpath))}
        return {
            "PATH": path,
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIP_REQUIRE_VIRTUALENV": "1",  # a container must not install into the machine's Python
            **(python if self.pythonpath else {}),
            **self.environment,
        }


@dataclass(frozen=True)
class Images:
    """The mapping files, read at every look-up so that an edit needs no restart."""

    files: tuple[Path, ...]

    def find(self, uri: str) -> Image:
        """Return the image of a URI. Raises ValidationException that says how to map it."""
        for file in self.files:
            for entry in _read(file):
                if fnmatchcase(uri, entry["image"]):
                    return _image(uri, entry, _root(file))
        raise invalid(
            f'The image "{uri}" is not known to the local AWS. Map it to a local command in '
            "local/images.yaml, or in a file of your own that HEADRACE_LOCAL_IMAGES names: "
            '`- {image: "*/name*", python: path/to/python, train: [-m, module], serve: [...]}`.'
        )


def _read(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        raise invalid(f"The image mapping {file} (HEADRACE_LOCAL_IMAGES) does not exist.")
    entries: list[dict[str, Any]] = yaml.safe_load(file.read_text()) or []
    for entry in entries:
        unknown = set(entry) - _FIELDS
        if "image" not in entry or unknown:
            wrong = f"unknown {', '.join(sorted(unknown))}" if unknown else "no `image`"
            raise invalid(f"{file}: {wrong} in the entry {entry}")
    return entries


def _root(file: Path) -> Path:
    return REPOSITORY if file.is_relative_to(REPOSITORY / "local") else file.resolve().parent


def _image(uri: str, entry: dict[str, Any], root: Path) -> Image:
    # Not resolved: a virtual environment's python is a link, and must be called by its own name.
    return Image(
        uri=uri,
        python=root / entry["python"] if "python" in entry else None,
        pythonpath=tuple(root / path for path in entry.get("pythonpath", [])),
        path=tuple(root / path for path in entry.get("path", [])),
        environment={key: str(value) for key, value in entry.get("environment", {}).items()},
        commands={
            command: [_command_part(str(part), root) for part in entry[command]]
            for command in _COMMANDS
            if command in entry
        },
        multi_model=bool(entry.get("multi_model")),
    )


def _command_part(part: str, root: Path) -> str:
    """Make the relative path of a file absolute; any other part of a command stays as it is."""
    return str(root / part) if "/" in part and (root / part).exists() else part
