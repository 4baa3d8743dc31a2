"""Two workers share the tests: what needs one running AWS, or one trained model, stays together."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).parent
# The longest first, so that no worker is left with it at the end.
_GROUPS = ("journey", "architecture", "local/ministack", "local/sagemaker", "containers")


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for `--dist loadgroup`, and order the groups."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _GROUPS.index(g) if (g := _group(item)) in _GROUPS else 99)


def _group(item: pytest.Item) -> str:
    folder = item.path.relative_to(_ROOT).parent.as_posix()
    return folder if folder in _GROUPS else str(item.path)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name binary parameters by their place: an archive's bytes differ from worker to worker."""
    return argname if isinstance(val, bytes) else None
