"""Training jobs and endpoints of the tabular image, as SageMaker would start them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "tabular" / "bin" / "python"
PACKAGE = ROOT / "containers" / "tabular"
SAMPLE = ROOT / "tests" / "data" / "credit-risk"
CREDIT_RISK = ROOT / "models" / "credit-risk"

EVALUATION = {
    "metric": "roc_auc",
    "cost": {"false_positive": 120, "false_negative": 900},
    "slices": ["salary_range"],
    "latency_ms": 50,
}
DATA = {"label": "defaulted", "entity": "id", "event_time": "timestamp", "exclude": []}


@dataclass(frozen=True)
class Job:
    """A finished training job."""

    base: Path
    code: int
    log: str

    @property
    def model(self) -> Path:
        return self.base / "model"

    @property
    def evaluation(self) -> dict[str, Any]:
        return read_json(self.base / "output" / "data" / "evaluation.json")

    @property
    def smoke(self) -> dict[str, Any]:
        return read_json(self.base / "output" / "data" / "smoke.json")

    @property
    def baseline(self) -> dict[str, Any]:
        return read_json(self.base / "output" / "data" / "baseline.json")

    @property
    def contract(self) -> dict[str, Any]:
        return read_json(self.model / "model.json")

    @property
    def failure(self) -> str:
        return (self.base / "output" / "failure").read_text()


def read_json(path: Path) -> dict[str, Any]:
    """Read strict JSON: Python alone would accept NaN."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{path.name} has a bare {token}")

    return json.loads(path.read_text(), parse_constant=refuse)


def settings(**changed: Any) -> dict[str, Any]:
    """Return a run.json of the credit-risk project, with some sections replaced."""
    return {
        "schema_version": 1,
        "run": "run-1",
        "model": "credit-risk",
        "problem": "binary",
        "data": DATA | {"holdout": 0.2, "seed": "headrace"},
        "datasets": [],
        "features": {"entrypoint": "features.py"},
        "training": {"entrypoint": None, "hyperparameters": {}},
        "serving": {"entrypoint": None},
        "evaluation": EVALUATION,
    } | changed


def train(
    base: Path,
    datasets: Mapping[str, tuple[str, Sequence[Path]]],
    *,
    project: Path | Mapping[str, str] = CREDIT_RISK,
    champion: Path | None = None,
    hyperparameters: Mapping[str, str] | None = None,
    **changed: Any,
) -> Job:
    """Run a training job; `datasets` has the role and files of each version."""
    channels = base / "input" / "data"
    for version, (_, files) in datasets.items():
        folder = channels / "training" / version / "nested"
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder)
    listed = [{"version": version, "role": role} for version, (role, _) in datasets.items()]
    write(channels / "config" / "run.json", json.dumps(settings(**{"datasets": listed} | changed)))
    if not isinstance(project, Path):
        for name, text in project.items():
            write(base / "project" / name, text)
        project = base / "project"
    pack(project, channels / "code" / "project.tar.gz")
    if champion:
        pack(champion, channels / "champion" / "model.tar.gz")
    config = base / "input" / "config" / "hyperparameters.json"
    write(config, json.dumps(hyperparameters or {}))
    done = subprocess.run(
        [PYTHON, "-m", "headrace_tabular.train"],
        env=environment(base),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Job(base, done.returncode, done.stdout + done.stderr)


def environment(base: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{PACKAGE}:{ROOT / 'layers' / 'profiling'}",
        "SAGEMAKER_BASE_DIR": str(base),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def pack(folder: Path, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, ".")


def parquet(path: Path, query: str) -> Path:
    """Write the rows of a query as a parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.sql(query).write_parquet(str(path))
    return path


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Endpoint:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    seconds_to_ready: float

    def post(self, body: Any, content_type: str = "application/json", accept: str = "") -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": content_type} | ({"Accept": accept} if accept else {})
        return self.send("POST", "/invocations", raw, headers)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, body, dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), dict(error.headers))


@contextmanager
def serving(base: Path, **variables: str) -> Iterator[Endpoint]:
    """Serve the model of a base folder on a free port of the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bound = {"SAGEMAKER_BIND_TO_PORT": str(port), "SAGEMAKER_BIND_TO_HOST": "127.0.0.1"}
    start = time.monotonic()
    process = subprocess.Popen(
        [PYTHON, "-m", "headrace_tabular.serve"], env=environment(base) | bound | variables
    )
    try:
        wait_for_ping(port, process)
        yield Endpoint(port, process, time.monotonic() - start)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


def wait_for_ping(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended before it was ready"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2) as response:
                assert response.status == 200
                return
        except urllib.error.URLError:
            time.sleep(0.02)
    raise AssertionError("the server was not ready in 30 s")
