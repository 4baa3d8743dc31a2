"""`predict` reads any format, sends as few requests as fit, and says who answered."""

import datetime
import json
import math
from pathlib import Path

import boto3
import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_cli.exit_codes import ExitCode
from headrace_cli.inference import batches, encode, read_rows, write_rows

PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/headrace-dev-credit-risk/3"


@pytest.fixture
def endpoint(model) -> str:
    sagemaker = boto3.client("sagemaker")
    role = "arn:aws:iam::123456789012:role/serving"
    sagemaker.create_model(
        ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"ModelPackageName": PACKAGE}
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName="c",
        ProductionVariants=[
            {
                "VariantName": "main",
                "ModelName": "m",
                "InitialInstanceCount": 1,
                "InstanceType": "ml.m5.large",
            }
        ],
    )
    sagemaker.create_endpoint(EndpointName=model.endpoint, EndpointConfigName="c")
    return str(model.endpoint)


def test_one_row(aws, endpoint, headrace) -> None:
    result = headrace("predict", "credit-risk", "--row", '{"a": 1}', "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["rows"] == [{"score": 0.5, "label": 1}]
    assert (document["variant"], document["version"]) == ("main", 3)
    assert document["runs"] == ["credit-risk-run1"]
    (call,) = aws.invocations
    assert call["path"] == f"/endpoints/{endpoint}/invocations"
    assert call["rows"] == [{"a": 1}]


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_every_format_in_and_out(aws, endpoint, headrace, tmp_path: Path, suffix: str) -> None:
    given = tmp_path / f"in.{suffix}"
    write_rows([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], given)
    out = tmp_path / f"out.{suffix}"
    result = headrace("predict", "credit-risk", "--input", given, "--output", out)
    assert result.exit_code == 0, result.output
    assert aws.invocations[0]["rows"] == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert read_rows(out)[1] == {"a": 2, "b": "y", "score": 0.5, "label": 1}
    assert sorted(p.name for p in tmp_path.glob("*.*")) == [given.name, out.name]


def test_what_json_has_no_words_for(tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    duckdb.sql(
        "select 'nan'::double as a, timestamp '2026-01-02 03:04:05' as t, 1.5::decimal(4,2) as d, "
        "null::integer as n, date '2026-01-02' as day"
    ).write_parquet(str(path))
    (row,) = read_rows(path)
    assert math.isnan(row["a"])
    assert isinstance(row["t"], datetime.datetime)
    assert json.loads(encode(row)) == {
        "a": None,
        "t": "2026-01-02T03:04:05",
        "d": 1.5,
        "n": None,
        "day": "2026-01-02",
    }


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=30), max_size=3)),
    st.integers(200, 600),
)
def test_batches_hold_every_row_once_in_order_and_fit(rows: list[dict], limit: int) -> None:
    bodies = list(batches(rows, limit))
    sent = [row for body in bodies for row in json.loads(body)["instances"]]
    assert sent == [json.loads(encode(row)) for row in rows]
    # The brackets around the rows are the only bytes beyond the limit.
    assert all(len(body) <= limit + 20 for body in bodies)


def test_a_large_batch_takes_several_requests(aws, endpoint, headrace, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    duckdb.sql("select range as a, repeat('x', 1000) as b from range(7000)").write_parquet(
        str(path)
    )
    result = headrace("predict", "credit-risk", "--input", path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["requests"] == 2
    assert len(document["rows"]) == 7000
    assert all(call["bytes"] < 6_291_456 for call in aws.invocations)


def test_the_container_refuses(aws, endpoint, headrace) -> None:
    aws.answer = lambda _: {
        "ErrorCode": "x",
        "OriginalMessage": "missing columns ['salary']",
        "Message": "Received client error",
    }
    result = headrace("predict", "credit-risk", "--row", '{"a": 1}')
    assert result.exit_code == ExitCode.NEGATIVE
    assert "missing columns ['salary']" in result.stderr


def test_fewer_answers_than_rows_is_a_fault(aws, endpoint, headrace) -> None:
    aws.answer = lambda _: {"predictions": []}
    result = headrace("predict", "credit-risk", "--row", '{"a": 1}')
    assert result.exit_code == ExitCode.FAILED


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--row", "{", "--input", "x.csv"],
        ["--row", "not json"],
        ["--row", "[1]"],
        ["--input", "/nowhere.csv"],
        ["--input", "/etc/hostname"],
    ],
)
def test_what_cannot_be_predicted_for(model, headrace, words: list[str]) -> None:
    result = headrace("predict", "credit-risk", *words)
    assert result.exit_code == ExitCode.USAGE
