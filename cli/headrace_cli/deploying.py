"""Builds and deploys the stack with the real `sam`, skipping what is up to date."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import ClientError

from headrace.names import STACK_MAX_LENGTH
from headrace_cli.environments import ROOT, Environment
from headrace_cli.errors import FailedError, NotUpError, UsageError, error_code
from headrace_cli.local_aws import interpreter
from headrace_cli.stack import describe_stack

_SOURCES = ("template.yaml", "samconfig.toml", "stacks", "functions", "layers", "statemachines")
_GENERATED = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
_BUILD_SECONDS = 3600.0
_COMPLETE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


@dataclass(frozen=True)
class Target:
    """What is to be deployed: sources by their digest, for which Python, and where it is built."""

    python: str
    fingerprint: str
    folder: Path

    @property
    def template(self) -> Path:
        """The built template that `sam deploy` takes."""
        return self.folder / "build" / "template.yaml"

    @property
    def log(self) -> Path:
        """What `sam build` said."""
        return self.folder / "build.log"


def fingerprint(root: Path, *more: str) -> str:
    """Return a digest of everything `sam build` and `sam deploy` read."""
    digest = hashlib.sha256("\0".join(more).encode())
    for path in sorted(_files(root)):
        digest.update(f"\0{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_deployed(environment: Environment, where: Target) -> bool:
    """Tell whether this very stack was deployed here last, and is healthy."""
    try:
        deployed = json.loads((environment.folder / "deployed.json").read_text())
    except FileNotFoundError:
        return False
    described = describe_stack(environment)
    return deployed == where.fingerprint and described is not None and described[1] in _COMPLETE


def remember_deployed(environment: Environment, where: Target) -> None:
    """Note what was deployed, for the next `up`."""
    environment.folder.mkdir(parents=True, exist_ok=True)
    (environment.folder / "deployed.json").write_text(json.dumps(where.fingerprint))


def target(environment: Environment, root: Path = ROOT) -> Target:
    """Return what to deploy; locally functions run on the local AWS's own interpreter.

    Every source has a folder of its own, so that a build never disturbs somebody's deployment.
    """
    python = ""
    if environment.is_local:
        wanted = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"
        command = [str(interpreter(root)), "-c", wanted]
        python = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = fingerprint(root, python, environment.config)
    return Target(python, found, root / ".headrace" / "build" / found[:16])


def build(environment: Environment, where: Target, root: Path = ROOT) -> bool:
    """Run `sam build` unless that very source is built already; return whether it ran.

    Raises:
        FailedError: naming the log and its last lines.
    """
    stamp = where.folder / "built"
    with _locked(where.folder):
        if stamp.exists():
            stamp.touch()
            return False
        _prune(where.folder.parent)
        _sam(
            [
                *("build", *_configuration(environment, root)),
                *("--build-dir", str(where.template.parent), *_overrides(environment, where, root)),
            ],
            _build_variables(where),
            where.log,
            root,
        )
        stamp.touch()
    return True


def deploy(
    environment: Environment,
    where: Target,
    *,
    progress: Callable[[str], None],
    root: Path = ROOT,
) -> None:
    """Run `sam deploy`; locally `progress` hears what CloudFormation does meanwhile.

    Raises:
        FailedError: with what failed, in CloudFormation's words.
        UsageError: the stack's name is too long.
    """
    if len(environment.stack) > STACK_MAX_LENGTH:
        raise UsageError(
            f"Stack name '{environment.stack}' has {len(environment.stack)} characters; with more "
            f"than {STACK_MAX_LENGTH} a model's name may not fit beside it in an endpoint's name.",
            f"Shorten stack_name in section [{environment.config}.deploy.parameters] of "
            "samconfig.toml.",
        )
    arguments = [
        *("deploy", *_configuration(environment, root)),
        *("--template-file", str(where.template), *_overrides(environment, where, root)),
        *_source_bucket(environment),
    ]
    variables = {**environment.variables(), "SAM_CLI_TELEMETRY": "0"}
    began = time.time()
    try:
        if environment.is_local:
            log = environment.folder / "deploy.log"
            _sam(arguments, variables, log, root, lambda: progress(_doing(environment)))
        else:
            # It may ask whether to go on, so it has the terminal to itself.
            _sam(arguments, variables, None, root)
    except FailedError as error:
        reasons = failures(environment, since=began)
        if reasons:
            said = "\n".join(("The stack was not deployed:", *reasons))
            raise FailedError(said, error.hint) from error
        raise


def delete(environment: Environment, root: Path = ROOT) -> None:
    """Run `sam delete`."""
    arguments = ["delete", *_configuration(environment, root), "--no-prompts"]
    region = ["--region", environment.region] if environment.region else []
    arguments += ["--stack-name", environment.stack, *region]
    _sam(arguments, {**environment.variables(), "SAM_CLI_TELEMETRY": "0"}, None, root)


def failures(environment: Environment, since: float) -> list[str]:
    """Return what failed in the stack since a moment, first cause first, one line each."""
    failed = [
        f"  {e['LogicalResourceId']} ({e['ResourceType']}): {e.get('ResourceStatusReason', '')}"
        for e in _events(environment)
        if e["ResourceStatus"].endswith("_FAILED")
        and e["Timestamp"].timestamp() >= since - 1
        and "cancelled" not in e.get("ResourceStatusReason", "").lower()
    ]
    return list(dict.fromkeys(reversed(failed)))


def _doing(environment: Environment) -> str:
    newest = next(iter(_events(environment)), None)
    if newest is None:
        return "uploading"
    return f"{newest['LogicalResourceId']} {newest['ResourceStatus'].lower().replace('_', ' ')}"


def _events(environment: Environment) -> list[dict[str, Any]]:
    """Return the newest events of the stack, newest first; none when there is no stack."""
    try:
        reply = environment.client("cloudformation").describe_stack_events(
            StackName=environment.stack
        )
    except ClientError as error:
        if error_code(error) == "ValidationError" and "does not exist" in str(error):
            return []
        raise
    return list(reply["StackEvents"])


def _configuration(environment: Environment, root: Path) -> list[str]:
    """Return what makes sam read our samconfig.toml: it looks beside the template otherwise."""
    return ["--config-file", str(root / "samconfig.toml"), "--config-env", environment.config]


def _source_bucket(environment: Environment) -> list[str]:
    """Locally, name a bucket for what sam uploads: it takes 15 s to make one of its own."""
    if not environment.is_local:
        return []
    name = f"{environment.stack}-source"
    # In us-east-1, where the local AWS is, creating one's own bucket again is no error
    # (S3 API reference, CreateBucket).
    environment.client("s3").create_bucket(Bucket=name)
    return ["--no-resolve-s3", "--s3-bucket", name]


def _overrides(environment: Environment, where: Target, root: Path) -> list[str]:
    """Return parameters: sam takes its own or the file's, so the file's are repeated."""
    if not where.python:
        return []
    sections = tomllib.loads((root / "samconfig.toml").read_text())
    given = sections[environment.config]["deploy"]["parameters"].get("parameter_overrides", [])
    given = given.split() if isinstance(given, str) else list(given)
    return ["--parameter-overrides", *given, f"PythonRuntime=python{where.python}"]


def _build_variables(where: Target) -> dict[str, str]:
    """Tell the layers' Makefiles what to build for: locally this machine, else Lambda's own."""
    here = {"LAMBDA_PYTHON": where.python, "LAMBDA_PLATFORM": ""} if where.python else {}
    return {**os.environ, "SAM_CLI_TELEMETRY": "0", **here}


def _sam(
    arguments: list[str],
    variables: dict[str, str],
    log: Path | None,
    root: Path,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Run sam with its output in `log`, or on the terminal; call `meanwhile` now and then."""
    sam = root / ".venv" / "sam" / "bin" / "sam"
    if not sam.exists():
        raise NotUpError(f"sam is not installed: there is no {sam}.", "make setup")
    # The build runs `make` and an interpreter that must be found beside it.
    path = os.pathsep.join((str(root / ".venv/dev/bin"), str(root / ".venv/setup/bin")))
    variables = {**variables, "PATH": f"{path}{os.pathsep}{variables.get('PATH', '')}"}
    with (
        _output(log) as output,
        subprocess.Popen(
            [sam, *arguments],
            cwd=root,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            stdin=subprocess.DEVNULL if output else None,
        ) as process,
    ):
        while process.poll() is None:
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                if meanwhile:
                    meanwhile()
    if process.returncode:
        raise FailedError(
            f"`sam {arguments[0]}` ended with code {process.returncode}.{_tail(log)}",
            f"Read {log}" if log else "Read what sam printed above.",
        )


@contextmanager
def _output(log: Path | None) -> Iterator[IO[bytes] | None]:
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        yield file


def _tail(log: Path | None) -> str:
    if log is None:
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n" + "\n".join(f"  {line}" for line in lines[-8:])


def _prune(builds: Path) -> None:
    """Remove builds that nobody has used for an hour: each takes 200 MB."""
    for stamp in builds.glob("*/built"):
        if time.time() - stamp.stat().st_mtime > _BUILD_SECONDS:
            shutil.rmtree(stamp.parent, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time build into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _files(root: Path) -> Iterator[Path]:
    for name in _SOURCES:
        source = root / name
        if source.is_file():
            yield source
        for folder, folders, files in os.walk(source):
            folders[:] = [f for f in folders if f not in _GENERATED and not f.endswith(".egg-info")]
            yield from (Path(folder, f) for f in files if not f.endswith(".pyc"))
