"""From sealed drop to dataset version, with the functions' own handlers and a real DuckDB."""

import hashlib
import json
from types import SimpleNamespace

import duckdb
import pytest

from headrace.aws import clients
from headrace.aws.storage import Location
from headrace.records import DatasetRecord, Key
from tests.unit.datasets.dropworld import ARTIFACTS, DATA, MODEL, QUARANTINE

CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="a", aws_request_id="r"
)


@pytest.fixture
def functions(aws, monkeypatch):
    """Return the handlers of the stage, in the environment that the template gives them."""
    for name, value in aws.settings.model_dump(by_alias=True).items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("AWS_DEFAULT_REGION", aws.region)
    monkeypatch.setenv("MAX_FILE_BYTES", "1000000")
    monkeypatch.setenv("DUCKDB_MEMORY_MB", "200")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "CRITICAL")
    clients.client.cache_clear()
    yield _import_handlers()
    clients.client.cache_clear()


def _import_handlers():
    from functions.datasets import (
        assemble_dataset,
        inspect_files,
        plan_inspection,
        record_objects,
    )
    from headrace.aws.intake import intake
    from headrace.settings import settings

    intake.cache_clear()
    settings.cache_clear()
    return SimpleNamespace(
        plan=plan_inspection.handler,
        inspect=inspect_files.handler,
        assemble=assemble_dataset.handler,
        record=record_objects.handler,
    )


def run(functions, drop):
    """Do what the state machine does."""
    of_drop = {"model": MODEL, "drop": drop}
    for batch in functions.plan(of_drop, CONTEXT)["batches"]:
        functions.inspect({**of_drop, "batch": batch}, CONTEXT)
    return functions.assemble(of_drop, CONTEXT)


def parquet(tmp_path, query):
    path = tmp_path / "made.parquet"
    duckdb.execute(f"COPY ({query}) TO '{path}'")
    return path.read_bytes()


def read(aws, tmp_path, location):
    path = tmp_path / "read.parquet"
    aws.storage.download(location, path)
    return duckdb.execute(f"SELECT * FROM '{path}'").fetchall()


def send(aws, functions, drop, files, manifest=None):
    manifest = manifest or {"files": list(files)}
    everything = files | {"_manifest.json": json.dumps(manifest).encode()}
    events = [aws.put(f"drops/{MODEL}/{drop}/{n}", c) for n, c in everything.items()]
    records = [{"messageId": str(i), "body": json.dumps(e)} for i, e in enumerate(events)]
    assert functions.record({"Records": records}, CONTEXT) == {"batchItemFailures": []}
    assert aws.state(drop) == "sealed"


def test_good_files_go_on_and_bad_ones_stay_with_reasons(aws, functions, tmp_path):
    good = parquet(tmp_path, "SELECT i AS id, i % 2 AS y FROM range(100) t(i)")
    some = parquet(tmp_path, "SELECT i AS id, nullif(i % 5, 4) AS y FROM range(100) t(i)")
    files = {
        "good 1+ü.parquet": good,
        "sub/some.parquet": some,
        "poison.parquet": b"PAR1 this is no parquet PAR1",
        "empty.parquet": b"",
        "drifted.parquet": parquet(tmp_path, "SELECT 'x' AS id, 1 AS y"),
        "huge.parquet": b"0" * 1_000_001,
        "changed.parquet": good + b" ",
    }
    promises = {"changed.parquet": {"sha256": hashlib.sha256(good).hexdigest()}}
    manifest = {"files": [{"path": n, **promises.get(n, {})} for n in files]}
    send(aws, functions, "d1", files, manifest)
    result = run(functions, "d1")
    assert result["outcome"] == "DatasetAccepted"
    fact = result["fact"]
    assert (fact["rows"], fact["files"]) == (180, 2)
    assert (fact["quarantined_files"], fact["quarantined_rows"]) == (5, 20)
    record = aws.drops.find(MODEL, "d1")
    assert (record.state, record.dataset_version) == ("accepted", fact["dataset_version"])
    why = {
        "poison.parquet": "not readable as parquet",
        "empty.parquet": "empty (0 bytes)",
        "drifted.parquet": "column id is string, expected integer",
        "huge.parquet": "split it",
        "changed.parquet": "sha256",
    }
    for name, words in why.items():
        assert words in aws.reason(f"{MODEL}/d1/{name}")
        kept = aws.storage.get_bytes(Location(QUARANTINE, f"{MODEL}/d1/{name}"), 2_000_000)
        assert kept == files[name]
    rows = read(aws, tmp_path, Location(QUARANTINE, f"{MODEL}/d1/sub/some.parquet.rows.parquet"))
    assert len(rows) == 20
    assert {row[-1] for row in rows} == {"y is null"}
    described = aws.storage.get_json(
        Location(DATA, f"datasets/{MODEL}/{fact['dataset_version']}/dataset.json")
    )
    assert described["columns"] == {"id": "integer", "y": "integer"}
    assert described["profile"]["id"]["rows"] == 180
    assert described["profile"]["y"]["nulls"] == 0
    by_key = {f["source"]["key"]: f for f in described["files"]}
    copied = by_key[f"drops/{MODEL}/d1/good 1+ü.parquet"]
    folder = f"datasets/{MODEL}/{fact['dataset_version']}"
    assert aws.storage.get_bytes(Location(DATA, f"{folder}/{copied['name']}"), 10_000) == good
    members = aws.drops.members(MODEL, "d1")
    assert len([m for m in members.values() if m.verdict == "accepted"]) == 3
    assert len([m for m in members.values() if m.verdict == "quarantined"]) == 5


