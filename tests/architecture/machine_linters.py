"""The linters others made, each as a function from a state machine to its findings."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from cfnlint.api import ManualArgs, lint
from moto import mock_aws

from tests.architecture.asl import Json, Machine, substituted
from tests.architecture.project import ROOT

NODE_PACKAGE = ROOT / "tools" / "lint" / "package-lock.json"
NODE_FOLDER = ROOT / ".venv" / "node"
_ROLE = "arn:aws:iam::111122223333:role/states"


def statelint(machines: list[Machine], folder: Path) -> list[str]:
    """AWS's statelint, as ported to Python."""
    plain = [replace(each, definition=_with_plain_waits(each.definition)) for each in machines]
    return _complaints([sys.executable, "-m", "statelint", *_written(plain, folder)])


def asl_validator(machines: list[Machine], folder: Path) -> list[str]:
    """The npm package asl-validator: JSON schema, JSONata syntax, reachability."""
    options = [f"--json-path={path}" for path in _written(machines, folder)]
    return _complaints([_node_linter(), *options])


def cfn_lint(machines: list[Machine]) -> list[str]:
    """cfn-lint's rule E3601, which never looks behind SAM's DefinitionUri."""
    resources = {
        f"Machine{number}": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Metadata": {"File": machine.name},
            "Properties": {"RoleArn": _ROLE, "Definition": substituted(machine.definition)},
        }
        for number, machine in enumerate(machines)
    }
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}
    found = lint(json.dumps(template), config=ManualArgs(include_checks=["I", "W", "E"]))
    return [f"{'/'.join(map(str, match.path or []))}: {match}" for match in found]


def moto_parser(machines: list[Machine]) -> list[str]:
    """CreateStateMachine of moto, whose parser refuses what it could not execute."""
    findings = []
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        client: Any = boto3.client("stepfunctions", region_name="us-east-1", **keys)
        for number, machine in enumerate(machines):
            definition = json.dumps(substituted(machine.definition))
            try:
                client.create_state_machine(
                    name=f"machine-{number}", definition=definition, roleArn=_ROLE
                )
            except ClientError as error:
                findings.append(f"{machine.name}: {error}")
    return findings


def _with_plain_waits(definition: Json) -> Json:
    """Replace expressions in Seconds, which the port takes in no query language.

    The language allows them with JSONata (states-language.net, "Wait State").
    """
    states = {
        name: {**state, "Seconds": 1} if isinstance(state.get("Seconds"), str) else state
        for name, state in definition["States"].items()
    }
    return {**definition, "States": states}


def _complaints(command: list[str]) -> list[str]:
    """Return what a linter says when it does not end well, line by line."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode == 0:
        return []
    said = (run.stdout + run.stderr).strip() or f"{command[0]} ended with {run.returncode}"
    return said.splitlines()


def node_is_missing() -> str | None:
    """Return why asl-validator cannot run here, or None when it can."""
    absent = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    return f"{' and '.join(absent)} absent: asl-validator needs Node" if absent else None


def _node_linter() -> str:
    """Return the asl-validator of .venv/node, installed from the lock file when it is not there."""
    installed = NODE_FOLDER / "installed.json"
    if not installed.exists() or installed.read_bytes() != NODE_PACKAGE.read_bytes():
        NODE_FOLDER.mkdir(parents=True, exist_ok=True)
        shutil.copy(NODE_PACKAGE, NODE_FOLDER)
        shutil.copy(NODE_PACKAGE.with_name("package.json"), NODE_FOLDER)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=NODE_FOLDER, check=True)
        shutil.copy(NODE_PACKAGE, installed)
    return str(NODE_FOLDER / "node_modules" / ".bin" / "asl-validator")


def _written(machines: list[Machine], folder: Path) -> list[str]:
    paths = [folder / machine.name.replace(".yaml", ".json") for machine in machines]
    for path, machine in zip(paths, machines, strict=True):
        path.write_text(json.dumps(substituted(machine.definition)))
    return [str(path) for path in paths]
