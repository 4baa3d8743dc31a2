"""The published table is of the scenarios that are there, and nothing in it fails."""

import re

from tests.architecture.project import ROOT
from tests.conformance.world import CLIENTS, declared, judge

ROW = re.compile(r"^\| (?!scenario)([^|]+) \| ([^|]+) \| (.+) \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "conformance.md").read_text())


def test_the_table_has_every_call_of_every_scenario():
    wanted = [
        (script.stem, call)
        for client in CLIENTS
        for script in client.scenarios
        for call in declared(script)
    ]
    assert [row[:2] for row in ROWS] == wanted, "run `make conformance`"


def test_no_call_fails():
    results = {result for _, _, result in ROWS}
    assert "works" in results
    assert not [each for each in results if each.startswith("FAILS") or each == "not reached"]


def test_a_failing_call_is_told_with_its_reason(tmp_path):
    script = tmp_path / "scenario.py"
    script.write_text('step("one")\nstep(\n    "two"\n)\nstep("three", bug="client\'s bug")\n')
    (tmp_path / "steps.jsonl").write_text(
        '{"call": "one", "bug": ""}\n{"call": "two", "bug": ""}\n'
    )
    outcome = judge(
        script, tmp_path, 1, "Traceback\nbotocore.exceptions.ClientError: no\nlast words"
    )
    assert [(row.call, row.result) for row in outcome.rows] == [
        ("one", "works"),
        ("two", "FAILS: botocore.exceptions.ClientError: no"),
        ("three", "not reached"),
    ]
    assert "exit code 1" in outcome.complaint


def test_a_call_that_was_left_out_or_went_elsewhere_is_told(tmp_path):
    script = tmp_path / "scenario.sh"
    script.write_text('step "one"\nstep "two"\n')
    (tmp_path / "steps.jsonl").write_text('{"call": "one", "bug": ""}\n')
    (tmp_path / "refused.txt").write_text("example.com\n")
    complaint = judge(script, tmp_path, 0, "").complaint
    assert "1 steps were played of 2" in complaint
    assert "example.com" in complaint
