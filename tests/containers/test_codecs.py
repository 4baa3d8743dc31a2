"""Requests of every content type give the same columns; poison gives a sentence, never a fault."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_tabular.codecs import Expected, parse, render
from headrace_tabular.errors import RequestError
from headrace_tabular.model import Input
from tests.containers.jobs import parquet

INPUTS = (
    Input("amount", "number"),
    Input("member", "boolean"),
    Input("city", "text"),
    Input("since", "time"),
)
EXPECTED = Expected(INPUTS, ignored=("id",))
ROW = {"amount": 1.5, "member": True, "city": "Genève", "since": "2026-01-02T03:00:00Z"}
NULLS = dict.fromkeys(ROW)
LINES = b"1.5,true,Gen\xc3\xa8ve,2026-01-02T03:00:00Z\n,,,\n"
HEADER = b"amount,member,city,since\n"


def as_json(document):
    return json.dumps(document).encode()


BODIES = {
    "instances": (as_json({"instances": [ROW, NULLS]}), "application/json"),
    "list": (as_json([ROW, NULLS | {"id": 7}]), "application/json; charset=utf-8"),
    "columns": (
        as_json({"columns": {name: [value, None] for name, value in ROW.items()}}),
        "application/json",
    ),
    "jsonlines": (as_json(ROW) + b"\n\n" + as_json(NULLS) + b"\n", "application/jsonlines"),
    "csv": (LINES, "text/csv"),
    "csv with header": (HEADER + LINES, "text/csv"),
    "csv with stated header": (b"\xef\xbb\xbf" + HEADER + LINES, "text/csv; header=present"),
    "csv with another order": (
        b"city,id,since,member,amount\r\nGen\xc3\xa8ve,7,2026-01-02T04:00:00+01:00,1,1.50\r\n,,,,\r\n",
        "text/csv",
    ),
}


def check(columns):
    assert columns["amount"][0] == 1.5
    assert columns["member"][0] == 1.0
    assert columns["city"].tolist() == ["Genève", None]
    assert columns["since"][0] == np.datetime64("2026-01-02T03:00")
    assert np.isnan(columns["amount"][1])
    assert np.isnan(columns["member"][1])
    assert np.isnat(columns["since"][1])


@pytest.mark.parametrize("name", BODIES)
def test_every_content_type_gives_the_same_columns(name):
    check(parse(*BODIES[name], EXPECTED))


def test_parquet_gives_the_same_columns(tmp_path):
    query = """
        select 1.5::decimal(4, 2) as amount, true as member, 'Genève' as city, 7 as id,
            timestamp '2026-01-02 03:00' as since
        union all select null, null, null, null, null
    """
    body = parquet(tmp_path / "rows.parquet", query).read_bytes()
    check(parse(body, "application/x-parquet", EXPECTED))


POISON = {
    "empty": (b" \n", "application/json", "empty"),
    "not JSON": (b"{", "application/json", "the body is not JSON"),
    "deep": (b"[" * 100_000, "application/json", "the body is not JSON"),
    "not UTF-8": (b'{"amount": "\xff"}', "application/json", "the body is not JSON"),
    "NaN": (b'[{"amount": NaN}]', "application/json", "NaN, which is not JSON"),
    "overflow": (as_json([ROW]).replace(b"1.5", b"1e999"), "application/json", "inf is not"),
    "long integer": (
        as_json([ROW]).replace(b"1.5", b"9" * 400),
        "application/json",
        "'amount' has a number too large",
    ),
    "no rows": (b"[]", "application/json", "no rows"),
    "a number": (b"7", "application/json", "send "),
    "instances": (b'{"instances": 7}', "application/json", "send "),
    "not an object": (as_json([ROW, 7]), "application/json", "row 2 is not an object"),
    "missing": (as_json([ROW, {}]), "application/json", r"row 2: missing columns \['amount'"),
    "unknown": (as_json([ROW | {"x": 1}]), "application/json", r"unknown columns \['x'\]"),
    "text for number": (
        as_json([ROW, ROW | {"amount": "much"}]),
        "application/json",
        "row 2, column 'amount': 'much' is not a finite number",
    ),
    "boolean for number": (as_json([ROW | {"amount": True}]), "application/json", "True is not"),
    "number for text": (as_json([ROW | {"city": 5}]), "application/json", "5 is not text"),
    "list for text": (as_json([ROW | {"city": [1]}]), "application/json", r"\[1\] is not text"),
    "two for boolean": (as_json([ROW | {"member": 2}]), "application/json", "2 is not true"),
    "time": (as_json([ROW | {"since": "soon"}]), "application/json", "'soon' is not a time"),
    "far time": (
        as_json([ROW | {"since": "0001-01-01T00:00:00+10:00"}]),
        "application/json",
        "is not a time",
    ),
    "columns": (b'{"columns": [1]}', "application/json", "object of lists"),
    "ragged": (
        as_json({"columns": {name: [None] * (1 + (name == "city")) for name in ROW}}),
        "application/json",
        "different numbers of values",
    ),
    "bad line": (as_json(ROW) + b"\n{", "application/jsonlines", "line 2 is not JSON"),
    "short row": (b"1,2,3\n", "text/csv", "row 1 has 3 values for 4 columns"),
    "csv nan": (b"nan,1,x,\n", "text/csv", "column 'amount': 'nan' is not a finite number"),
    "csv word": (b"x,1,x,\n", "text/csv", "column 'amount': 'x' is not"),
    "csv header": (b"amount,wrong\n1,2\n", "text/csv", r"missing columns .* unknown columns"),
    "csv twice": (b"city,city\n1,2\n", "text/csv", "names a column twice"),
    "csv open quote": (b'"1,2,3,4\n', "text/csv", "not CSV"),
    "only a header": (HEADER, "text/csv", "no rows"),
    "not parquet": (b"PAR1....PAR1", "application/x-parquet", "cannot be read"),
}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_refused_with_what_and_where(name):
    body, content_type, said = POISON[name]
    with pytest.raises(RequestError, match=said) as raised:
        parse(body, content_type, EXPECTED)
    assert raised.value.status == 400


def test_another_content_type_is_415_and_parquet_of_another_type_is_named(tmp_path):
    with pytest.raises(RequestError, match="image/png") as raised:
        parse(b"x", "image/png", EXPECTED)
    assert raised.value.status == 415
    query = "select 'x' as amount, true as member, 'x' as city, date '2026-01-01' as since"
    body = parquet(tmp_path / "rows.parquet", query).read_bytes()
    with pytest.raises(RequestError, match="column 'amount' is VARCHAR: the model needs number"):
        parse(body, "application/x-parquet", EXPECTED)


@given(st.binary(max_size=60), st.sampled_from(["application/json", "text/csv"]))
def test_no_bytes_raise_anything_but_a_request_error(body, content_type):
    try:
        columns = parse(body, content_type, EXPECTED)
    except RequestError:
        return
    assert set(columns) == set(ROW)


@given(
    st.lists(
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        min_size=1,
        max_size=20,
    )
)
def test_csv_and_json_agree_on_every_number(values):
    expected = Expected(INPUTS[:1], ())
    from_json = parse(as_json({"columns": {"amount": values}}), "application/json", expected)
    text = "\n".join("" if value is None else repr(value) for value in values)
    lines = b"amount\n" + text.replace("\n\n", '\n""\n').encode()
    if None in values:
        return  # an empty line of CSV with one column is no row: there is nothing to compare
    from_csv = parse(lines, "text/csv", expected)
    np.testing.assert_array_equal(from_json["amount"], from_csv["amount"])


ANSWERS = [{"score": 0.25, "label": "no"}, {"score": 0.75, "label": "yes, really"}]
ABOUT = {"run": "run-1", "name": "m"}


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "image/png, application/json"])
def test_json_is_the_default_answer(accept):
    body, media = render(ANSWERS, accept, ABOUT)
    assert media == "application/json"
    assert json.loads(body) == {"predictions": ANSWERS, "model": ABOUT}


def test_csv_and_lines_have_one_line_for_each_row():
    assert render(ANSWERS, "text/csv", ABOUT)[0] == b'0.25,no\n0.75,"yes, really"\n'
    with_header = render(ANSWERS, "text/csv; header=present", ABOUT)[0]
    assert with_header.startswith(b"score,label\n0.25")
    lines, media = render(ANSWERS, "application/jsonlines", ABOUT)
    assert media == "application/jsonlines"
    assert [json.loads(line) for line in lines.splitlines()] == ANSWERS


def test_an_answer_nobody_can_write_is_406():
    with pytest.raises(RequestError, match="image/png") as raised:
        render(ANSWERS, "image/png", ABOUT)
    assert raised.value.status == 406
