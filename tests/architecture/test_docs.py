"""The pages and the code agree: what is generated is fresh, and what is named exists."""

import dataclasses
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
from local.sagemaker import shapes
from local.sagemaker.images import Images
from local.sagemaker.jobs.training import INTERRUPT_TAG
from local.sagemaker.settings import Settings as SageMakerSettings
from local.settings import Settings as LocalSettings
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


SETTING = re.compile(r"^\| `(?P<name>[A-Z_]+)` \| (?P<default>[^|]*?) \| ", re.MULTILINE)


def settings_of_the_local_aws() -> dict[str, object]:
    """Every HEADRACE_LOCAL_* setting by its name, with its default; both classes name them so."""
    found = {field.name.upper(): field.default for field in dataclasses.fields(SageMakerSettings)}
    for field in dataclasses.fields(LocalSettings):
        if field.default_factory is not dataclasses.MISSING:
            found[field.name.upper()] = field.default_factory()
    return found


def wrong_settings(page: str, settings: dict[str, object]) -> list[str]:
    """Find settings that a page lacks, invents, or gives another default; words are not read."""
    said = {row["name"]: row["default"] for row in SETTING.finditer(page)}
    findings = [f"{name} is not in the table" for name in settings.keys() - said.keys()]
    findings += [f"{name} is no setting" for name in said.keys() - settings.keys()]
    for name in said.keys() & settings.keys():
        number = re.fullmatch(r"([\d.]+)( GiB)?", said[name])
        default = float(number[1]) * (2**30 if number[2] else 1) if number else settings[name]
        if default != settings[name]:
            findings.append(f"{name} is {settings[name]}, not {said[name]}")
    return sorted(findings)


def test_every_setting_of_the_local_aws_is_documented(monkeypatch):
    for name in settings_of_the_local_aws():
        monkeypatch.delenv(f"HEADRACE_LOCAL_{name}", raising=False)
    page = (ROOT / "docs" / "local-mode.md").read_text()
    findings = wrong_settings(page, settings_of_the_local_aws())
    assert not findings, report(findings)


def test_the_settings_are_those_that_the_code_reads():
    named = re.compile(r'(?:number\("|HEADRACE_LOCAL_)([A-Z_]+)\b')
    texts = [path.read_text() for path in discover("local/**/*.py")]
    read = {name for text in texts for name in named.findall(text) if name}
    assert read == set(settings_of_the_local_aws())


def test_a_wrong_setting_is_found():
    page = "| `A` | 1 | a |\n| `B` | 2 GiB | b |\n| `C` | 3 | c |\n| `D` | the cores | d |\n"
    findings = wrong_settings(page, {"A": 1.0, "B": 2**30, "D": 4, "E": 5})
    assert findings == ["B is 1073741824, not 2 GiB", "C is no setting", "E is not in the table"]


def test_the_pages_of_local_mode_name_what_the_code_names(tmp_path):
    pages = {path.name: path.read_text() for path in discover("docs/local-*.md")}
    named = set(re.findall(r"HEADRACE_LOCAL_([A-Z_]+)", "".join(pages.values())))
    assert named <= settings_of_the_local_aws().keys()
    assert f'"{INTERRUPT_TAG}"' in pages["local-sagemaker.md"]
    operations = shapes.service_model("headrace-labeling").operation_names
    assert all(f"\n| {name} | " in pages["local-labeling.md"] for name in operations)
    [mapping] = re.findall(r"```yaml\n(.*?)```", pages["local-mode.md"], re.DOTALL)
    file = tmp_path / "images.yaml"
    file.write_text(mapping)
    image = Images((file,)).find("123456789012.dkr.ecr.us-east-1.amazonaws.com/my-models:1")
    assert image.python == tmp_path / "envs/mine/bin/python"
    assert image.multi_model


def test_every_operation_is_on_the_page_once():
    page = (ROOT / "docs" / "local-operations.md").read_text()
    for service in ("sagemaker", *shapes.REST, "application-autoscaling"):
        names = shapes.service_model(service).operation_names
        assert [name for name in names if page.count(f"`{name}`") != 1] == []


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
