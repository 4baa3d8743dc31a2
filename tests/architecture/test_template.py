"""The template passes every linter, ours and others', and says what the code says."""

import importlib
import pkgutil
import re
from functools import cache
from pathlib import Path

import pytest

import headrace
from headrace import events
from headrace.settings import Settings
from tests.architecture import (
    cfn,
    event_rules,
    hops,
    iam_rules,
    template_linters,
    template_rules,
)
from tests.architecture.project import ROOT, discover, report

TEMPLATE = ROOT / "template.yaml"
STACK_RULES = (
    *hops.RULES,
    *iam_rules.RULES,
    *template_rules.RULES,
    event_rules.only_approval_deploys,
)
SET_BY_LAMBDA = {"AWS_REGION"}


@cache
def stack() -> cfn.Stack:
    return cfn.flatten(TEMPLATE)


@pytest.mark.parametrize("rule", STACK_RULES, ids=lambda rule: rule.__name__)
def test_our_rules_on_the_whole_stack(rule):
    findings = rule(stack())
    assert not findings, report(findings)


@pytest.mark.parametrize("rule", template_rules.FILE_RULES, ids=lambda rule: rule.__name__)
def test_our_rules_on_the_template(rule):
    findings = rule(TEMPLATE)
    assert not findings, report(findings)


def test_wildcards_have_a_written_reason():
    paths = [TEMPLATE, *discover("stacks/*.yaml")]
    findings = [finding for path in paths for finding in iam_rules.wildcards_have_a_reason(path)]
    assert not findings, report(findings)


def test_there_is_something_to_hold():
    """A rule about what the template lacks would pass without looking."""
    hopping = {hop.where for hop in hops.hops(stack())}
    assert len(hopping) > 5
    for kind in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::StepFunctions::StateMachine"):
        assert stack().of(kind), f"the template has no {kind}"


def test_rules_name_known_events():
    types = event_rules.event_types(events.Event)
    findings = event_rules.rules_name_known_events(stack(), types)
    assert not findings, report(findings)


def test_globals_set_what_settings_read():
    variables = cfn.read(TEMPLATE)["Globals"]["Function"]["Environment"]["Variables"]
    ours = {name for name in variables if not name.startswith("POWERTOOLS_")}
    assert ours == {f.alias for f in Settings.model_fields.values()} - SET_BY_LAMBDA


def test_every_variable_of_a_function_is_a_setting():
    """Functions read typed settings, which say what they mean; never the environment by hand."""
    known = _settings_aliases(Settings)
    findings = [
        f"{name}: {variable} is in no Settings class"
        for name, function in template_rules.functions(TEMPLATE).items()
        for variable in function.get("Environment", {}).get("Variables", {})
        if variable not in known
    ]
    assert not findings, report(findings)


def _settings_aliases(kind: type[Settings]) -> set[str]:
    for module in pkgutil.walk_packages(headrace.__path__, "headrace."):
        importlib.import_module(module.name)  # so that every subclass is known
    own = {str(field.alias) for field in kind.model_fields.values()}
    return own.union(*map(_settings_aliases, kind.__subclasses__()))


def test_layers_are_built_for_the_runtime_of_the_template():
    runtime = cfn.read(TEMPLATE)["Parameters"]["PythonRuntime"]["Default"]
    for makefile in discover("layers/*/Makefile"):
        found = re.search(r"^LAMBDA_PYTHON \?= (\S+)$", makefile.read_text(), re.MULTILINE)
        assert found, f"{makefile} sets no LAMBDA_PYTHON"
        assert runtime == f"python{found.group(1)}", makefile


def test_there_are_four_environments():
    assert template_linters.environments() == ["local", "dev", "staging", "prod"]


@pytest.mark.parametrize("linter", ["sam", "checkov", "cfn-lint"])
def test_the_linters_of_others(linter, linters):
    found = dict(linters[linter].result())
    faulty = found.pop(str(template_linters.FAULTY))
    assert faulty, f"{linter} finds nothing in a faulty template: it has not looked"
    assert found, f"{linter} has looked at nothing else"
    findings = [f"{file}: {finding}" for file, all_of in found.items() for finding in all_of]
    assert not findings, report(findings)


@pytest.mark.parametrize("name", [".cfnlintrc", ".checkov.yaml"])
def test_every_suppression_has_its_reason(name):
    findings = without_reason(ROOT / name)
    assert not findings, report(findings)


def test_a_suppression_without_reason_is_found(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("skip-check:\n  - CKV_AWS_18  # because\n  - CKV_AWS_19\n")
    assert without_reason(path) == ["config.yaml:3: CKV_AWS_19 has no reason"]


def without_reason(path: Path) -> list[str]:
    """Find items of a list without a comment on their line."""
    return [
        f"{path.name}:{number}: {line.strip(' -')} has no reason"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.match(r"\s*- ", line) and not re.search(r"\s#\s*\w", line)
    ]
