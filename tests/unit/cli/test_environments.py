"""Where environments are found, how their processes end, and what makes a deployment stale."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from headrace_cli import deploying, local_aws
from headrace_cli.environments import ROOT, find_environment
from headrace_cli.errors import FailedError, NotUpError, UsageError
from headrace_cli.exit_codes import ExitCode
from headrace_cli.processes import family, remaining, stop


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    return tmp_path


def describe(folder: Path, pid: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "endpoint_url": "http://127.0.0.1:1234",
        "port": 1234,
        "pid": pid,
        "region": "eu-central-1",
        "account_id": "000000000000",
        "access_key_id": "id",
        "secret_access_key": "secret",
        "something_new": True,
    }
    (folder / "local-aws.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("name", "config", "is_local"),
    [
        ("local", "local", True),
        ("demo", "local", True),
        ("local-tests", "local", True),
        ("dev", "dev", False),
        ("prod", "prod", False),
    ],
)
def test_names_of_environments(home: Path, name: str, config: str, is_local: bool) -> None:
    found = find_environment(name)
    assert (found.config, found.is_local) == (config, is_local)
    assert found.stack == f"headrace-{config}"
    assert found.folder == home / name


def test_an_environment_nobody_configured(home: Path) -> None:
    with pytest.raises(UsageError, match="typo"):
        find_environment("typo")


def test_a_stack_s_name_must_leave_room_for_any_model_s(home: Path) -> None:
    environment = replace(find_environment("dev"), stack="s" * 31)
    where = deploying.Target("", "", home)
    with pytest.raises(UsageError, match="has 31 characters") as refused:
        deploying.deploy(environment, where, progress=print)
    assert "stack_name in section [dev.deploy.parameters]" in str(refused.value.hint)


def test_a_running_local_aws_is_what_it_says_of_itself(home: Path) -> None:
    environment = find_environment("local")
    assert environment.local_aws() is None
    with pytest.raises(NotUpError):
        environment.client("s3")
    describe(environment.folder, os.getpid())
    client = environment.client("s3")
    assert client.meta.endpoint_url == "http://127.0.0.1:1234"
    assert client.meta.region_name == "eu-central-1"
    assert environment.client("s3") is client
    variables = environment.variables()
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1234"
    assert variables["AWS_SECRET_ACCESS_KEY"] == "secret"
    assert "secret" not in repr(environment.local_aws())


def test_what_a_dead_local_aws_left_behind_does_not_count(home: Path) -> None:
    environment = find_environment("local")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    describe(environment.folder, process.pid)
    assert environment.local_aws() is None


def test_a_local_aws_that_ends_at_once_names_its_log(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "clone"
    (root / ".venv/local/bin").mkdir(parents=True)
    python = root / ".venv/local/bin/python"
    python.write_text("#!/bin/sh\necho port is taken >&2\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(FailedError, match="code 3: port is taken") as caught:
        local_aws.start(find_environment("local"), root)
    assert str(home / "local" / "local-aws.log") in caught.value.hint


def test_a_local_aws_that_is_not_installed(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotUpError, match="not installed"):
        local_aws.start(find_environment("local"), tmp_path)


CHILDREN = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
child = subprocess.Popen(sleep, start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_family_is_found_and_ended_to_the_last() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILDREN],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        found = family(parent.pid)
        # The child has a session of its own, so only its parent gives it away.
        assert {p.pid for p in found} == {parent.pid, child}
        os.kill(parent.pid, signal.SIGTERM)
        killed = stop(found, patience=0.3)
        assert [p.pid for p in killed] == [child]
        parent.wait()
        assert stop(found, patience=5) == []
        assert remaining(found) == []


def test_downing_what_is_not_up_is_harmless(home: Path, headrace) -> None:
    (home / "local").mkdir()
    (home / "local" / "state").write_text("x")
    result = headrace("down", "--json", env="local")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "environment": "local",
        "processes": 0,
        "killed": [],
        "erased": False,
    }
    assert (home / "local" / "state").exists()
    assert headrace("down", "--erase", env="local").exit_code == 0
    assert not (home / "local").exists()


def test_a_stack_in_the_cloud_is_not_deleted_by_mistake(aws, headrace) -> None:
    result = headrace("down")
    assert result.exit_code == ExitCode.USAGE
    assert "--delete" in result.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("functions/a/x.py", "layers/core/y.py", "statemachines/z.yaml", "template.yaml"):
        path = tmp_path / "clone" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "clone"


def test_a_deployment_is_stale_when_any_source_of_it_changes(clone: Path) -> None:
    before = deploying.fingerprint(clone, "3.11")
    assert deploying.fingerprint(clone, "3.11") == before
    assert deploying.fingerprint(clone, "3.12") != before
    cache = clone / "layers/core/__pycache__"
    cache.mkdir()
    (cache / "y.pyc").write_text("x")
    (clone / "README.md").write_text("x")
    assert deploying.fingerprint(clone, "3.11") == before
    seen = {before}
    for name in ("functions/a/x.py", "layers/core/y.py", "statemachines/z.yaml", "template.yaml"):
        (clone / name).write_text("changed")
        seen.add(deploying.fingerprint(clone, "3.11"))
    (clone / "functions/a/new.py").write_text("")
    seen.add(deploying.fingerprint(clone, "3.11"))
    assert len(seen) == 6


def test_sam_that_fails_shows_its_last_words(home: Path, clone: Path) -> None:
    (clone / "samconfig.toml").write_text((ROOT / "samconfig.toml").read_text())
    sam = clone / ".venv/sam/bin/sam"
    sam.parent.mkdir(parents=True)
    sam.write_text("#!/bin/sh\necho $LAMBDA_PYTHON is not there\nexit 1\n")
    sam.chmod(0o755)
    where = deploying.Target("3.99", "digest", clone / "built")
    with pytest.raises(FailedError, match=r"3\.99 is not there") as caught:
        deploying.build(find_environment("local"), where, clone)
    assert str(where.log) in caught.value.hint
    # It did not count as built.
    sam.write_text("#!/bin/sh\nmkdir -p built/build && echo x > built/build/template.yaml\n")
    assert deploying.build(find_environment("local"), where, clone) is True
    assert deploying.build(find_environment("local"), where, clone) is False
    assert where.template.exists()
