"""`outcomes` sends a file under the name of its content and tells what became of its rows."""

import json
from pathlib import Path

import boto3
import pytest

from headrace.aws.monitoring.outcomes import outcomes_digest
from headrace.records import OutcomesRecord
from headrace_cli.exit_codes import ExitCode


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "today.csv"
    found.write_text("inference_id,defaulted\na,1\n")
    return found


def recorded(key: str, **more: object) -> OutcomesRecord:
    head = boto3.client("s3").head_object(Bucket="headrace-data", Key=key)
    return OutcomesRecord.model_validate(
        {
            "model": "credit-risk",
            "digest": outcomes_digest(key, head["ETag"]),
            "status": "accepted",
            "object_key": key,
            "version_id": head.get("VersionId", "null"),
            "received_at": "2026-01-02T00:00:00.000Z",
            "recorded_at": "2026-01-02T00:00:01.000Z",
            "rows": 1200,
            "duplicates": 3,
            **more,
        }
    )


def test_a_file_is_sent_once_and_its_verdict_told(model, record, headrace, file: Path) -> None:
    sent = headrace("outcomes", file, "--model", "credit-risk", "--json")
    assert sent.exit_code == 0, sent.output
    document = json.loads(sent.stdout)
    key = document["object"]
    assert key.startswith("outcomes/credit-risk/")
    assert key.endswith(".csv")
    assert document["verdict"] is None
    told = boto3.client("s3").get_object(Bucket="headrace-data", Key=key)["Body"].read()
    assert told == file.read_bytes()

    reasons = ["time is in the future in 2 of 1205 rows"]
    record(recorded(key, quarantined=2, reasons=reasons))
    again = headrace("outcomes", file, "--model", "credit-risk", "--wait")
    assert again.exit_code == 0, again.output
    assert "the same file was accepted at 2026-01-02" in again.stdout
    assert "1,200 accepted, 3 duplicate, 2 quarantined" in again.stdout
    assert reasons[0] in again.stdout


def test_what_is_refused_is_told_and_may_be_sent_again(model, record, headrace, file) -> None:
    key = json.loads(headrace("outcomes", file, "--model", "credit-risk", "--json").stdout)[
        "object"
    ]
    record(recorded(key, status="quarantined", rows=0, duplicates=0, reasons=["no column"]))
    result = headrace("outcomes", file, "--model", "credit-risk", "--wait")
    assert result.exit_code == ExitCode.NEGATIVE
    assert "quarantined the whole file" in result.stdout
    assert "no column" in result.stdout
    assert "duplicate" not in result.stdout


def test_what_cannot_be_sent(model, headrace, file: Path) -> None:
    assert headrace("outcomes", file, "--model", "fraud").exit_code == ExitCode.USAGE
    wrong = headrace("outcomes", file.with_suffix(".xls"), "--model", "credit-risk")
    assert wrong.exit_code == ExitCode.USAGE
    assert ".parquet" in wrong.stderr
