"""A real instance of the local AWS, as a subprocess, and clients for it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "local" / "bin" / "python"

# The container of the test image: its hyperparameters say what it does.
TRAIN = """
grep -q '"mode": "fail"' $SAGEMAKER_BASE_DIR/input/config/hyperparameters.json && exit 3
grep -q '"mode": "wait"' $SAGEMAKER_BASE_DIR/input/config/hyperparameters.json && sleep 300
echo trained > $SAGEMAKER_BASE_DIR/model/weights
"""


def wait_until(condition: Callable[[], Any], seconds: float = 20, what: str = "") -> Any:
    """The first truthy value of `condition`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"waited {seconds} s for {what or condition}")


class LocalAws:
    """One running instance."""

    def __init__(self, state: Path, **environment: str) -> None:
        self.state = state
        self._environment = environment
        self.start()

    def start(self, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [str(PYTHON), "-m", "local", "--state", str(self.state), "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, "SECRET_OF_THE_HOST": "leaked", **self._environment},
            stderr=subprocess.DEVNULL,
        )
        ready = self.state / "local-aws.json"

        def facts() -> dict[str, Any] | None:
            assert self.process.poll() is None, (self.state / "logs" / "local-aws.log").read_text()
            if not ready.exists():
                return None
            found = json.loads(ready.read_text())
            return found if found["pid"] == self.process.pid else None

        self.facts = wait_until(facts, what="local-aws.json")

    def client(self, service: str, **options: Any) -> Any:
        credentials = {
            "aws_access_key_id": self.facts["access_key_id"],
            "aws_secret_access_key": self.facts["secret_access_key"],
        }
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=50)
        return boto3.client(
            service,
            endpoint_url=self.facts["endpoint_url"],
            region_name=self.facts["region"],
            config=config,
            **{**credentials, **options},
        )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """One instance for the session; tests name their resources uniquely."""
    images = tmp_path_factory.mktemp("images") / "images.yaml"
    images.write_text(json.dumps([{"image": "*/shell:*", "train": ["/bin/sh", "-c", TRAIN]}]))
    instance = LocalAws(
        tmp_path_factory.mktemp("aws"),
        HEADRACE_LOCAL_IMAGES=str(images),
        HEADRACE_LOCAL_RETRY_SECONDS="0.1",
        HEADRACE_LOCAL_ALARM_SECONDS="0.5",
    )
    yield instance
    instance.stop()
