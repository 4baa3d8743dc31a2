import random

import duckdb
import pytest

from headrace_profiling.engine import Engine
from headrace_profiling.quality import Rule, check_file

RULES = {"id": Rule("integer"), "y": Rule("integer"), "x": Rule("number", minimum=0, maximum=9)}


@pytest.fixture
def check(tmp_path):
    """Return a function that checks a file of some content."""

    engine = Engine(tmp_path, 200)

    def run(content, file_format="parquet", rules=None, label="y"):
        path, folder = tmp_path / "file", tmp_path / str(random.random())
        folder.mkdir()
        path.write_bytes(content)
        return check_file(path, file_format, folder, rules or {}, label, engine)

    yield run
    engine.close()


def parquet(tmp_path, query):
    path = tmp_path / "made.parquet"
    duckdb.execute(f"COPY ({query}) TO '{path}'")
    return path.read_bytes()


def rows(path, columns="*"):
    return duckdb.execute(f"SELECT {columns} FROM '{path}'").fetchall()


def test_a_clean_file_is_taken_as_it_is(check, tmp_path):
    found = check(parquet(tmp_path, "SELECT 1 AS id, 0 AS y, 2.5 AS x"), rules=RULES)
    assert found.problem is found.good_file is found.bad_file is None
    assert (found.rows, found.bad_rows, found.excluded) == (1, 0, "")
    assert found.columns == {"id": "integer", "y": "integer", "x": "number"}
    assert found.profile["x"].mean == 2.5


def test_bad_rows_are_parted_with_every_reason(check, tmp_path):
    query = (
        "SELECT * FROM (VALUES (1, 0, 1.0), (2, NULL, 20.0), (3, 1, -1.0), (4, 1, 2.0), "
        "(5, 0, 3.0)) v(id, y, x)"
    )
    found = check(parquet(tmp_path, query), rules=RULES)
    assert (found.problem, found.rows, found.bad_rows) == (None, 5, 2)
    assert [row[0] for row in rows(found.good_file)] == [1, 4, 5]
    assert rows(found.bad_file, "id, _reason") == [
        (2, "y is null; x is above 9"),
        (3, "x is below 0"),
    ]
    assert sorted(found.reasons) == [
        "x is above 9 in 1 of 5 rows",
        "x is below 0 in 1 of 5 rows",
        "y is null in 1 of 5 rows",
    ]
    assert found.profile["id"].rows == 3


def test_which_rows_are_left_out_is_told_apart(check, tmp_path):
    def of(hole):
        query = f"SELECT i AS id, nullif(i, {hole}) AS y FROM range(9) t(i)"
        return check(parquet(tmp_path, query)).excluded

    assert of(3) == of(3) != of(4)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT 1 AS id, 2.0 AS x", "the label column y is missing"),
        ("SELECT 1 AS id, 1 AS y", "column x is missing"),
        ("SELECT 1 AS id, 1 AS y, 'a' AS x", "column x is VARCHAR, expected number"),
        ("SELECT 1 AS id, 1 AS y, 1.0 AS x, 1 AS z", "column z is not in the schema"),
        ("SELECT 1 AS id, 1 AS y, [1] AS x", "which is no type for a model"),
        ("SELECT 1 AS id, 1 AS y, 1.0 AS x, 1 AS _reason", "column _reason is reserved"),
    ],
)
def test_another_schema_is_refused(check, tmp_path, query, why):
    found = check(parquet(tmp_path, query), rules=RULES)
    assert why in found.problem
    assert found.problem.startswith("The schema drifted")


def test_integers_are_numbers_and_nulls_are_anything(check, tmp_path):
    assert check(parquet(tmp_path, "SELECT 1 AS id, 1 AS y, 1 AS x"), rules=RULES).problem is None
    found = check(parquet(tmp_path, "SELECT 1 AS id, 1 AS y, NULL AS x"), rules=RULES)
    assert found.problem is None


