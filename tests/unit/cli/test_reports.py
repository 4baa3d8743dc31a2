"""`reports` lists what monitoring saw, tells one report in words, and hands out its page."""

import json
import webbrowser

import boto3
import pytest

from headrace.monitoring.page import render
from headrace_cli.exit_codes import ExitCode
from tests.unit.monitoring.page_world import column, everything, monitor, report

NAMES = ["2026-11-22T12-00-00Z", "2026-11-22T13-00-00Z"]
FOLDER = "monitoring/credit-risk/reports"
INTERRUPTED = f"{FOLDER}/2026-11-22T14-00-00Z"


@pytest.fixture
def two_reports(model) -> None:
    quiet = report(monitor("feature-drift", "healthy", columns=[column("car_value")]))
    s3 = boto3.client("s3")
    for name, found in zip(NAMES, (quiet, everything(["car_value", "[red]x"])), strict=True):
        for file, content in (("report.json", found.to_json()), ("report.html", render(found))):
            s3.put_object(Bucket="headrace-artifacts", Key=f"{FOLDER}/{name}/{file}", Body=content)
    for key in (f"{FOLDER}/latest.json", f"{INTERRUPTED}/report.html"):
        s3.put_object(Bucket="headrace-artifacts", Key=key, Body=b"{}")


def test_reports_are_listed_the_newest_first(headrace, two_reports):
    listed = headrace("reports", "credit-risk", "--json")
    assert listed.exit_code == ExitCode.OK
    found = json.loads(listed.stdout)
    assert [(r["name"], r["verdict"]) for r in found] == [
        (NAMES[1], "drifted"),
        (NAMES[0], "healthy"),
    ]
    assert found[0]["drifted"][:2] == ["data-quality", "feature-drift"]
    assert found[1]["package_version"] == 3
    table = headrace("reports", "credit-risk", "--limit", "2").stdout.splitlines()
    assert table[1].split()[:1] == [NAMES[1]]
    assert "data-quality, feature-drift" in table[1]
    assert len(table) == 2  # of the newest two one was interrupted


def test_a_report_is_told_in_words_and_opened(headrace, two_reports, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    good = headrace("reports", "credit-risk", NAMES[0], "--open")
    assert good.exit_code == ExitCode.OK
    assert "healthy feature-drift\n    why feature-drift" in good.stdout
    page = tmp_path / f"home/dev/reports/credit-risk-{NAMES[0]}.html"
    assert opened == [page.as_uri()]
    assert page.read_text().startswith("<!doctype html>")


def test_the_newest_is_written_to_a_file_and_is_negative_when_it_drifted(
    headrace, two_reports, tmp_path
):
    s3 = boto3.client("s3")
    s3.delete_object(Bucket="headrace-artifacts", Key=f"{INTERRUPTED}/report.html")
    target = tmp_path / "new" / "page.html"
    bad = headrace("reports", "credit-risk", "--output", str(target))
    assert bad.exit_code == ExitCode.NEGATIVE
    assert "credit-risk v3 drifted" in bad.stdout
    assert "drifted feature-drift where [red]x is car_value" in bad.stdout
    assert f"page: {target}" in bad.stdout
    assert "has drifted" in target.read_text()


def test_what_is_not_there_is_said(headrace, two_reports, model):
    interrupted = headrace("reports", "credit-risk", "--latest")
    assert interrupted.exit_code == ExitCode.FAILED
    assert "interrupted" in interrupted.stderr
    boto3.client("s3").put_object(
        Bucket="headrace-artifacts",
        Key=f"{INTERRUPTED}/report.json",
        Body=b'{"schema_version": 9}',
    )
    assert "another version" in headrace("reports", "credit-risk", "--latest").stderr
    listed = json.loads(headrace("reports", "credit-risk", "--json").stdout)
    assert [each["name"] for each in listed] == NAMES[::-1]  # it does not hide the others


def test_without_reports_the_next_step_is_said(headrace, model):
    assert "headrace monitor credit-risk" in headrace("reports", "credit-risk").stdout
