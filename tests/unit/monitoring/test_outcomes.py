"""Outcomes come in: which rows can be used, and what is recorded of each object."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headrace.aws.bus import Bus
from headrace.aws.monitoring.outcomes import (
    OutcomesSettings,
    Recorder,
    record_object,
    record_rows,
    record_unheard,
)
from headrace.aws.storage import Location
from headrace.errors import MonitoringError
from headrace.monitoring.outcomes import CheckedOutcomes, OutcomeRules, check_outcomes
from headrace.projects import archive_key, build_archive
from headrace.records import OutcomesRecord
from headrace_profiling.engine import Engine
from tests.unit import world
from tests.unit.world import MODEL, World

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PROJECT = {
    "name": MODEL,
    "data": {
        "label": "defaulted",
        "entity": "loan",
        "schema": {"loan": "integer", "defaulted": {"type": "integer", "values": ["0", "1"]}},
    },
    "deployment": {"ab": {"outcome": "paid", "minimum_effect": 0.1, "entity": "merchant"}},
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = Engine(tmp_path_factory.mktemp("duckdb"), 256)
    yield found
    found.close()


def check(
    engine: Engine, folder: Path, name: str, content: str | bytes, **rules: Any
) -> CheckedOutcomes:
    path, results = folder / name, folder / "results"
    results.mkdir()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    kind: Any = path.suffix.removeprefix(".")
    wanted = OutcomeRules(**{"label": "defaulted", "problem": "binary", **rules})
    return check_outcomes(path, kind, results, wanted, NOW, engine)


def rows_of(path: Path | None) -> list[tuple[Any, ...]]:
    assert path is not None
    return duckdb.sql(f"SELECT * FROM '{path}'").fetchall()


def test_good_rows_are_normalised_and_bad_ones_have_their_reasons(engine, tmp_path):
    late = (NOW + timedelta(days=2)).isoformat()
    lines = [
        {"inference_id": "a", "defaulted": 1, "time": "2026-11-22T08:00:00+02:00"},
        {"inference_id": "b", "row": 3, "outcome": 0.0},
        {"loan": 17.0, "defaulted": "1", "time": "2026-11-21"},
        {"inference_id": "b", "row": 3, "outcome": 0},
        {"inference_id": "b", "row": 3, "outcome": 1},
        {"inference_id": "c"},
        {"inference_id": "d", "defaulted": True},
        {"inference_id": "d", "defaulted": 7},
        {"defaulted": 1},
        {"inference_id": "headrace-smoke-1", "defaulted": 1},
        {"inference_id": "e" * 65, "defaulted": 1},
        {"loan": "x", "defaulted": 1},
        {"inference_id": "f", "row": -1, "defaulted": 1},
        {"inference_id": "g", "time": "yesterday", "defaulted": 1},
        {"inference_id": "h", "time": late, "defaulted": 1},
        {"merchant": "m", "paid": 2.5},
    ]
    content = "\n".join(map(json.dumps, lines)) + "\nno json\n"
    found = check(
        engine,
        tmp_path,
        "o.jsonl",
        content,
        label_type="integer",
        values=("0", "1"),
        entity="loan",
        entity_type="integer",
        measure="paid",
        measured="merchant",
    )
    assert found.problem is None
    assert (found.rows, found.duplicates, found.quarantined, found.measured) == (4, 1, 11, 1)
    assert found.by_entity == 1
    received = NOW.replace(tzinfo=None)
    assert rows_of(found.good_file) == [
        ("a", None, None, "1", datetime(2026, 11, 22, 6), received),
        ("b", None, 3, "0", received, received),
        (None, "17", None, "1", datetime(2026, 11, 21), received),
        ("b", None, 3, "1", received, received),
    ]
    assert len(rows_of(found.bad_file)) == 11
    assert {reason.rpartition(" in ")[0] for reason in found.reasons} == {
        "defaulted (or outcome) is missing",
        "defaulted does not read as integer",
        "defaulted is none of the allowed values",
        "names no inference_id or loan",
        "inference_id is one of Headrace's own requests",
        "inference_id is longer than 64",
        "loan does not read as integer",
        "row is no position from 0",
        "time does not read as ISO 8601",
        "time is in the future",
        "the line is no JSON object",
    }


@pytest.mark.parametrize(
    ("name", "content", "rules", "said"),
    [
        ("a.csv", "inference_id,defaulted\na,True\nb,FALSE\n", {}, ["true", "false"]),
        ("a.csv", "inference_id,y\na,1.0\nb,2.50\n", {"label": "y"}, ["1", "2.50"]),
        ("a.csv", "inference_id,y\na,1\nb,2.50\n", {"problem": "regression"}, "no column"),
        (
            "a.csv",
            "inference_id,y\na,1\nb,nan\nc,2.50\n",
            {"problem": "regression", "label": "y"},
            ["1", "2.5"],
        ),
        ("a.csv", "inference_id,y\na,007\n", {"label": "y", "label_type": "string"}, ["007"]),
        ("a.csv", "who,outcome\na,1\n", {"entity": "loan"}, "inference_id or loan"),
        ("a.csv", "", {}, "empty"),
        ("a.csv", "inference_id,outcome\n", {}, "no rows"),
        ("a.csv", "inference_id,outcome\n,1\na,\n", {}, "None of the 2 rows"),
        ("a.parquet", b"PAR1 it is not", {}, "not readable as parquet"),
        ("a.jsonl", "[1, 2]\n", {}, "not readable as jsonl"),
    ],
)
def test_values_are_spelt_as_predictions_spell_them(engine, tmp_path, name, content, rules, said):
    found = check(engine, tmp_path, name, content, **rules)
    if isinstance(said, str):
        assert said in str(found.problem)
    else:
        assert [row[3] for row in rows_of(found.good_file)] == said


def test_parquet_says_the_same_as_text(engine, tmp_path):
    query = (
        "SELECT 'a' AS inference_id, true AS defaulted, 1::DOUBLE AS row, "
        "TIMESTAMPTZ '2026-11-22 08:00:00+02' AS time"
    )
    duckdb.sql(query).write_parquet(str(tmp_path / "made.parquet"))
    found = check(engine, tmp_path, "o.parquet", (tmp_path / "made.parquet").read_bytes())
    [row] = rows_of(found.good_file)
    assert row[:5] == ("a", None, 1, "true", datetime(2026, 11, 22, 6))


class Said:
    """EventBridge, as far as announcing asks it."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 — boto3's
        self.entries += [{"type": e["DetailType"], **json.loads(e["Detail"])} for e in Entries]
        return {"FailedEntryCount": 0}


