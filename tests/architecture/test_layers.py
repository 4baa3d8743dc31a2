"""Every handler can be imported with its layers alone: no dependency hides in our environment."""

from pathlib import Path

from tests.architecture import layers
from tests.architecture.project import ROOT, report

TEMPLATE = ROOT / "template.yaml"


def test_every_handler_is_imported_with_its_layers_alone():
    found = layers.functions_by_layers(TEMPLATE)
    assert found
    findings = [
        f"{file}: {failure} (with {', '.join(names)})"
        for names, files in found.items()
        for file, failure in layers.import_failures(TEMPLATE, names, files).items()
    ]
    assert not findings, report(findings)


def test_a_missing_dependency_is_found(tmp_path: Path):
    """One handler needs what only our environment has, one what only another layer has."""
    fine, rich, numpy = (tmp_path / f"needs_{what}.py" for what in ("nothing", "rich", "numpy"))
    fine.write_text("import boto3, pydantic, aws_lambda_powertools, headrace.settings")
    rich.write_text("import rich")
    numpy.write_text("import numpy")
    failures = layers.import_failures(TEMPLATE, ("CoreLayer",), [fine, rich, numpy])
    assert failures == {
        str(rich): "ModuleNotFoundError: No module named 'rich'",
        str(numpy): "ModuleNotFoundError: No module named 'numpy'",
    }


def test_the_runtime_is_pinned():
    pins = layers.runtime_pins((ROOT / "requirements" / "dev.txt").read_text())
    assert {line.partition("==")[0] for line in pins.splitlines() if "==" in line} == {
        *layers.RUNTIME
    }
    assert "--hash=sha256:" in pins
