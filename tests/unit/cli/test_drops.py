"""`drop` sends data first and the manifest last; `quarantine` shows what was refused."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import boto3
import duckdb
import pytest

from headrace.datasets.completeness import read_manifest
from headrace.records import DropRecord, ModelRecord, ObjectRecord
from headrace_cli.exit_codes import ExitCode

AT = "2026-01-02T00:00:00.000Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "drop"
    (found / "more").mkdir(parents=True)
    duckdb.sql("select range as a from range(7)").write_parquet(str(found / "a b.parquet"))
    (found / "more" / "b.csv").write_text("a\n1\n")
    return found


def keys() -> list[str]:
    listed = boto3.client("s3").list_objects_v2(Bucket="headrace-data", Prefix="drops/")
    return [o["Key"] for o in listed.get("Contents", [])]


def body(key: str) -> bytes:
    return boto3.client("s3").get_object(Bucket="headrace-data", Key=key)["Body"].read()


def ended(drop: str, state: str, **more: object) -> DropRecord:
    return DropRecord.model_validate(
        {
            "model": "credit-risk",
            "drop": drop,
            "state": state,
            "first_seen_at": AT,
            "last_seen_at": AT,
            "ended_at": AT,
            **more,
        }
    )


def refused(key: str, **more: object) -> ObjectRecord:
    return ObjectRecord.model_validate(
        {
            "model": "credit-risk",
            "drop": "x",
            "object_key": f"drops/credit-risk/x/{key}",
            "version_id": "v",
            "sequencer": "00",
            "size": 1,
            "etag": "e",
            "seen_at": AT,
            **more,
        }
    )


def test_the_manifest_promises_what_was_sent(model: ModelRecord, headrace, folder: Path) -> None:
    result = headrace("drop", "credit-risk", folder, "--name", "first", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["files"] == ["a b.parquet", "more/b.csv"]
    prefix = "drops/credit-risk/first/"
    assert sorted(keys()) == [
        f"{prefix}_manifest.json",
        f"{prefix}a b.parquet",
        f"{prefix}more/b.csv",
    ]
    # The receiver's own parser reads it.
    promised = read_manifest(body(f"{prefix}_manifest.json")).by_path
    content = (folder / "a b.parquet").read_bytes()
    assert promised["a b.parquet"].sha256 == hashlib.sha256(content).hexdigest()
    assert promised["a b.parquet"].size == len(content)
    assert promised["a b.parquet"].rows == 7
    assert promised["more/b.csv"].rows is None


def test_no_manifest_unless_wanted_and_ones_own_is_kept(model, headrace, folder: Path) -> None:
    headrace("drop", "credit-risk", folder, "--name", "one", "--no-manifest")
    assert "drops/credit-risk/one/_manifest.json" not in keys()
    (folder / "_manifest.json").write_text('{"files": ["a b.parquet"]}')
    headrace("drop", "credit-risk", folder, "--name", "two")
    assert body("drops/credit-risk/two/_manifest.json") == b'{"files": ["a b.parquet"]}'


def test_a_drop_that_ended_is_never_changed(model, record, headrace, folder: Path) -> None:
    record(ended("first", "accepted"))
    result = headrace("drop", "credit-risk", folder, "--name", "first")
    assert result.exit_code == ExitCode.USAGE
    assert "--name" in result.stderr
    assert keys() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["credit-risk", "/nowhere"], "no file or folder"),
        (["fraud", "FOLDER"], "No model is called 'fraud'"),
        (["credit-risk", "FOLDER", "--name", "../up"], "lies in no drop"),
    ],
)
def test_what_cannot_be_dropped(model, headrace, folder: Path, words: list[str], said: str) -> None:
    result = headrace("drop", *[str(folder) if w == "FOLDER" else w for w in words])
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr.replace("\n", " ") or "cannot be the name" in result.stderr
    assert keys() == []


def test_waiting_tells_the_verdict_and_the_reasons(
    model, record, headrace, folder: Path, watcher: Callable[..., None]
) -> None:
    watcher(
        ended("x", "quarantined", reasons=["Every file was refused."]),
        refused(
            "a b.parquet",
            verdict="quarantined",
            quarantine_uri="s3://headrace-quarantine/credit-risk/x/a b.parquet",
            reasons=["sha256 is not what the manifest says"],
        ),
    )
    result = headrace("drop", "credit-risk", folder, "--name", "x", "--wait")
    assert result.exit_code == ExitCode.NEGATIVE
    assert "Every file was refused." in result.stdout
    assert "sha256 is not what the manifest says" in result.stdout


def test_waiting_in_vain_times_out(model, headrace, folder: Path) -> None:
    result = headrace("drop", "credit-risk", folder, "--wait", "--timeout", "1")
    assert result.exit_code == ExitCode.TIMED_OUT
    assert "headrace watch credit-risk" in result.stderr


def test_quarantine_lists_reasons_and_shows_rows(model, record, headrace, tmp_path: Path) -> None:
    bad = tmp_path / "rows.parquet"
    duckdb.sql("select -5 as income, 'below 0' as reason").write_parquet(str(bad))
    boto3.client("s3").upload_file(str(bad), "headrace-quarantine", "q/rows.parquet")
    boto3.client("s3").put_object(Bucket="headrace-quarantine", Key="q/p", Body=b"poison!")
    record(
        ended("x", "accepted"),
        refused(
            "rows.parquet",
            verdict="accepted",
            rows=10,
            quarantined_rows=1,
            quarantine_uri="s3://headrace-quarantine/q/rows.parquet",
            reasons=["income is below 0"],
        ),
        refused(
            "poison.parquet",
            verdict="quarantined",
            quarantine_uri="s3://headrace-quarantine/q/p",
            reasons=["not parquet"],
        ),
        refused("good.parquet", verdict="accepted"),
    )
    listed = headrace("quarantine", "credit-risk").stdout
    assert "1 of 10 rows" in listed
    assert "not parquet" in listed
    assert "good.parquet" not in listed
    shown = json.loads(
        headrace("quarantine", "credit-risk", "--show", "rows.parquet", "--json").stdout
    )
    assert shown["rows"] == [{"income": -5, "reason": "below 0"}]
    assert "poison!" in headrace("quarantine", "credit-risk", "--show", "poison.parquet").stdout
    unknown = headrace("quarantine", "credit-risk", "--show", "good.parquet")
    assert unknown.exit_code == ExitCode.USAGE


@pytest.fixture
def watcher(aws, record: Callable[..., None]):
    """Plays the stack: once the manifest is there, writes its verdict."""
    import threading
    import time

    stop = threading.Event()
    threads: list[threading.Thread] = []

    def play(*verdict) -> None:
        def run() -> None:
            while not stop.is_set():
                if any(key.endswith("_manifest.json") for key in keys()):
                    record(*verdict)
                    return
                time.sleep(0.02)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield play
    stop.set()
    for thread in threads:
        thread.join()