class Intake:
    """A stack that has published a project, and takes outcomes."""

    def __init__(self, here: World, engine: Engine, folder: Path) -> None:
        self.here, self.said = here, Said()
        here.s3.create_bucket(
            Bucket="headrace-quarantine",
            CreateBucketConfiguration={"LocationConstraint": world.REGION},
        )
        for bucket in ("headrace-data", "headrace-quarantine"):
            here.s3.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        more = {"DUCKDB_MEMORY_MB": "256", "MAX_FILE_BYTES": "4096"}
        settings = OutcomesSettings.model_validate({**here.settings.model_dump(), **more})
        bus = Bus("headrace", self.said)
        self.aws = Recorder(settings, here.storage, here.ledger, bus, engine)
        self.folder = folder

    def publish(self) -> None:
        (self.folder / "model.yaml").write_text(json.dumps(PROJECT))
        archive = build_archive(self.folder)
        self.here.s3.put_object(
            Bucket="headrace-data",
            Key=archive_key(MODEL, archive.version),
            Body=archive.content,
        )
        self.here.ledger.put(world.model_record(project_version=archive.version))

    def put(self, name: str, content: str, model: str = MODEL) -> tuple[str, str]:
        key = f"outcomes/{model}/{name}"
        reply = self.here.s3.put_object(Bucket="headrace-data", Key=key, Body=content.encode())
        return key, reply["VersionId"]

    def record(self, name: str, content: str, model: str = MODEL) -> OutcomesRecord:
        found = record_object(*self.put(name, content, model), self.aws)
        assert found is not None
        return found


