"""The linters others made, each as a function from a state machine to its findings."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from cfnlint.api import ManualArgs, lint
from moto import mock_aws

from tests.architecture.asl import Machine, substituted
from tests.architecture.project import ROOT

NODE_PACKAGE = ROOT / "tools" / "lint" / "package-lock.json"
NODE_FOLDER = ROOT / ".venv" / "node"


def statelint(machine: Machine, folder: Path) -> list[str]:
    """AWS's statelint, as ported to Python."""
    path = _written(machine, folder)
    run = subprocess.run(
        [sys.executable, "-m", "statelint", str(path)], capture_output=True, text=True, check=False
    )
    said = (run.stdout + run.stderr).strip()
    if not said and run.returncode:
        said = f"statelint ended with {run.returncode}"
    return [f"{machine.name}: {line}" for line in said.splitlines()]


def asl_validator(machine: Machine, folder: Path) -> list[str]:
    """The npm package asl-validator: JSON schema, JSONata syntax, reachability."""
    run = subprocess.run(
        [_node_linter(), "--json-path", str(_written(machine, folder))],
        capture_output=True,
        text=True,
        check=False,
    )
    said = (run.stdout + run.stderr).strip()
    return [f"{machine.name}: {line}" for line in said.splitlines()] if run.returncode else []


def cfn_lint(machine: Machine) -> list[str]:
    """cfn-lint's rule E3601, which never looks behind SAM's DefinitionUri."""
    resource = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": "arn:aws:iam::111122223333:role/states",
            "Definition": substituted(machine.definition),
        },
    }
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": resource}}
    found = lint(json.dumps(template), config=ManualArgs(include_checks=["I", "W", "E"]))
    return [f"{machine.name}: {match}" for match in found]


def moto_parser(machine: Machine) -> list[str]:
    """CreateStateMachine of moto, whose parser refuses what it could not execute."""
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        client: Any = boto3.client(
            "stepfunctions",
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        try:
            client.create_state_machine(
                name="machine",
                definition=json.dumps(substituted(machine.definition)),
                roleArn="arn:aws:iam::111122223333:role/states",
            )
        except ClientError as error:
            return [f"{machine.name}: {error}"]
    return []


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


def _written(machine: Machine, folder: Path) -> Path:
    path = folder / machine.name.replace(".yaml", ".json")
    path.write_text(json.dumps(substituted(machine.definition)))
    return path
