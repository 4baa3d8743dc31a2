"""Starts and stops the local AWS of an environment, as a detached process of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from headrace_cli.environments import ROOT, Environment, LocalAws
from headrace_cli.errors import FailedError, NotUpError
from headrace_cli.processes import Process, family, stop

_START_SECONDS = 60.0
# A container has 30 s to end after SIGTERM (SageMaker's own grace); saving state comes after.
_STOP_SECONDS = 90.0
_INTERPRETER = Path(".venv/local/bin/python")


@dataclass(frozen=True)
class Stopped:
    """What stopping did."""

    processes: int
    killed: list[str]
    erased: bool


def interpreter(root: Path = ROOT) -> Path:
    """Return the interpreter the local AWS runs on; functions run on the same.

    Raises:
        NotUpError: its environment is not installed.
    """
    path = root / _INTERPRETER
    if not path.exists():
        raise NotUpError(f"The local AWS is not installed: there is no {path}.", "make setup")
    return path


def start(environment: Environment, root: Path = ROOT) -> LocalAws:
    """Return the running local AWS, started first when it is not.

    Raises:
        NotUpError: it is not installed.
        FailedError: it ended at once, or was not ready in time; the message names its log.
    """
    running = environment.local_aws()
    if running:
        return running
    folder = environment.folder
    folder.mkdir(parents=True, exist_ok=True)
    # What stands there describes an instance that is gone.
    (folder / "local-aws.json").unlink(missing_ok=True)
    log = folder / "local-aws.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                *(interpreter(root), "-m", "local"),
                *("--state", folder, "--port", str(_port(folder))),
            ],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while (aws := environment.local_aws()) is None:
        if process.poll() is not None:
            raise FailedError(
                f"The local AWS ended with code {process.returncode}: {_last_line(log)}",
                f"Read {log}",
            )
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGTERM)
            raise FailedError(
                f"The local AWS was not ready after {_START_SECONDS:.0f} s.", f"Read {log}"
            )
        time.sleep(0.05)
    (folder / "port.json").write_text(json.dumps(aws.port))
    environment.forget_clients()
    return aws


def halt(environment: Environment, *, erase: bool) -> Stopped:
    """Stop the local AWS and wait until every process of it is gone; erase its state if asked."""
    aws = environment.local_aws()
    those = family(aws.pid) if aws else []
    if aws:
        os.kill(aws.pid, signal.SIGTERM)
    killed = stop(those, _STOP_SECONDS)
    environment.forget_clients()
    if erase:
        shutil.rmtree(environment.folder, ignore_errors=True)
    return Stopped(len(those), [_describe(p) for p in killed], erase)


def _port(folder: Path) -> int:
    """Return the port of last time if it is free (queue URLs contain it), else a free one."""
    try:
        wanted = int(json.loads((folder / "port.json").read_text()))
    except (FileNotFoundError, ValueError):
        wanted = 0
    for port in (wanted, 0):
        with socket.socket() as probe:
            # Without it a port whose last connections linger in TIME_WAIT would look taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise FailedError("No TCP port is free on 127.0.0.1.", "Close what listens, then try again.")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _describe(process: Process) -> str:
    words = process.command.replace("\0", " ").strip()
    return f"{process.pid} {words[:100]}"
