"""The linters of templates that others made; each returns its findings by file.

They are slow, so each runs once per session, over the real templates and over one that is faulty:
a linter that finds nothing there has not looked.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture import cfn
from tests.architecture.project import ROOT, discover

FAULTY = Path(__file__).parent / "fixtures" / "faulty-template.yaml"
_DRIVER = Path(__file__).parent / "sam_validate.py"
_ENVIRONMENT = {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}

Findings = dict[str, list[str]]


class LinterError(Exception):
    """A linter could not run; its output says why."""


def templates() -> list[Path]:
    """Return the product's templates, the main one first."""
    return [ROOT / "template.yaml", *discover("stacks/*.yaml")]


def environments() -> list[str]:
    """Return the environments of samconfig.toml."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    return [
        name for name, section in config.items() if isinstance(section, dict) and name != "default"
    ]


def cfn_lint() -> Findings:
    """cfn-lint with information, warnings and the rules of cfn-lint-serverless."""
    files = [str(path) for path in (*templates(), FAULTY)]
    options = ["--include-checks", "I", "W", "--append-rules", "cfn_lint_serverless.rules"]
    tool = str(Path(sys.executable).with_name("cfn-lint"))
    output = _output([tool, "--format", "json", *options, "--template", *files])
    findings: Findings = {file: [] for file in files}
    for match in json.loads(output):
        where = match["Location"]["Start"]["LineNumber"]
        findings[str(ROOT / match["Filename"])].append(
            f"line {where}: {match['Rule']['Id']} {match['Message']}"
        )
    return findings


def checkov(folder: Path) -> Findings:
    """checkov on the templates as written and as transformed: it sees different things."""
    transformed = folder / "transformed.json"
    transformed.write_text(json.dumps(cfn.transform(cfn.read(ROOT / "template.yaml"))))
    files = [str(path) for path in (*templates(), transformed, FAULTY)]
    tool = _tool("checkov", "checkov")
    report = json.loads(_output([tool, "--file", *files, "--output", "json"]))
    failed, passed = report["results"]["failed_checks"], report["results"]["passed_checks"]
    findings: Findings = {file: [] for file in files}
    for check in failed:
        findings[check["file_abs_path"]].append(
            f"{check['resource']}: {check['check_id']} {check['check_name']}"
        )
    looked_at = {check["file_abs_path"] for check in failed + passed}
    for file in {files[0], str(transformed)} - looked_at:  # alarms alone give it nothing to check
        findings[file].append("checkov has not looked at it")
    return findings


def sam_validate() -> Findings:
    """`sam validate --lint`, once per environment of samconfig.toml; keys are environments."""
    pairs = [(str(ROOT / "template.yaml"), environment) for environment in environments()]
    arguments = [part for pair in (*pairs, (str(FAULTY), "default")) for part in pair]
    output = _output([_tool("sam", "python"), str(_DRIVER), *arguments])
    findings: Findings = {}
    for template, environment, code, said in json.loads(output.splitlines()[-1]):
        key = environment if template != str(FAULTY) else template
        findings[key] = [f"{code}: {said}"] if code else []
    return findings


def _tool(environment: str, name: str) -> str:
    """Return a program of one of the clone's environments."""
    path = ROOT / ".venv" / environment / "bin" / name
    if not path.exists():
        raise LinterError(f"{path} is not installed: run `make setup`")
    return str(path)


def _output(command: list[str]) -> str:
    run = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": ""},
    )
    if not run.stdout.strip():
        raise LinterError(f"{command[0]} ended with {run.returncode}: {run.stderr}")
    return run.stdout
