"""Environments of other libraries, each pinned with hashes in requirements/, under .venv/."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = ROOT / ".venv/setup/bin/uv"
SECONDS = 600


def python(name: str) -> Path:
    """Return the interpreter of an environment."""
    return ROOT / ".venv" / name / "bin/python"


def install(name: str) -> str:
    """Make an environment as its requirements pin it; return why that failed, if it did."""
    requirements = ROOT / "requirements" / f"{name}.txt"
    settings = os.environ | {"UV_SYSTEM_CERTS": "1"}
    quiet = ["--quiet", "--python"]
    venv = [UV, "venv", "--allow-existing", *quiet, sys.executable, ROOT / ".venv" / name]
    sync = [UV, "pip", "sync", "--require-hashes", *quiet, python(name), requirements]
    try:
        for command in (venv, sync):
            subprocess.run(command, check=True, env=settings, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"not installed within {SECONDS} s"
    except subprocess.CalledProcessError:
        return "cannot be installed here"
    return ""
