"""An environment made of a function's layers alone, and Lambda's boto3: nothing else to import.

The layers are built by their own Makefiles, for this interpreter, once per content of their
requirements; our packages themselves come from the source, so that only they may change freely.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.architecture import cfn, template_rules
from tests.architecture.project import ROOT

CACHE = ROOT / ".headrace" / "cache" / "layers"
RUNTIME = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")
"""What Lambda's Python runtimes bring, pinned in requirements/dev.txt.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html"""

_IMPORTER = """
import importlib.util, json, sys
paths, files = json.loads(sys.argv[1])
sys.path[:0] = paths
failures = {}
for file in files:
    spec = importlib.util.spec_from_file_location("handler_of_a_function", file)
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except BaseException as error:
        failures[file] = f"{type(error).__name__}: {error}"
sys.stdout.write(json.dumps(failures))
"""
_LAMBDA_VARIABLES = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


def functions_by_layers(template: Path) -> dict[tuple[str, ...], list[Path]]:
    """Return the handlers' files, by the layers their function has."""
    stack = cfn.flatten(template)
    transformed = stack.of("AWS::Lambda::Function")
    names = {
        resource: name
        for resource in stack.of("AWS::Lambda::LayerVersion")
        for name in _layers(template)
        if re.fullmatch(f"{name}[0-9a-f]{{10}}", resource)
    }
    found: dict[tuple[str, ...], list[Path]] = {}
    for name, function in template_rules.functions(template).items():
        layers = tuple(names[layer["Ref"]] for layer in transformed[name].get("Layers", []))
        found.setdefault(layers, []).append(template_rules.handler_file(template, function))
    return found


def import_failures(template: Path, layers: tuple[str, ...], files: list[Path]) -> dict[str, str]:
    """Import each file with these layers alone; return what went wrong, by file."""
    folders = [template.parent / _layers(template)[layer] for layer in layers]
    own = sorted({file.parent for file in files})
    paths = [*own, *folders, *(_built(layer, f) for layer, f in zip(layers, folders, strict=True))]
    arguments = [[str(path) for path in (*paths, _runtime())], [str(file) for file in files]]
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _IMPORTER, json.dumps(arguments)],
        env=_LAMBDA_VARIABLES,
        capture_output=True,
        text=True,
        check=True,
    )
    failures: dict[str, str] = json.loads(run.stdout)
    return failures


def _layers(template: Path) -> dict[str, str]:
    """Return the folder of each layer by its name."""
    return {
        name: resource["Properties"]["ContentUri"]
        for name, resource in cfn.read(template)["Resources"].items()
        if resource["Type"] == "AWS::Serverless::LayerVersion"
    }


def _built(layer: str, folder: Path) -> Path:
    """Return the folder of a layer's dependencies, building it when it is not there."""
    makefile, requirements = folder / "Makefile", folder / "requirements.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    options = ["LAMBDA_PLATFORM=", f"LAMBDA_PYTHON={version}"]
    target = CACHE / _key(layer, makefile.read_text(), requirements.read_text(), *options)

    def build(artifacts: Path) -> None:
        command = ["make", "--silent", "-C", str(folder), f"build-{layer}", *options]
        _run([*command, f"ARTIFACTS_DIR={artifacts}"])

    return _once(target, build) / "python"


def _runtime() -> Path:
    """Return a folder with what Lambda's runtime brings."""
    pins = runtime_pins((ROOT / "requirements" / "dev.txt").read_text())
    target = CACHE / _key("runtime", pins)

    def build(artifacts: Path) -> None:
        (artifacts / "requirements.txt").write_text(pins)
        options = [
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--target",
            str(artifacts / "python"),
        ]
        _run(["uv", "pip", "install", *options, "-r", str(artifacts / "requirements.txt")])

    return _once(target, build) / "python"


def runtime_pins(locked: str) -> str:
    """Return the lines of a locked requirements file that pin what the runtime brings."""
    blocks = re.split(r"^(?=\S)", locked, flags=re.MULTILINE)
    return "".join(block for block in blocks if block.partition("==")[0] in RUNTIME)


def _once(target: Path, build: Callable[[Path], None]) -> Path:
    """Build a folder beside its place and move it there, so that half of one is never used."""
    if not target.exists():
        staged = target.with_name(f"{target.name}.{os.getpid()}")
        staged.mkdir(parents=True)
        try:
            build(staged)
            staged.rename(target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return target


def _key(name: str, *contents: str) -> str:
    digest = hashlib.sha256("\0".join((*contents, sys.version)).encode())
    return f"{name}-{digest.hexdigest()[:16]}"


def _run(command: list[str]) -> None:
    """Run a build with uv on its path, as `make build` has it."""
    path = os.pathsep.join([str(ROOT / ".venv" / "setup" / "bin"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {run.returncode}: {run.stderr}")
