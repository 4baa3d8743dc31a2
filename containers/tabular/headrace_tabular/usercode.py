"""The user's functions: plain functions in plain files of the model project."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from headrace_tabular.errors import ProjectError, TabularError


def load(folder: Path, entrypoint: str) -> ModuleType:
    """Import a file of the model project.

    The file may import its neighbours, at its top. Two projects (candidate and champion) can be
    loaded in one process: neither sees the other's modules. Raises ProjectError.
    """
    path = (folder / entrypoint).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ProjectError(f"model.yaml names {entrypoint}, which is not a file of the project")
    spec = importlib.util.spec_from_file_location(f"project_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ProjectError(f"{entrypoint} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    with neighbours(path.parent), blamed(entrypoint):
        spec.loader.exec_module(module)
    return module


@contextmanager
def neighbours(folder: Path) -> Iterator[None]:
    """Let the modules of a folder be imported, and forget them afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).resolve().is_relative_to(folder):
                del sys.modules[name]


def function(module: ModuleType, name: str, entrypoint: str) -> Callable[..., Any]:
    """Return the function of that name, which the entry point has to define."""
    found = getattr(module, name, None)
    if not callable(found):
        raise ProjectError(f"{entrypoint} does not define the function {name}()")
    return blaming(found, entrypoint)


def blaming(call: Callable[..., Any], entrypoint: str) -> Callable[..., Any]:
    """Wrap a function of the user so that its errors name the file and line."""

    def wrapped(*arguments: Any) -> Any:
        with blamed(entrypoint):
            return call(*arguments)

    return wrapped


@contextmanager
def blamed(entrypoint: str) -> Iterator[None]:
    """Turn whatever the user's code raises into a ProjectError that says where."""
    try:
        yield
    except TabularError:
        raise
    except Exception as error:  # the user's code may raise anything
        frames = traceback.extract_tb(error.__traceback__)
        name = Path(entrypoint).name
        own = [frame for frame in frames if Path(frame.filename).name == name]
        line = f" at line {own[-1].lineno}" if own else ""
        raise ProjectError(f"{entrypoint}{line}: {type(error).__name__}: {error}") from error
