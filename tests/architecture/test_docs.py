"""The pages and the code agree: what is generated is fresh, and what is named exists."""

import importlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
import yaml

from headrace import definition
from tests.architecture import cfn
from tests.architecture.project import ROOT, committed_files, discover, report

SCHEMA = ROOT / "schema" / "model.schema.json"
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def docs() -> Iterator[ModuleType]:
    """The generator, imported as `python tools/docs.py` runs it."""
    sys.path.insert(0, str(ROOT / "tools"))
    yield importlib.import_module("docs")
    sys.path.remove(str(ROOT / "tools"))


def test_generated_pages_are_fresh(docs):
    findings = [f"{name} is stale: run `make docs`" for name in docs.stale(ROOT)]
    assert not findings, report(findings)


def test_a_stale_page_is_found(docs, tmp_path):
    for folder in ("docs", "schema"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    page = tmp_path / "docs" / "cli.md"
    page.write_text(page.read_text().replace("`--json`", "`--xml`"))
    (tmp_path / "schema" / SCHEMA.name).unlink()
    assert {"docs/cli.md", "schema/model.schema.json"} <= docs.stale(tmp_path).keys()


def test_every_example_of_model_yaml_is_accepted():
    schema = json.loads(SCHEMA.read_text())
    examples = [path.read_text() for path in discover("models/*/model.yaml")]
    page = (ROOT / "docs" / "model-yaml.md").read_text()
    whole = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "name:" in text]
    assert len(whole) == 2
    for text in examples + whole:
        definition.parse(text, "dev")
        jsonschema.validate(yaml.safe_load(text), schema)


@pytest.mark.parametrize(
    "text", ["name: a\ndata: {lable: x}", "data: {label: x}", "name: a\ndata: {label: x}\nspot: 1"]
)
def test_the_schema_refuses_what_the_definition_refuses(text):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json.loads(SCHEMA.read_text()))


def broken_links(paths: list[Path], root: Path) -> list[str]:
    """Find links to files that do not exist."""
    return [
        f"{path.relative_to(root)}: there is no {link['target']}"
        for path in paths
        for link in LINK.finditer(path.read_text())
        if ":" not in link["target"] and not (path.parent / link["target"]).exists()
    ]


def test_every_link_leads_somewhere():
    paths = [path for path in committed_files() if path.suffix == ".md"]
    assert paths
    findings = broken_links(paths, ROOT)
    assert not findings, report(findings)


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](page.md) [b](https://example.com) [c](gone.md#part)")
    assert broken_links([page], tmp_path) == ["page.md: there is no gone.md"]


def alarms_without_page(alarms: dict[str, dict], runbook: str) -> list[str]:
    """Find alarms whose description names no section of the runbook."""
    sections = set(re.findall(r"^## (.+)$", runbook, re.MULTILINE))
    findings = []
    for name, alarm in alarms.items():
        said = re.search(r'docs/runbook\.md, "(.+?)"', alarm.get("AlarmDescription", ""))
        if not said or said.group(1) not in sections:
            findings.append(f"{name}: its description names no section of docs/runbook.md")
    return findings


def test_every_alarm_names_its_page_of_the_runbook():
    alarms = cfn.flatten(ROOT / "template.yaml").of("AWS::CloudWatch::Alarm")
    assert alarms
    findings = alarms_without_page(alarms, (ROOT / "docs" / "runbook.md").read_text())
    assert not findings, report(findings)


def test_an_alarm_without_page_is_found():
    runbook = "# Runbook\n\n## Dead letters\n"
    said = 'Given up. See docs/runbook.md, "{}".'
    alarms = {
        "Good": {"AlarmDescription": said.format("Dead letters")},
        "Gone": {"AlarmDescription": said.format("Dead mail")},
        "Silent": {"AlarmDescription": "Something."},
    }
    assert [finding.split(":")[0] for finding in alarms_without_page(alarms, runbook)] == [
        "Gone",
        "Silent",
    ]
