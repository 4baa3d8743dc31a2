"""The slow linters start with the session and run beside the other tests."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.architecture import template_linters
from tests.architecture.template_linters import Findings

Linters = dict[str, "Future[Findings]"]


@pytest.fixture(scope="session")
def linters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linters]:
    """The findings of each linter of templates, as soon as it is done."""
    pool = ThreadPoolExecutor(max_workers=2)
    folder = tmp_path_factory.mktemp("linters")
    yield {
        "sam": pool.submit(template_linters.sam_validate),
        "checkov": pool.submit(template_linters.checkov, folder),
        "cfn-lint": pool.submit(template_linters.cfn_lint),
    }
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session", autouse=True)
def _linters_start_early(request: pytest.FixtureRequest) -> None:
    if any("linters" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("linters")
