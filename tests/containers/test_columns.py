"""Parquet of any type becomes columns of four kinds, and the matrix a model sees."""

from __future__ import annotations

import numpy as np
import pytest

from headrace_tabular.columns import is_null, read_parquet
from headrace_tabular.encoding import Feature, check_made, encode, learn, normal_features
from headrace_tabular.errors import DataError, ProjectError
from tests.containers.jobs import parquet

TYPES = """
    select 1::tinyint as small, 9007199254740991::hugeint as huge, 1.5::decimal(9, 2) as money,
        true as yes, 'é' as word, date '2026-01-02' as day, timestamptz '2026-01-02 03:00+01' as at,
        'b'::enum('a', 'b') as choice, uuid '00000000-0000-0000-0000-000000000001' as id
    union all select null, null, null, null, null, null, null, null, null
"""


def test_every_type_has_its_kind_and_null(tmp_path):
    table = read_parquet([parquet(tmp_path / "a.parquet", TYPES)])
    assert table.kinds == {
        "small": "number",
        "huge": "number",
        "money": "number",
        "yes": "boolean",
        "word": "text",
        "day": "time",
        "at": "time",
        "choice": "text",
        "id": "text",
    }
    first = {name: values[0] for name, values in table.columns.items()}
    assert (first["small"], first["huge"], first["money"], first["yes"]) == (1, 2**53 - 1, 1.5, 1)
    assert (first["word"], first["choice"]) == ("é", "b")
    assert first["day"] == np.datetime64("2026-01-02")
    assert first["at"] == np.datetime64("2026-01-02T02:00")
    assert all(is_null(values).tolist() == [False, True] for values in table.columns.values())


def test_files_are_matched_by_name_and_rows_know_their_file(tmp_path):
    files = [
        parquet(tmp_path / "one.parquet", "select 1 as a, 'x' as b"),
        parquet(tmp_path / "o'ne two.parquet", "select 'y' as b, 2.5 as a, 9 as added"),
    ]
    table = read_parquet(files)
    assert table.columns["a"].tolist() == [1.0, 2.5]
    assert table.columns["b"].tolist() == ["x", "y"]
    assert np.isnan(table.columns["added"][0])
    assert table.source.tolist() == [0, 1]


def test_a_column_of_no_kind_says_what_to_do_and_can_be_left_out(tmp_path):
    file = parquet(tmp_path / "a.parquet", "select 1 as a, [1, 2] as list, {'b': 1} as pair")
    with pytest.raises(DataError, match=r"'list' is a .*data\.exclude"):
        read_parquet([file])
    assert list(read_parquet([file], ignore=["list", "pair"]).columns) == ["a"]


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    file = tmp_path / "poison.parquet"
    file.write_bytes(b"PAR1 this is not parquet PAR1")
    with pytest.raises(DataError, match=r"poison\.parquet"):
        read_parquet([file])


def test_more_rows_than_allowed_are_not_read(tmp_path):
    file = parquet(tmp_path / "many.parquet", "select 1 as a from range(1001)")
    with pytest.raises(DataError, match="1,001 rows are more than 1,000"):
        read_parquet([file], max_rows=1000)


def text(*values):
    return np.array(values, dtype=object)


def test_unseen_rare_and_null_categories_have_codes_of_their_own():
    values = text(*["low"] * 10, *["high"] * 10, "once")
    target = np.array([0.0] * 10 + [1.0] * 10 + [1.0])
    (feature,) = learn({"level": values}, {"level": "text"}, target)
    assert feature.categories == ("low", "high")  # by the mean of the target
    codes = feature.encode(text("low", "high", "once", "never seen", None))
    assert codes.tolist()[:4] == [0, 1, 2, 2]
    assert np.isnan(codes[4])


def test_only_the_commonest_categories_are_kept():
    values = text(*(f"c{number % 300:03}" for number in range(3000)), *["often"] * 20)
    (feature,) = learn({"c": values}, {"c": "text"}, np.zeros(len(values)))
    assert len(feature.categories) == 255
    assert "often" in feature.categories


def test_times_are_days_and_infinities_are_null():
    features = [Feature("at", "time"), Feature("ratio", "number")]
    columns = {
        "at": np.array(["1970-01-02T12:00", "NaT"], dtype="datetime64[us]"),
        "ratio": np.array([np.inf, 1e300]),
    }
    matrix = encode(features, columns)
    assert matrix.dtype == np.float32
    assert matrix[0, 0] == 1.5
    assert np.isnan(matrix[1, 0])
    assert np.isnan(matrix[:, 1]).all()


def test_a_feature_survives_its_json():
    feature = Feature("level", "text", ("low", "high"))
    assert Feature.from_json(feature.to_json()) == feature


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "must return a dict"),
        ({}, "must return a dict"),
        ({"a": [1, 2]}, "'a' must be a numpy array"),
        ({"a": np.zeros(3)}, r"'a' has shape \(3,\) for 2 rows"),
        ({"a": np.zeros((2, 1))}, r"'a' has shape"),
        ({"a": np.zeros(2, dtype=complex)}, "'a' has dtype complex"),
    ],
)
def test_what_features_returns_is_checked(made, said):
    with pytest.raises(ProjectError, match=said):
        check_made(made, rows=2)


def test_features_must_make_the_same_columns_when_serving():
    kinds = check_made({"a": np.zeros(2), "b": np.array(["x", "y"])}, rows=2)
    assert kinds == {"a": "number", "b": "text"}
    with pytest.raises(ProjectError, match=r"did not return \['b'\]"):
        normal_features({"a": np.zeros(2)}, kinds)
