"""Script mode: run the user's training script as the SageMaker Training Toolkit does.

The program and its code come from the hyperparameters `sagemaker_program` and
`sagemaker_submit_directory` (or SAGEMAKER_PROGRAM and /opt/ml/code), the other hyperparameters are
its command line, and its failure is told as `ExecuteUserScriptError`.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

from headrace_images import contract
from headrace_images.contract import UserError

_REFUSED = ("sagemaker_mpi_enabled", "sagemaker_parameter_server_enabled")
_REFUSED_PREFIX = "sagemaker_distributed_dataparallel"
_TORCHRUN_PORT = "7777"
_LAST_WORDS = 2.0  # seconds to read on for, should something the script started hold its stderr


def run(hyperparameters: dict[str, Any], program: str) -> int:
    """Run the script to its end; return its exit code. Raises UserError if it cannot start."""
    source = hyperparameters.get("sagemaker_submit_directory") or "/opt/ml/code"
    code = contract.bring_code(str(source), contract.base() / "code")
    if not (code / program).is_file():
        raise UserError(f"the entry point {program} is not among the code of {source}")
    if missing := contract.missing_requirements(code):
        contract.log(f"requirements.txt is not installed locally; missing: {', '.join(missing)}")
    argv = command(code, program, hyperparameters)
    contract.log(f"Invoking user script: {shlex.join(argv)}")
    status, errors = _follow(argv, code)
    if status != 0:
        contract.write_failure(
            f"ExecuteUserScriptError:\nExitCode {status}\n"
            f'ErrorMessage "{error_message(errors)}"\nCommand "{" ".join(argv)}"'
        )
    return status


def command(code: Path, program: str, hyperparameters: dict[str, Any]) -> list[str]:
    """Return what runs a program: a shell script, a package's module or a Python file."""
    arguments = json.loads(os.environ.get("SM_USER_ARGS", "[]"))
    for name, value in hyperparameters.items():
        refused = name in _REFUSED or name.startswith(_REFUSED_PREFIX)
        if refused and str(value).lower() == "true":
            raise UserError(f"{name} is not done by the local AWS")
    if program.endswith(".sh"):
        return ["/bin/sh", "-c", shlex.join([f"./{program}", *arguments])]
    if str(hyperparameters.get("sagemaker_torch_distributed_enabled", "")).lower() == "true":
        return [*_torchrun(), program, *arguments]
    if (code / "setup.py").is_file():
        return [sys.executable, "-m", program.removesuffix(".py"), *arguments]
    return [sys.executable, program, *arguments]


def _torchrun() -> list[str]:
    """Return PyTorch's launcher, one process a host, which meet on the first host."""
    torchrun = shutil.which("torchrun")
    if torchrun is None:
        raise UserError(f"no torchrun here: {contract.advice('torch')}")
    hosts = json.loads(os.environ["SM_HOSTS"])
    rank = hosts.index(os.environ["SM_CURRENT_HOST"])
    return [
        torchrun,
        *("--nnodes", str(len(hosts)), "--nproc_per_node", "1", "--node_rank", str(rank)),
        *("--master_addr", os.environ["SM_MASTER_ADDR"], "--master_port", _TORCHRUN_PORT),
    ]


def _follow(argv: list[str], code: Path) -> tuple[int, list[str]]:
    """Run a command, passing SIGTERM on; return its exit code and the last lines of its stderr."""
    path = os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        argv,
        cwd=code,
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    lines: deque[str] = deque(maxlen=200)

    def read() -> None:
        assert process.stderr is not None  # noqa: S101 - opened as a pipe above
        for line in process.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            lines.append(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    status = process.wait()
    reader.join(_LAST_WORDS)
    return (status if status >= 0 else 128 - status), list(lines)


def error_message(lines: list[str]) -> str:
    """Return the exception that ended a script: its last traceback's own words.

    A module that is missing is explained: the local image may have less than AWS's.
    """
    start = max((n for n, line in enumerate(lines) if line.startswith("Traceback ")), default=None)
    if start is None:
        return " ".join(lines[-5:])
    told = [line for line in lines[start + 1 :] if line and not line.startswith(" ")]
    message = "\n".join(told)
    if told and told[0].startswith("ModuleNotFoundError: No module named "):
        message += f" ({contract.advice(told[0].rsplit(' ', 1)[-1].strip(chr(39)))})"
    return message
