"""Buckets that are drawn: every row is in one, and their ends are numbers a person would choose."""

from collections.abc import Callable
from itertools import pairwise

import duckdb
import pytest

from headrace.monitoring.page.buckets import buckets_of
from headrace_profiling import ColumnProfile, profile

PAIRS = [
    ("sin(i) * 1000", "sin(i) * 500 + 900"),
    ("i * 37.1", "-i * 3.1e9"),
    ("exp(i / 50.0)", "exp(i / 60.0)"),
    ("1e300 * i", "1e-300 * i"),
    ("7.0", "i * 1e-9 + 7"),
    ("i % 5", "i % 7"),
    ("case when i % 3 = 0 then 'nan'::double when i % 5 = 0 then null else i / 7.0 end", "i"),
    ("date '2020-01-01' + i::int", "date '2021-01-01' + (i % 9)::int"),
    ("'c' || (i % 40)", "case when i % 2 = 0 then 'new' else 'c' || (i % 300) end"),
    ("i % 2 = 0", "null::boolean"),
    ("null::double", "null::double"),
    ("'v' || i", "'w' || i"),
    ("(i * 1.7e9)::bigint", "'a' || i"),
    ("case when i = 0 then 'infinity'::double else 5 end", "5"),
]
OTHERS = [
    "i / 10.0",
    "i / 10.0 + 50",
    "i % 3",
    "i % 4",
    "pow(10, i / 200.0)",
    "timestamp '2020-01-01' + interval (i) hour",
    "case when i % 2 = 0 then 'often' else 'c' || (i % 30) end",
    "case when i % 2 = 0 then 'often' else 'new' || (i % 6) end",
    "case when i % 4 = 0 then null else 1 end",
    "1",
]


@pytest.fixture(scope="module")
def column(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ColumnProfile]:
    """Profiles of a thousand values, by the SQL that makes them."""
    path = tmp_path_factory.mktemp("columns") / "all.parquet"
    wanted = list(dict.fromkeys([*(sql for pair in PAIRS for sql in pair), *OTHERS]))
    selected = ", ".join(f"{sql} as x{n}" for n, sql in enumerate(wanted))
    duckdb.sql(f"select {selected} from range(1000) t(i)").write_parquet(str(path))
    found = profile(path).columns
    return lambda sql: found[f"x{wanted.index(sql)}"]


@pytest.mark.parametrize(("baseline", "window"), PAIRS)
def test_every_row_is_in_one_bucket_and_ranges_are_in_order(column, baseline, window):
    found = buckets_of(column(baseline), column(window))
    assert sum(b.baseline for b in found) == 1000
    assert sum(b.window for b in found) == 1000
    assert all(b.baseline >= 0 <= b.window for b in found)
    assert len(found) <= 45
    assert len({b.label for b in found}) == len(found)
    ranges = [b for b in found if b.lower is not None or b.upper is not None]
    assert [b for b in ranges[1:-1] if b.lower is None or b.upper is None] == []
    for before, after in pairwise(ranges):
        assert before.upper is not None
        assert after.lower is not None
        assert before.upper <= after.lower


def test_steps_are_round_and_counted_in_the_right_bucket(column):
    found = buckets_of(column("i / 10.0"), column("i / 10.0 + 50"))
    assert [b.label for b in found[:2]] == ["0 … 10", "10 … 20"]
    assert (found[0].baseline, found[0].window) == (100, 0)
    assert (found[5].baseline, found[5].window) == (100, 100)
    assert (found[-1].lower, found[-1].upper) == (140, 150)


def test_few_numbers_and_flags_have_a_bucket_each(column):
    found = buckets_of(column("i % 3"), column("i % 4"))
    assert [(b.label, b.lower, b.upper) for b in found] == [
        ("0", 0, 0),
        ("1", 1, 1),
        ("2", 2, 2),
        ("3", 3, 3),
    ]
    assert [b.window for b in found] == [250] * 4


def test_wide_numbers_have_steps_that_grow_and_times_are_dates(column):
    wide = buckets_of(column("pow(10, i / 200.0)"), None)
    assert {"100 … 200", "200 … 500", "500 … 1,000"} <= {b.label for b in wide}
    assert all(b.window == 0 for b in wide)
    days = buckets_of(column("timestamp '2020-01-01' + interval (i) hour"), None)
    assert "2020-01-03 … 2020-01-05" in {b.label for b in days}


def test_categories_are_the_frequent_ones_and_what_is_new(column):
    old = column("case when i % 2 = 0 then 'often' else 'c' || (i % 30) end")
    new = column("case when i % 2 = 0 then 'often' else 'new' || (i % 6) end")
    found = {b.label: (b.baseline, b.window) for b in buckets_of(old, new)}
    assert found["often"] == (500, 500)
    assert found["new1"][0] == 0
    assert found["all others"][1] == 0
    assert len(found) == 13


def test_missing_values_are_counted(column):
    found = buckets_of(column("case when i % 4 = 0 then null else 1 end"), column("1"))
    assert [(b.label, b.baseline, b.window) for b in found] == [
        ("1", 750, 1000),
        ("missing", 250, 0),
    ]
    assert buckets_of(None, None) == []
