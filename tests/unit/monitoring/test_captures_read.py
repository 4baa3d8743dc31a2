"""What captured payloads mean: every shape the image takes, and what is wrong with others."""

import base64
import json
from datetime import timedelta

import pytest

from headrace_profiling import profile
from headrace_profiling.engine import Engine
from headrace_profiling.served import Wanted, profile_served, read_served
from tests.unit.monitoring.captured import BASE

NAMES = {"amount": "number", "name": "string", "sound": "boolean"}
ROWS = [(1.5, 'a "b", c', True), (None, "", False)]


def objects(rows=ROWS):
    return [dict(zip(NAMES, row, strict=True)) for row in rows]


def line(request, answer, encoding="JSON", at=BASE, **metadata):
    sides = {"endpointInput": request, "endpointOutput": answer}
    captured = {
        side: {"data": content, "encoding": encoding}
        for side, content in sides.items()
        if content is not None
    }
    told = {"eventId": "event", "inferenceTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"} | metadata
    return json.dumps({"captureData": captured, "eventMetadata": told})


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("spill"), 400, 2)
    with engine.session() as opened:
        yield opened
    engine.close()


@pytest.fixture
def read(connection, tmp_path):
    """Return a function that reads lines of a file: what was found, and the table's rows."""

    def reading(*lines, **wanted):
        path, table = tmp_path / "captured.jsonl", tmp_path / "table.parquet"
        path.write_text("\n".join(lines), encoding="utf-8")
        asked = Wanted(**{"inputs": NAMES, "within": [(BASE - timedelta(days=1), None)], **wanted})
        served = read_served(connection, {path: BASE}, table, asked)
        rows = connection.execute(f"FROM '{table}' ORDER BY id, row").fetchall()
        return served, rows, asked

    return reading


TWO = json.dumps({"predictions": [{"score": 0.25, "label": 0}, {"score": 1, "label": True}]})
QUOTED = '1.5,"a ""b"", c",True\r\n,,False\r\n'
EXPECTED = [("1.5", 'a "b", c', "true"), (None, "", "false")]


@pytest.mark.parametrize(
    ("request_", "encoding"),
    [
        (json.dumps({"instances": objects()}), "JSON"),
        (json.dumps(objects()), "JSON"),
        (json.dumps({"columns": {n: [r[i] for r in ROWS] for i, n in enumerate(NAMES)}}), "JSON"),
        (json.dumps([list(row) for row in ROWS]), "JSON"),
        ("\n".join(map(json.dumps, objects())) + "\n", "JSON"),
        (QUOTED, "CSV"),
        ("amount,name,sound\n" + QUOTED, "CSV"),
        ('sound,amount,name\nTrue,1.5,"a ""b"", c"\nFalse,,\n', "CSV"),
    ],
    ids=["instances", "objects", "columns", "arrays", "lines", "csv", "header", "other order"],
)
@pytest.mark.parametrize("is_base64", [False, True])
def test_every_shape_of_a_request_gives_the_same_rows(read, request_, encoding, is_base64):
    answer = TWO
    if is_base64:
        request_, answer = (base64.b64encode(t.encode()).decode() for t in (request_, TWO))
        encoding = "BASE64"
    served, rows, _ = read(line(request_, answer, encoding))
    assert (served.rows, served.unreadable) == (2, {})
    assert [row[:2] for row in rows] == [("event", 0), ("event", 1)]
    assert [row[3:5] for row in rows] == [(0.25, "0"), (1.0, "true")]
    found = [tuple(None if c in (None, "") else str(c).lower() for c in row[5:]) for row in rows]
    assert found == [tuple(c.lower() if c else None for c in row) for row in EXPECTED]


@pytest.mark.parametrize(
    ("answer", "encoding", "expected"),
    [
        ("0.25,0\n0.5,1\n", "CSV", [(0.25, "0"), (0.5, "1")]),
        ("score,label\n0.25,0\n0.5,1\n", "CSV", [(0.25, "0"), (0.5, "1")]),
        ("0.25\n0.5", "CSV", [(0.25, None), (0.5, None)]),
        ('{"predictions":[0.25,0.5]}', "JSON", [(0.25, None), (0.5, None)]),
        ('{"score":0.25,"label":"x"}\n{"score":0.5}\n', "JSON", [(0.25, "x"), (0.5, None)]),
        ("[[0.25,3],[0.5,null]]", "JSON", [(0.25, "3"), (0.5, None)]),
    ],
)
def test_every_shape_of_an_answer_is_read(read, answer, encoding, expected):
    # An encoding is of both sides here; requests in JSON are told by how they begin.
    request_ = QUOTED if encoding == "CSV" else json.dumps(objects())
    _, rows, _ = read(line(request_, answer, encoding))
    assert [row[3:5] for row in rows] == expected


