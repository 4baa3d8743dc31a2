"""Two workers share the test files (`make test`); the slowest folders go first.

Property tests try the same examples every time, so that a red run is red again;
`HYPOTHESIS_PROFILE=explore` looks for new ones. No deadline: a machine is slow now and then.
"""

import functools
import os
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Every session reads botocore's models anew, 0.5 s each; nobody changes what was read.
_read = botocore.loaders.JSONFileLoader.load_file


@functools.cache
def _read_once(path: str) -> Any:
    return _read(botocore.loaders.JSONFileLoader(), path)


botocore.loaders.JSONFileLoader.load_file = lambda _, path: _read_once(path)

_ROOT = Path(__file__).parent
_SLOWEST = ("journey", "architecture", "local/ministack", "local/sagemaker", "containers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left with it at the end."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(_ROOT).parent.as_posix()
        return _SLOWEST.index(folder) if folder in _SLOWEST else len(_SLOWEST)

    items.sort(key=rank)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name binary parameters by their place: an archive's bytes differ from worker to worker."""
    return argname if isinstance(val, bytes) else None
