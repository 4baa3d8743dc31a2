"""Processes that die with their instance, see /opt/ml, and are reaped by the next start."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.sagemaker.processes import Command, Process, Processes, session_members, start_time
from local.sagemaker.store import Store
from tests.local.conftest import ROOT, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces and /proc are Linux's")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "greeting").write_text("hello")
    return folder


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    started = Processes(Store(tmp_path / "ledger.db"))
    started.start()
    yield started
    started.close()


def shell(processes: Processes, tree: Path, script: str, isolate: bool = False) -> Process:
    environment = {"PATH": os.defpath, "ROOT": processes.root(tree)}
    return processes.spawn(Command(["sh", "-c", script], environment, tree, isolate))


def output(process: Process) -> list[str]:
    return list(process.lines())


def test_tree_output_and_exit_code(processes: Processes, tree: Path) -> None:
    process = shell(processes, tree, 'cat "$ROOT/greeting"; echo; echo wrong >&2; exit 3')
    assert output(process) == ["hello", "wrong"]
    assert process.wait() == 3
    assert processes.ledger.processes() == []


def test_without_namespaces_the_tree_is_found_by_its_variable(tmp_path: Path, tree: Path) -> None:
    plain = Processes(Store(tmp_path / "plain.db"), allow_opt_ml=False)
    plain.start()
    assert plain.root(tree) == str(tree)
    assert output(shell(plain, tree, 'pwd; cat "$ROOT/greeting"')) == [str(tree), "hello"]
    plain.close()


def test_opt_keeps_its_contents(processes: Processes, tree: Path) -> None:
    if not processes.opt_ml:
        pytest.skip("no mount namespaces here")
    seen = output(shell(processes, tree, "ls /opt"))
    assert set(seen) == {entry.name for entry in Path("/opt").iterdir()} | {"ml"}
    assert not Path("/opt/ml").exists(), "the machine's own /opt is as it was"


def test_isolation(processes: Processes, tree: Path) -> None:
    if not processes.isolation:
        pytest.skip("no network namespaces here")
    lines = output(shell(processes, tree, "tail -n +3 /proc/net/dev", isolate=True))
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]


def test_a_command_that_does_not_exist(processes: Processes, tree: Path) -> None:
    process = processes.spawn(Command(["no-such-command"], {"PATH": os.defpath}, tree))
    assert output(process) == ["no-such-command: No such file or directory"]
    assert process.wait() == 127


def test_what_a_command_leaves_behind_ends_with_it(processes: Processes, tree: Path) -> None:
    """As the end of a container's first process ends the container."""
    process = shell(processes, tree, "sleep 600 & setsid sleep 600 & echo done")
    assert output(process) == ["done"], "the pipe closes: nobody holds it any more"
    assert process.wait() == 0
    assert session_members(process.pid) == []


def test_sigterm_reaches_the_command(processes: Processes, tree: Path) -> None:
    process = shell(processes, tree, "trap 'echo stopping; exit 7' TERM; echo up; sleep 600 & wait")
    lines = process.lines()
    assert next(lines) == "up"
    process.terminate()
    assert list(lines) == ["stopping"]
    assert process.wait() == 7


def test_kill_spares_none(processes: Processes, tree: Path) -> None:
    process = shell(processes, tree, "trap '' TERM; setsid sleep 600 & echo up; sleep 600")
    assert next(process.lines()) == "up"
    process.terminate()
    assert process.running
    process.kill()
    assert process.wait() == 137
    assert session_members(process.pid) == []


def test_a_killed_instance_takes_its_processes_along(tmp_path: Path, tree: Path) -> None:
    """The parent-death signal, with nobody left to reap."""
    instance = textwrap.dedent(
        f"""
        import os, pathlib
        from local.sagemaker.processes import Command, Processes
        from local.sagemaker.store import Store
        processes = Processes(Store(pathlib.Path({str(tmp_path)!r}) / "ledger.db"))
        processes.start()
        script = "setsid sleep 600 & echo $!; sleep 600"
        tree = pathlib.Path({str(tree)!r})
        process = processes.spawn(Command(["sh", "-c", script], {{"PATH": os.defpath}}, tree))
        os.write(1, f"{{process.pid}} {{next(process.lines())}}".encode())
        os.kill(os.getpid(), 9)
        """
    )
    ended = subprocess.run([sys.executable, "-c", instance], cwd=ROOT, stdout=subprocess.PIPE)
    assert ended.returncode == -signal.SIGKILL
    supervisor, stray = (int(pid) for pid in ended.stdout.split())
    wait_until(lambda: not session_members(supervisor), what="the container to go")
    wait_until(lambda: start_time(stray) is None, what="the process in its own session to go")


def test_the_next_start_reaps_what_the_ledger_names(tmp_path: Path) -> None:
    """Should even the supervisor have been killed; a pid that is someone else's is left alone."""
    left, other = (subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(2))
    try:
        ledger = Store(tmp_path / "ledger.db")
        ledger.add_process(left.pid, start_time(left.pid) or 0)
        ledger.add_process(other.pid, (start_time(other.pid) or 0) - 1)
        Processes(ledger).reap()
        assert left.wait(timeout=5) == -signal.SIGKILL
        assert other.poll() is None
        assert ledger.processes() == []
    finally:
        left.kill()
        other.kill()
