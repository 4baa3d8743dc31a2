"""Plays every scenario, a few at a time because clients mostly wait, and publishes the table."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.world import CLIENTS, Client, Outcome, make_aws, play
from tests.local.conftest import LocalAws

_AT_ONCE = 4
_HEAD = """# Conformance

Unmodified clients against the local AWS, as `make conformance` last ran them. Each client has an
environment of its own, and its scripts (`tests/conformance/clients/`) are what a user would write;
they check what comes of every call. The clients reach loopback only: an audit hook in their
interpreters refuses and reports every other connection and every look-up of a name.

This page is written by the run.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--table`."""
    parser.addoption("--table", type=Path, help="write the table of calls and results here")


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """One local AWS for all clients; scenarios name their resources uniquely."""
    instance = make_aws(tmp_path_factory.mktemp("conformance-aws"))
    yield instance
    assert instance.stop() == 0


@pytest.fixture(scope="session")
def played(
    aws: LocalAws, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[Outcome]]]:
    """The outcome of every selected scenario, when it has one."""
    selected = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {
            each["script"]: pool.submit(
                play,
                aws,
                each["client"],
                each["script"],
                tmp_path_factory.mktemp(f"{each['client'].name}-{each['script'].stem}"),
            )
            for each in selected
            if "script" in each
        }
        pool.shutdown(cancel_futures=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table, if all of it was played."""
    target = session.config.getoption("--table")
    outcomes = session.stash.get(OUTCOMES, {})
    if target and len(outcomes) == sum(len(client.scenarios) for client in CLIENTS):
        target.write_text(table(outcomes))


OUTCOMES = pytest.StashKey[dict[tuple[Client, Path], Outcome]]()


def table(outcomes: dict[tuple[Client, Path], Outcome]) -> str:
    """The page, in Markdown."""
    lines = [_HEAD]
    for client in CLIENTS:
        lines += [f"## {client.title} {client.version}\n", "| scenario | call | result |"]
        lines += ["|---|---|---|"]
        for script in client.scenarios:
            rows = outcomes[client, script].rows
            lines += [f"| {script.stem} | {row.call} | {row.result} |" for row in rows]
        lines += [""]
    return "\n".join(lines)
