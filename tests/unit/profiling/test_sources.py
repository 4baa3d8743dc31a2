"""Files of every format, and captured traffic, as profiles."""

import base64
import json

import duckdb
import pytest

from headrace_profiling import CaptureColumns, SourceError, compare, profile
from headrace_profiling.arrow import batches

ROWS = (
    "SELECT i AS id, CASE WHEN i % 4 = 0 THEN NULL ELSE i / 8 END AS x, 'naïve, \"' || i % 3 AS s, "
    "DATE '2026-01-01' + (i % 5)::INT AS d, i % 2 = 0 AS b FROM range(1000) t(i)"
)


@pytest.fixture
def files(tmp_path):
    for suffix, options in (("parquet", ""), ("csv", ", HEADER"), ("jsonl", "")):
        form = "json" if suffix == "jsonl" else suffix
        duckdb.execute(f"COPY ({ROWS}) TO '{tmp_path}/all.{suffix}' (FORMAT {form}{options})")
    return tmp_path


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_formats_agree(files, suffix):
    found = profile(files / f"all.{suffix}")
    assert found.rows == 1000
    assert {name: column.type for name, column in found.columns.items()} == {
        "id": "integer",
        "x": "number",
        "s": "string",
        "d": "date" if suffix == "parquet" else "timestamp",
        "b": "boolean",
    }
    x = found.columns["x"]
    assert (x.nulls, x.maximum, x.distinct) == (250, 999 / 8, 750)
    assert found.columns["s"].categories == {f'naïve, "{i}': 334 - (i > 0) for i in range(3)}
    assert found.columns["d"].minimum == 1767225600.0
    assert found.columns["b"].categories == {"true": 500, "false": 500}
    assert compare(profile(files / "all.parquet"), found).status == "healthy"


def test_files_of_a_folder_are_one_table(files):
    (files / "part").mkdir()
    for n, where in enumerate(("id < 300", "id >= 300")):
        target = files / "part" / f"{n}.parquet"
        duckdb.execute(f"COPY (FROM ({ROWS}) WHERE {where}) TO '{target}'")
    assert profile(files / "part").to_json() == profile(files / "all.parquet").to_json()


def test_mixed_types_of_csv(tmp_path):
    lines = ["code,amount,when"] + [f"0{i},{i}.5,2026-01-{i:02}" for i in range(1, 20)]
    (tmp_path / "a.csv").write_text("\n".join([*lines, "A1,n/a,yesterday", ",nan,"]) + "\n")
    found = profile(tmp_path / "a.csv")
    assert found.columns["amount"].kinds == {"number": 20, "string": 1}
    assert found.columns["amount"].nans == 1
    assert found.columns["amount"].type == "number"
    assert found.columns["code"].kinds == {"integer": 19, "string": 1}
    told = profile(tmp_path / "a.csv", types={"code": "string", "when": "timestamp"})
    assert told.columns["code"].categories["07"] == 1
    assert told.columns["when"].kinds == {"timestamp": 19, "string": 1}


def record(given, answer, encoding="CSV"):
    answered = "JSON" if encoding == "JSON" else "CSV"
    sides = {"endpointInput": (given, encoding), "endpointOutput": (answer, answered)}
    captured = {name: {"data": d, "encoding": e, "mode": "X"} for name, (d, e) in sides.items()}
    return json.dumps({"captureData": captured, "eventMetadata": {"eventId": "1"}})


def test_captured_records(tmp_path):
    encoded = base64.b64encode(b"5,e").decode()
    lines = [
        record("1.5,a", "0.9"),
        record('2.5,"b, c"\n3.5,\n', "0.8\n0.7\n"),
        record(encoded, "0.5", "BASE64"),
        record('{"instances": [[4.5, "d"], [6, null]]}', '{"predictions": [0.4, 0.3]}', "JSON"),
    ]
    (tmp_path / "capture.jsonl").write_text("\n".join(lines) + "\n")
    found = profile(
        tmp_path, file_format="capture", capture=CaptureColumns(("amount", "kind"), ("score",))
    )
    assert found.rows == 6
    assert found.columns["amount"].mean == pytest.approx(23 / 6)
    assert found.columns["kind"].categories == {"a": 1, "b, c": 1, "d": 1, "e": 1}
    assert (found.columns["score"].mean, found.columns["score"].rows) == (3.6 / 6, 6)
    assert set(profile(tmp_path, file_format="capture").columns) == {
        "input.0",
        "input.1",
        "output.0",
    }


def test_captured_objects(tmp_path):
    asked = '{"amount": 3, "region": "north"}'
    answers = ['{"score": 0.25, "amount": 1}', '{"predictions": [{"score": 0.75}]}']
    lines = [record(asked, answer, "JSON") for answer in answers]
    lines.append(record(f"{asked}\n{asked}\nrubbish\n", "", "JSON"))
    (tmp_path / "c.jsonl").write_text("\n".join(lines) + "\n")
    found = profile(tmp_path / "c.jsonl", file_format="capture")
    assert found.columns["region"].categories == {"north": 4}
    assert found.columns["score"].mean == 0.5
    assert found.columns["output.amount"].mean == 1


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.parquet", b"PAR1rubbish", "not readable as parquet"),
        ("a.txt", b"x", "says no format"),
        ("a.jsonl", b"[1\n{", "not readable as jsonl"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=why):
        profile(tmp_path / name)
    with pytest.raises(SourceError, match="There is no file"):
        profile(tmp_path / "nowhere.csv")
    with pytest.raises(SourceError, match="There is no type text"):
        profile(tmp_path / name, types={"x": "text"})


def test_too_little_memory_says_what_to_do(tmp_path):
    columns = ", ".join(f"random() AS x{i}" for i in range(6))
    duckdb.execute(f"COPY (SELECT {columns} FROM range(200_000)) TO '{tmp_path}/x.parquet'")
    with pytest.raises(SourceError, match="pass a larger memory_mb"):
        profile(tmp_path / "x.parquet", memory_mb=3)


def test_a_result_that_breaks_off_is_no_result():
    """Rows come in batches: an error in a late one is not the end of the data."""
    query = "SELECT i::DOUBLE FROM range({}) t(i) UNION ALL SELECT error('late')::DOUBLE"
    with duckdb.connect() as connection:
        with pytest.raises(duckdb.Error, match="late"):
            list(batches(connection, query.format(300_000)))
        reader = batches(connection, "SELECT i::DOUBLE FROM range(3_000_000) t(i)")
        next(reader)
        reader.close()  # ... and the connection is free again
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
