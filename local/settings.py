"""What an instance of the local AWS needs to know, read once at its start."""

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"


class StateInUseError(RuntimeError):
    """Another instance serves this state folder, or the port is taken."""


def _number(name: str, default: float) -> float:
    return float(os.environ.get(f"HEADRACE_LOCAL_{name}", default))


@dataclass(frozen=True)
class Settings:
    """One instance. Every duration is in seconds; `HEADRACE_LOCAL_*` variables override them."""

    state: Path
    port: int
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = REGION
    account_id: str = ACCOUNT_ID
    # EventBridge and Lambda wait a minute and more between attempts; nobody waits that locally.
    retry_seconds: float = field(default_factory=lambda: _number("RETRY_SECONDS", 0.5))
    alarm_seconds: float = field(default_factory=lambda: _number("ALARM_SECONDS", 5))
    # Target tracking's alarms look at minutes: three to scale out, fifteen to scale in.
    scaling_period: int = field(default_factory=lambda: int(_number("SCALING_PERIOD", 60)))
    checkpoint_seconds: float = field(default_factory=lambda: _number("CHECKPOINT_SECONDS", 5))
    concurrency: int = field(
        default_factory=lambda: int(_number("CONCURRENCY", 2 * (os.cpu_count() or 2)))
    )
    # Idle environments of functions: each is a process of 60 to 120 MB.
    warm: int = field(default_factory=lambda: int(_number("WARM", 20)))
    finished_executions: int = field(
        default_factory=lambda: int(_number("FINISHED_EXECUTIONS", 500))
    )

    @classmethod
    def load(cls, state: Path, port: int) -> "Settings":
        """Settings of the instance in `state`, whose operator keys last as long as the folder."""
        state = state.resolve()
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = state / "operator.json"
        if not keys.exists():
            new = {
                "access_key_id": f"AKIA{secrets.token_hex(8).upper()}",
                "secret_access_key": secrets.token_hex(20),
            }
            write_private(keys, json.dumps(new))
        return cls(state, port, **json.loads(keys.read_text()))

    @property
    def scratch(self) -> Path:
        """Temporary files, emptied at start and at exit."""
        return self.state / "tmp"

    @property
    def cache(self) -> Path:
        """What is costly to make again: unpacked and compiled function code and layers."""
        return self.state / "cache"


def write_private(path: Path, text: str) -> None:
    """Replace `path` at once by `text`, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(path)