def test_what_cannot_be_read_is_counted_with_its_reason(read):
    one, answer = json.dumps(objects()[:1]), '{"predictions":[{"score":1}]}'
    binary = base64.b64encode(b"PAR1\xff\x00").decode()
    served, rows, _ = read(
        line(one, answer),
        "{broken",
        "[1, 2]",
        "",
        line(one, answer, inferenceTime="yesterday"),
        line(one, None),
        line(None, answer),
        line(binary, answer, "BASE64"),
        line('{"a": [}', answer),
        line(one, TWO),
        line("[]", "[]"),
    )
    assert len(rows) == served.rows == 1
    assert served.unreadable == {
        "it is no captured record": 2,
        "it tells no time": 1,
        "its answer was not captured": 1,
        "its request was not captured": 1,
        "its request is binary": 1,
        "its request is neither JSON, JSON lines nor CSV": 1,
        "its answer has another number of rows than its request": 1,
        "its request has no rows": 1,
    }


def test_only_the_rows_of_their_time_and_no_requests_of_our_own(read):
    one, answer = json.dumps(objects()), TWO
    times = [BASE + timedelta(minutes=m) for m in (0, 10, 20, 30)]
    lines = [line(one, answer, at=t, inferenceId=f"id-{n}") for n, t in enumerate(times)]
    own = line(one, answer, inferenceId="headrace-smoke-7")
    served, rows, _ = read(
        *lines,
        own,
        within=[(BASE, times[1]), (times[3], None)],
        left_out=[(times[1], times[2])],
        own=["headrace-"],
    )
    assert (served.rows, served.left_out) == (4, 2)
    assert sorted({row[0] for row in rows}) == ["id-0", "id-3"]
    assert {row[2] for row in rows} == {t.replace(tzinfo=None) for t in (times[0], times[3])}


def test_columns_nobody_knew_are_kept_and_none_takes_the_place_of_headraces_own(read, connection):
    row = {"amount": 1, "id": 7, "new/~ one": "x", "AMOUNT": 2}
    served, rows, wanted = read(
        line(json.dumps({"instances": [row]}), "[0.5]"),
        column=lambda name: "input.id" if name == "id" else name,
        aside={"id"},
    )
    assert served.names == {
        "amount": "amount",
        "name": "name",
        "sound": "sound",
        "id": "input.id",
        "new/~ one": "new/~ one",
    }
    assert rows[0][5:] == ("1", None, None, "7", "x")
    inputs, _ = profile_served(connection, served, wanted)
    assert list(inputs.columns) == ["amount", "name", "sound", "new/~ one"]
    assert (inputs.columns["name"].nulls, inputs.rows) == (1, 1)


def test_the_profile_is_that_of_a_typed_table(read, connection, tmp_path):
    rows = [(n / 4, f"n{n % 3}", n % 2 == 0) for n in range(40)]
    answers = json.dumps({"predictions": [{"score": n / 40, "label": n % 2} for n in range(40)]})
    served, _, wanted = read(line(json.dumps(objects(rows)), answers), label="integer")
    inputs, predictions = profile_served(connection, served, wanted)
    table = tmp_path / "typed.parquet"
    connection.execute(
        f"COPY (SELECT n / 4 AS amount, 'n' || (n % 3) AS name, n % 2 = 0 AS sound, "
        f"n / 40 AS score, n % 2 AS label FROM range(40) AS t(n)) TO '{table}'"
    )
    typed = profile(table)
    for name, column in [*inputs.columns.items(), *predictions.columns.items()]:
        assert (column.mean, column.nulls) == (typed.columns[name].mean, 0)
        assert column.numbers == typed.columns[name].numbers
        assert column.categories == typed.columns[name].categories

    chosen, scores = profile_served(connection, served, wanted, ("sound", "true"))
    assert (chosen.rows, scores.rows) == (20, 20)
    assert list(chosen.columns["sound"].categories.items()) == [("true", 20)]
    assert profile_served(connection, served, wanted, ("amount", "1"))[0].rows == 1
    assert profile_served(connection, served, wanted, ("gone", "1"))[0].rows == 0


def test_large_requests_are_read_in_parts_within_the_same_memory(read):
    rows = [(n, "x" * 990, True) for n in range(5000)]
    answer = json.dumps({"predictions": [n for n, *_ in rows]})
    large = line(json.dumps(objects(rows)), answer)
    served, found, _ = read(
        *[large] * 4,
        line("\n".join(f"{n},{t},1" for n, t, _ in rows), "\n".join(map(str, range(5000))), "CSV"),
        line(json.dumps(objects()), TWO),
        line(json.dumps(objects(rows)), TWO),
        line(json.dumps(objects([(1, "x" * 2_000_000, True)])), "[1]"),
    )
    assert served.rows == 5 * 5000 + 2
    assert served.unreadable == {
        "it has rows of more than 524288 bytes": 1,
        "its answer has another number of rows than its request": 1,
    }
    assert {row[1] for row in found} == set(range(5000))
    assert all(row[3] == row[1] == int(row[5]) for row in found if row[3] not in (0.25, 1.0))
