"""Plays every scenario, a few at a time because clients mostly wait, and publishes the table."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.world import CLIENTS, Client, Outcome, make_aws, play
from tests.local.conftest import LocalAws

_AT_ONCE = 4
_HEAD = """# Conformance

Unmodified clients against the local AWS, as `make conformance` last played them; the run writes
this page. Each client has an environment of its own, and its scripts (`tests/conformance/clients/`)
are what a user would write; they check what comes of every call. The clients reach loopback only:
an audit hook in their interpreters refuses every other connection and look-up of a name, and a
scenario that tried one fails.

What your own code needs beside credentials and a region:

- `AWS_ENDPOINT_URL`, from `headrace up`. It is all that boto3, the AWS CLI and MLflow need.
- The SageMaker SDKs ask STS, at AWS's own host, for the account when they choose a bucket: give
  `Session(default_bucket=...)`, and the role as an ARN.
- The SDKs report their use to AWS unless told not to: `SAGEMAKER_USER_CONFIG_OVERRIDE` names a file
  such as `tests/conformance/inside/sagemaker.yaml`.
- Time: the AWS CLI's waiters look every 30 to 120 s, SDK v2's deployments every 30 s; boto3's take
  a `WaiterConfig`, SDK v3's a `poll`.
- AWS's framework images run in local environments, which have less in them; see
  [local mode](local-mode.md).
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
    results = [row.result for outcome in outcomes.values() for row in outcome.rows]
    lines = [
        _HEAD,
        f"Of {len(results)} calls, {results.count('works')} work; what does not says why.\n",
    ]
    for client in CLIENTS:
        lines += [f"## {client.title} {client.version}\n"]
        lines += ["| scenario | call | result |", "|---|---|---|"]
        for script in client.scenarios:
            rows = outcomes[client, script].rows
            lines += [f"| {script.stem} | {row.call} | {row.result} |" for row in rows]
        lines += [""]
    return "\n".join(lines)