def test_mostly_bad_rows_make_a_bad_file(check, tmp_path):
    found = check(parquet(tmp_path, "SELECT nullif(i, 1) AS y, i FROM range(1, 2) t(i)"))
    assert found.problem == "1 of 1 rows are bad: y is null in 1 of 1 rows"
    assert found.good_file is None


@pytest.mark.parametrize("file_format", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00\xff\xfe" * 50, b"\n\n\n"])
def test_poison_is_refused_with_a_reason(check, file_format, content):
    assert check(content, file_format).problem


def test_a_bent_parquet_file_never_breaks_the_check(check, tmp_path):
    good = parquet(tmp_path, "SELECT i AS id, i % 2 AS y, 'text' || i AS s FROM range(500) t(i)")
    rng = random.Random(7)
    refused = 0
    for _ in range(60):
        bent = bytearray(good)
        for _ in range(3):
            bent[rng.randrange(len(bent))] ^= rng.randrange(1, 256)
        refused += check(bytes(bent)).problem is not None
    assert refused > 10


def test_csv_rows_are_judged_one_by_one(check):
    content = (
        b'id,y,name\n1,0,"a, ""b"""\n2,1,\nthree,1,c\n4,1\n5,1,e,f\n6,3.5,g\n7,1,h\n8,0,i\n9,0,j\n'
    )
    rules = {"id": Rule("integer"), "y": Rule("integer"), "name": Rule("string")}
    found = check(content, "csv", rules)
    assert (found.problem, found.rows, found.bad_rows) == (None, 9, 4)
    assert rows(found.good_file) == [
        (1, 0, 'a, "b"'),
        (2, 1, None),
        (7, 1, "h"),
        (8, 0, "i"),
        (9, 0, "j"),
    ]
    reasons = [reason for (reason,) in rows(found.bad_file, "_reason")]
    assert sorted(reasons) == [
        "id does not read as integer",
        "the line is broken (missing columns)",
        "the line is broken (too many columns)",
        "y does not read as integer",
    ]


def test_types_of_csv_are_the_narrowest_that_fit(check):
    content = (
        b"y,n,b,d,t,s\n1,1.5,true,2026-01-01,2026-01-01 10:00:00,x\n"
        b"2,2,false,2026-01-02,2026-01-02,1\n"
    )
    assert check(content, "csv").columns == {
        "y": "integer",
        "n": "number",
        "b": "boolean",
        "d": "date",
        "t": "timestamp",
        "s": "string",
    }


def test_jsonl_rows_are_judged_one_by_one(check):
    content = b'{"y": 1, "s": "a"}\nrubbish\n[1]\n\n{"y": 2}\n{"y": 0, "s": "b", "z": null}\n'
    found = check(content, "jsonl")
    assert (found.problem, found.rows, found.bad_rows) == (None, 5, 2)
    assert rows(found.good_file, "y, s") == [(1, "a"), (2, None), (0, "b")]
    assert {r for (r,) in rows(found.bad_file, "_reason")} == {"the line is no JSON object"}


def test_columns_with_odd_names_are_quoted(check, tmp_path):
    query = """SELECT 1 AS y, 2 AS "a ""b"" 'c'; DROP TABLE source", 3 AS "select" """
    found = check(parquet(tmp_path, query))
    assert found.problem is None
    assert found.profile["""a "b" 'c'; DROP TABLE source"""].mean == 2


def test_allowed_values(check, tmp_path):
    query = "SELECT 1 AS y, CASE WHEN i < 9 THEN 'a' ELSE 'b''s' END AS s FROM range(10) t(i)"
    rules = {"y": Rule("integer"), "s": Rule("string", values=("a", "it's"))}
    found = check(parquet(tmp_path, query), rules=rules)
    assert found.reasons == ["s is none of the allowed values in 1 of 10 rows"]


def test_a_label_that_is_no_number_is_bad(check, tmp_path):
    query = "SELECT CASE WHEN i = 0 THEN 'nan'::DOUBLE ELSE 1.5 END AS y FROM range(9) t(i)"
    assert check(parquet(tmp_path, query)).reasons == ["y is NaN in 1 of 9 rows"]