def test_the_pinned_version_is_read_though_a_newer_one_lies_there(aws, functions, tmp_path):
    pinned = parquet(tmp_path, "SELECT 1 AS y")
    send(aws, functions, "d1", {"a.parquet": pinned})
    aws.put(f"drops/{MODEL}/d1/a.parquet", b"overwritten")
    fact = run(functions, "d1")["fact"]
    assert fact["rows"] == 1
    assert aws.drops.members(MODEL, "d1")[f"drops/{MODEL}/d1/a.parquet"].sha256 == (
        hashlib.sha256(pinned).hexdigest()
    )


def test_the_same_contents_are_the_same_version(aws, functions, tmp_path):
    one = parquet(tmp_path, "SELECT 1 AS y")
    two = parquet(tmp_path, "SELECT 2 AS y")
    send(aws, functions, "d1", {"a.parquet": one, "b.parquet": two})
    send(aws, functions, "d2", {"x.parquet": two, "y/z.parquet": one})
    first, again = run(functions, "d1")["fact"], run(functions, "d2")["fact"]
    assert first["dataset_version"] == again["dataset_version"]
    assert "those of dataset" in aws.drops.find(MODEL, "d2").reasons[0]
    key = Key(pk=f"model#{MODEL}", sk=f"dataset#{first['dataset_version']}")
    assert aws.drops.get(DatasetRecord, key).drop == "d1"
    assert run(functions, "d1")["fact"] == first


def test_the_next_drop_must_look_like_the_first(aws, functions, tmp_path):
    send(aws, functions, "d1", {"a.parquet": parquet(tmp_path, "SELECT 1 AS y, 2 AS x")})
    assert run(functions, "d1")["outcome"] == "DatasetAccepted"
    drifted = {
        "type.parquet": parquet(tmp_path, "SELECT 1 AS y, 'two' AS x"),
        "less.parquet": parquet(tmp_path, "SELECT 1 AS y"),
        "more.parquet": parquet(tmp_path, "SELECT 1 AS y, 2 AS x, 3 AS z"),
    }
    send(aws, functions, "d2", drifted)
    result = run(functions, "d2")
    assert result["outcome"] == "DropQuarantined"
    reasons = " ".join(result["fact"]["reasons"])
    assert "schema drifted: column x is VARCHAR, expected integer" in reasons
    assert "column x is missing" in reasons
    assert "column z is not in the schema" in reasons
    assert {m.verdict for m in aws.drops.members(MODEL, "d2").values()} == {"quarantined"}


def test_text_formats_become_parquet(aws, functions, tmp_path):
    aws.publish(tmp_path, format="csv", schema={"id": "integer", "y": "boolean"})
    content = b"id,y\n1,true\n2,false\nthree,true\n4\n5,true\n"
    send(aws, functions, "d1", {"a.csv": content})
    fact = run(functions, "d1")["fact"]
    assert (fact["rows"], fact["quarantined_rows"]) == (3, 2)
    folder = f"datasets/{MODEL}/{fact['dataset_version']}/"
    (name,) = [o["Key"] for o in aws.storage.list(DATA, folder) if o["Key"].endswith(".parquet")]
    assert read(aws, tmp_path, Location(DATA, name)) == [(1, True), (2, False), (5, True)]
    assert [o["Key"] for o in aws.storage.list(ARTIFACTS, f"inspections/{MODEL}/d1/files/")]


@pytest.mark.parametrize("files", [{}, {"a.parquet": b"junk"}])
def test_a_drop_without_anything_usable_is_quarantined_whole(aws, functions, files):
    send(aws, functions, "d1", files)
    result = run(functions, "d1")
    assert result["outcome"] == "DropQuarantined"
    assert result["fact"]["reasons"]
    assert aws.state("d1") == "quarantined"
    assert f"{MODEL}/d1/_manifest.json" in aws.kept()
    for member in aws.drops.members(MODEL, "d1").values():
        assert member.verdict == "quarantined"
        assert member.reasons


def test_a_manifest_nobody_can_read_quarantines_with_the_reason(aws, functions, tmp_path):
    event = aws.put(f"drops/{MODEL}/d1/a.parquet", parquet(tmp_path, "SELECT 1 AS y"))
    aws.hear(event, aws.put(f"drops/{MODEL}/d1/_manifest.json", b"{"))
    assert run(functions, "d1")["outcome"] == "DropQuarantined"
    assert "_manifest.json cannot be read" in aws.reason(f"{MODEL}/d1/a.parquet")


def test_poison_messages_fail_alone(aws, functions):
    event = aws.put(f"drops/{MODEL}/d1/a")
    records = [
        {"messageId": "junk", "body": "{"},
        {"messageId": "other", "body": json.dumps({"detail": {}})},
        {"messageId": "good", "body": json.dumps(event)},
    ]
    failed = functions.record({"Records": records}, CONTEXT)["batchItemFailures"]
    assert [f["itemIdentifier"] for f in failed] == ["junk", "other"]
    assert aws.state("d1") == "open"
