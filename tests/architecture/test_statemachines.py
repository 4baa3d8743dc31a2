"""Every state machine passes every linter, ours and others'."""

import inspect
from functools import cache
from pathlib import Path

import pytest

from headrace import errors
from tests.architecture import asl, asl_rules, asl_variables, machine_linters, service_arguments
from tests.architecture.asl import Machine
from tests.architecture.project import discover, report

OURS = frozenset(name for name, _ in inspect.getmembers(errors, inspect.isclass))
RULES = (*asl_rules.RULES, *asl_variables.RULES, service_arguments.arguments_are_valid)


@cache
def machines() -> list[Machine]:
    return [asl.load(path) for path in discover("statemachines/*.asl.yaml")]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_our_rules(rule):
    findings = [finding for machine in machines() for finding in rule(machine)]
    assert not findings, report(findings)


def test_caught_errors_exist():
    findings = [f for m in machines() for f in asl_rules.caught_errors_exist(m, OURS)]
    assert not findings, report(findings)


def test_statelint(tmp_path: Path):
    findings = machine_linters.statelint(machines(), tmp_path)
    assert not findings, report(findings)


@pytest.mark.skipif(
    machine_linters.node_is_missing() is not None, reason=str(machine_linters.node_is_missing())
)
def test_asl_validator(tmp_path: Path):
    findings = machine_linters.asl_validator(machines(), tmp_path)
    assert not findings, report(findings)


def test_cfn_lint_on_the_substituted_definition():
    findings = machine_linters.cfn_lint(machines())
    assert not findings, report(findings)


def test_moto_parses_it():
    findings = machine_linters.moto_parser(machines())
    assert not findings, report(findings)
