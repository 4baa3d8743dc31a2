"""Every file of ours keeps to its layer, stays readable, and names no package index."""

import re
from pathlib import Path

import pytest

from tests.architecture import source_rules
from tests.architecture.project import ROOT, committed_files, discover, report


def python_files() -> list[Path]:
    paths = [path for path in committed_files() if path.suffix == ".py"]
    assert len(paths) > 50
    return paths


@pytest.mark.parametrize("rule", source_rules.PRODUCT_RULES, ids=lambda rule: rule.__name__)
def test_what_ships(rule):
    paths = [path for path in python_files() if not path.is_relative_to(ROOT / "tests")]
    findings = [finding for path in paths for finding in rule(ROOT, path)]
    assert not findings, report(findings)


@pytest.mark.parametrize("rule", source_rules.PYTHON_RULES, ids=lambda rule: rule.__name__)
def test_every_python_file(rule):
    findings = [finding for path in python_files() for finding in rule(ROOT, path)]
    assert not findings, report(findings)


@pytest.mark.parametrize("rule", source_rules.HANDLER_RULES, ids=lambda rule: rule.__name__)
def test_handlers(rule):
    paths = discover("functions/*/*.py")
    findings = [finding for path in paths for finding in rule(ROOT, path)]
    assert not findings, report(findings)


def test_no_package_index_is_named():
    rule = source_rules.no_index_is_named
    findings = [finding for path in committed_files() for finding in rule(ROOT, path)]
    assert not findings, report(findings)


HOST = "py" + "pi.org"
SEEDED = [
    (source_rules.imports_stay_in_their_layer, "cli/a.py", "import local.settings", "local"),
    (source_rules.imports_stay_in_their_layer, "local/a.py", "from headrace import names", "headr"),
    (source_rules.imports_stay_in_their_layer, "containers/a.py", "import headrace.aws", "headr"),
    (
        source_rules.imports_stay_in_their_layer,
        "layers/core/headrace/training/a.py",
        "from headrace_profiling import Profile",
        "headrace_profiling",
    ),
    (source_rules.imports_stay_in_their_layer, "functions/x/a.py", "from tests import x", "tests"),
    (source_rules.imports_stay_in_their_layer, "cli/a.py", "from . import b", "relatively"),
    (source_rules.imports_stay_in_their_layer, "local/a.py", "import ministack.app", "MiniStack"),
    (source_rules.imports_stay_in_their_layer, "elsewhere/a.py", "import os", "does not say"),
    (source_rules.imports_stay_in_their_layer, "cli/a.py", "def f():\n import local", "local"),
    (
        source_rules.decisions_know_no_aws,
        "layers/core/headrace/training/a.py",
        "from headrace.aws import ledger",
        "headrace.aws",
    ),
    (
        source_rules.decisions_know_no_aws,
        "layers/profiling/headrace_profiling/a.py",
        "import boto3",
        "boto3",
    ),
    (source_rules.imports_stay_in_their_layer, "benchmarks/a.py", "import local", "local"),
    (source_rules.nothing_prints, "cli/a.py", "print(1)", ":1: prints"),
    (
        source_rules.broad_catches_have_a_reason,
        "cli/a.py",
        "try:\n    pass\nexcept (ValueError, Exception):\n    pass",
        ":3: catches",
    ),
    (
        source_rules.broad_catches_have_a_reason,
        "cli/a.py",
        "try:\n    pass\nexcept:\n    pass",
        ":3: catches",
    ),
    (source_rules.suppressions_have_a_reason, "cli/a.py", "x = 1  # no" + "qa: E501", ":1: suppr"),
    (source_rules.suppressions_have_a_reason, "cli/a.py", "x = 1  # type: " + "ignore", ":1"),
    (source_rules.is_short, "cli/a.py", "x = 1\n" * 401, "401 lines"),
    (
        source_rules.handlers_do_nothing_at_import,
        "functions/x/a.py",
        '"""Doc."""\nfor x in y:\n    pass',
        ":2: does",
    ),
    (
        source_rules.handlers_log_as_their_stage,
        "functions/x/a.py",
        'logger = Logger(service="y")',
        "no logger",
    ),
    (source_rules.no_index_is_named, "a.md", f"see https://{HOST}/simple", ":1: names"),
    (source_rules.no_index_is_named, "r.txt", "--extra-index-url https://x", ":1: names"),
    (source_rules.no_index_is_named, "package-lock.json", '"resolved": "x"', ":1: names"),
]
HEALTHY = [
    ("benchmarks/a.py", "import headrace_tabular\nprint(1)"),
    ("cli/a.py", "import boto3\nfrom headrace.aws import ledger"),
    ("layers/core/headrace/aws/a.py", "import boto3"),
    ("local/ministack/a.py", "import ministack.app\nfrom local import settings"),
    ("functions/x/a.py", '"""Doc."""\nfrom headrace import names\nlogger = names.x()'),
    (
        "cli/b.py",
        "try:\n    pass\nexcept Exception:  # the outermost boundary\n    x",
    ),
    ("cli/d.py", "try:\n    pass\nexcept BaseException:\n    raise"),
    ("cli/c.py", "x = 1  # type: ignore[arg-type]  # boto3 has no types"),
]
RULES = [
    *source_rules.PRODUCT_RULES,
    *source_rules.PYTHON_RULES,
    *source_rules.HANDLER_RULES,
    source_rules.no_index_is_named,
]


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(("rule", "name", "text", "expected"), SEEDED)
def test_a_seeded_fault_is_found(rule, name, text, expected, tmp_path):
    found = rule(tmp_path, write(tmp_path, name, text))
    assert any(expected in finding for finding in found), found


@pytest.mark.parametrize(("name", "text"), HEALTHY)
def test_a_healthy_file_has_no_finding(name, text, tmp_path):
    path = write(tmp_path, name, text)
    rules = [r for r in RULES if r not in source_rules.HANDLER_RULES]
    assert [finding for rule in rules for finding in rule(tmp_path, path)] == []


def test_every_rule_has_a_seeded_fault():
    assert {seeded[0] for seeded in SEEDED} == set(RULES)


def test_a_commit_is_checked_as_the_whole_is():
    """`make lint` and the pre-commit hooks type-check the same packages."""
    checked = re.compile(r"mypy ((?:[\w/]+ ?)+)$", re.MULTILINE)
    config = (ROOT / ".pre-commit-config.yaml").read_text()
    wanted = checked.findall((ROOT / "Makefile").read_text())
    assert wanted
    assert checked.findall(config) == wanted


def test_continuous_integration_runs_make_check():
    workflow = (ROOT / ".github" / "workflows" / "check.yml").read_text()
    assert re.search(r"^\s+- run: make check$", workflow, re.MULTILINE)
