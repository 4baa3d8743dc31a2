"""Where an environment is: the only module that knows how to get a session with an AWS.

`local`, `demo` and any `local-<name>` are an AWS on loopback whose endpoint and credentials stand
in `.headrace/<name>/local-aws.json` while it runs; they share the section `local` of
samconfig.toml. Every other name is a section of samconfig.toml and boto3's normal chain.
"""

import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from headrace_cli.errors import NotUpError, UsageError

ROOT = Path(__file__).resolve().parents[2]
_ATTEMPTS = 4
# A prediction may take SageMaker's 60 s; everything else answers sooner.
_CONFIG = Config(connect_timeout=3, read_timeout=70)


@dataclass(frozen=True)
class LocalAws:
    """A running local AWS, as it describes itself in `local-aws.json`."""

    endpoint_url: str
    port: int
    pid: int
    region: str
    account_id: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class Environment:
    """One place where Headrace is, or could be, deployed."""

    name: str
    config: str
    stack: str
    region: str | None
    profile: str | None
    folder: Path
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_local(self) -> bool:
        """Whether its AWS runs on this machine."""
        return self.config == "local"

    @property
    def poll_seconds(self) -> float:
        """How often to look again while waiting."""
        return 0.2 if self.is_local else 1.0

    def local_aws(self) -> LocalAws | None:
        """Return the running local AWS of this environment, or None."""
        try:
            described = json.loads((self.folder / "local-aws.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        known = {k: v for k, v in described.items() if k in LocalAws.__dataclass_fields__}
        aws = LocalAws(**known)
        return aws if _is_alive(aws.pid) else None

    def client(self, service: str, *, attempts: int = _ATTEMPTS) -> Any:
        """Return a boto3 client of an AWS service, which tries every request `attempts` times.

        Raises:
            NotUpError: the environment is local and not running.
        """
        key = f"{service} {attempts}"
        if key not in self._clients:
            retries = {"mode": "standard", "total_max_attempts": attempts}
            self._clients[key] = self._session().client(
                service, config=_CONFIG.merge(Config(retries=retries)), **self._endpoint()
            )
        return self._clients[key]

    def forget_clients(self) -> None:
        """Make clients anew: the local AWS has moved."""
        self._clients.clear()

    def variables(self) -> dict[str, str]:
        """Return what another program (sam) needs in its environment to reach this AWS."""
        chosen = {"AWS_REGION": self.region, "AWS_PROFILE": self.profile}
        inherited = {k: v for k, v in os.environ.items() if k != "AWS_PROFILE" or not self.is_local}
        known = {k: v for k, v in chosen.items() if v}
        if not self.is_local:
            return {**inherited, **known}
        aws = self._running()
        return {
            **inherited,
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": aws.access_key_id,
            "AWS_SECRET_ACCESS_KEY": aws.secret_access_key,
            "AWS_REGION": aws.region,
            "AWS_DEFAULT_REGION": aws.region,
        }

    def _session(self) -> boto3.Session:
        if "" not in self._clients:
            if self.is_local:
                aws = self._running()
                self._clients[""] = boto3.Session(
                    aws.access_key_id, aws.secret_access_key, region_name=aws.region
                )
            else:
                self._clients[""] = boto3.Session(
                    region_name=self.region, profile_name=self.profile
                )
        return self._clients[""]

    def _endpoint(self) -> dict[str, str]:
        return {"endpoint_url": self._running().endpoint_url} if self.is_local else {}

    def _running(self) -> LocalAws:
        aws = self.local_aws()
        if aws is None:
            raise NotUpError(
                f"The local AWS of environment '{self.name}' is not running.",
                f"headrace up --env {self.name}",
            )
        return aws


def find_environment(name: str, root: Path = ROOT) -> Environment:
    """Return the environment called `name`.

    `HEADRACE_HOME` moves the folder that holds local state (default: `.headrace` of the clone).

    Raises:
        UsageError: samconfig.toml has no such section.
    """
    path = root / "samconfig.toml"
    try:
        sections = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no {path}.", "Run headrace from a clone of Headrace."
        ) from error
    is_local = name in {"local", "demo"} or name.startswith("local-")
    config = "local" if is_local else name
    section = sections.get(config)
    if not isinstance(section, dict) or "deploy" not in section:
        known = [k for k, v in sections.items() if isinstance(v, dict) and "deploy" in v]
        raise UsageError(
            f"No environment is called '{name}' in {path}.",
            f"Choose one of {', '.join(known)}, or add a section [{name}.deploy.parameters].",
        )
    parameters = {
        **section.get("global", {}).get("parameters", {}),
        **section["deploy"].get("parameters", {}),
    }
    home = Path(os.environ.get("HEADRACE_HOME", root / ".headrace"))
    return Environment(
        name=name,
        config=config,
        stack=parameters.get("stack_name", f"headrace-{config}"),
        region=parameters.get("region"),
        profile=parameters.get("profile"),
        folder=home / name,
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