@pytest.fixture
def intake(monkeypatch, engine, tmp_path) -> Iterator[Intake]:
    with world.aws(monkeypatch) as here:
        yield Intake(here, engine, tmp_path)


GOOD = "inference_id,defaulted\na,1\nb,0\nb,0\nc,5\n"


def test_an_object_is_recorded_once_however_often_it_is_heard_of(intake):
    intake.publish()
    where = intake.put("o.csv", GOOD)
    first = record_object(*where, intake.aws)
    assert first is not None
    assert (first.status, first.rows, first.duplicates, first.quarantined) == ("accepted", 2, 1, 1)
    assert record_object(*where, intake.aws) == first
    assert record_object(*intake.put("o.csv", GOOD), intake.aws) == first, "the same again"
    assert [e["type"] for e in intake.said.entries] == ["OutcomesAccepted"]
    part = Location.of(str(first.uri))
    assert part.key == f"monitoring/{MODEL}/outcomes/{first.digest}.parquet"
    assert intake.here.storage.exists(part)
    why = Location.of(f"{first.quarantine_uri}.reason.json")
    assert intake.here.storage.get_json(why)["reasons"] == first.reasons
    changed = intake.record("o.csv", GOOD + "d,1\n")
    assert changed.digest != first.digest


def test_whole_objects_are_refused_with_the_reason(intake):
    unknown = intake.record("o.csv", GOOD)
    assert unknown.status == "quarantined"
    assert "No project of model credit-risk is published" in unknown.reasons[0]
    assert intake.here.storage.exists(Location.of(str(unknown.quarantine_uri)))
    assert intake.said.entries[-1]["type"] == "OutcomesQuarantined"
    intake.publish()
    assert intake.record("o.csv", GOOD).status == "accepted", "sent again, it is judged again"
    assert "ends in none of" in intake.record("o.xls", GOOD).reasons[0]
    assert "more than the 4096" in intake.record("o.jsonl", "{}\n" * 2000).reasons[0]
    stray = intake.record("", "x", "no-model")
    assert stray.model == "_"
    assert record_object(*intake.put("", ""), intake.aws) is None, "an empty folder"


def test_a_call_is_an_object_too(intake):
    intake.publish()
    rows = [{"inference_id": "a", "defaulted": 1}, {"loan": 3, "outcome": 2}]
    called = record_rows(MODEL, rows, intake.aws)
    assert (called.rows, called.quarantined) == (1, 1)
    assert record_rows(MODEL, rows, intake.aws) == called
    assert intake.here.storage.exists(Location("headrace-data", called.object_key))
    with pytest.raises(MonitoringError, match="1 to 10000 rows"):
        record_rows(MODEL, [], intake.aws)
    with pytest.raises(MonitoringError, match=r"No project of model \.\./x"):
        record_rows("../x", rows, intake.aws)


def test_an_ab_tests_rows_are_left_to_it_where_it_reads_them(intake):
    intake.publish()
    own = intake.record("ab.jsonl", '{"merchant": "m", "paid": true}\n')
    assert (own.status, own.rows, own.measured, own.uri) == ("accepted", 0, 1, None)
    assert intake.record("ab.csv", "merchant,paid\nm,1\n").status == "quarantined"


def test_what_no_event_told_is_found(intake):
    intake.publish()
    heard = intake.record("a.csv", GOOD)
    intake.put("b.csv", GOOD)
    intake.put("c.csv", "nonsense")
    found = record_unheard(MODEL, intake.aws, 1)
    assert [r.object_key for r in found] == [f"outcomes/{MODEL}/b.csv"]
    assert [r.status for r in record_unheard(MODEL, intake.aws, 10)] == ["quarantined"]
    assert record_unheard(MODEL, intake.aws, 10) == []
    assert heard.digest not in {r.digest for r in found}
