"""Unmodified clients do with the local AWS what they do with AWS."""

import subprocess
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.conformance.conftest import OUTCOMES
from tests.conformance.world import CLIENTS, Client, Outcome, environment
from tests.local.conftest import LocalAws

SCENARIOS = [(client, script) for client in CLIENTS for script in client.scenarios]


@pytest.mark.parametrize(
    ("client", "script"),
    SCENARIOS,
    ids=[f"{client.name}/{path.stem}" for client, path in SCENARIOS],
)
def test_scenario(
    client: Client,
    script: Path,
    played: dict[Path, Future[Outcome]],
    request: pytest.FixtureRequest,
):
    outcome = played[script].result()
    request.session.stash.setdefault(OUTCOMES, {})[client, script] = outcome
    if outcome.complaint:
        pytest.fail(outcome.complaint, pytrace=False)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
@pytest.mark.parametrize(
    "call", ["create_connection(('192.0.2.1', 80))", "getaddrinfo('a.invalid', 1)"]
)
def test_clients_reach_nothing_but_this_machine(
    client: Client, call: str, aws: LocalAws, tmp_path: Path
):
    """Addresses of RFC 5737 and names of RFC 2606, which lead nowhere."""
    done = subprocess.run(
        [str(client.bin / "python"), "-c", f"import socket; socket.{call}"],
        env=environment(aws, client, tmp_path),
        capture_output=True,
        text=True,
    )
    assert "is not on this machine" in done.stderr
    assert (tmp_path / "refused.txt").read_text().strip() in ("192.0.2.1", "a.invalid")
