"""A row's side never depends on any other row."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_tabular.columns import normal
from headrace_tabular.split import row_keys, share_of

ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32)),
        st.one_of(st.none(), st.text(max_size=5)),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=30,
)


def columns_of(rows):
    numbers = [np.nan if row[0] is None else row[0] for row in rows]
    return {
        "number": np.array(numbers, dtype=np.float64),
        "word": np.array([row[1] for row in rows], dtype=object),
        "entity": np.array([float(row[2]) for row in rows]),
    }


def held_out(rows, entity=None):
    keys = row_keys(columns_of(rows), entity, leave_out=["entity"] if entity is None else [])
    return list(share_of(keys, "seed") < 0.4)


@given(ROWS, st.randoms())
def test_the_order_of_rows_moves_none(rows, random):
    shuffled = list(enumerate(rows))
    random.shuffle(shuffled)
    sides = held_out(rows)
    assert held_out([row for _, row in shuffled]) == [sides[place] for place, _ in shuffled]


@given(ROWS, ROWS)
def test_more_rows_move_none(rows, more):
    assert held_out(rows + more)[: len(rows)] == held_out(rows)


@given(ROWS)
def test_a_column_of_nulls_moves_none(rows):
    columns = columns_of(rows)
    later = columns | {"added": np.full(len(rows), np.nan)}
    assert row_keys(later, None, []) == row_keys(columns, None, [])


@given(ROWS)
def test_all_rows_of_an_entity_are_on_one_side(rows):
    sides = {}
    for row, side in zip(rows, held_out(rows, "entity"), strict=True):
        assert sides.setdefault(row[2], side) == side


@given(ROWS)
def test_a_larger_share_keeps_the_rows_of_a_smaller_one(rows):
    share = share_of(row_keys(columns_of(rows), None, []), "seed")
    assert not ((share < 0.2) & ~(share < 0.3)).any()


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_share_is_held_out(share):
    found = share_of([str(number) for number in range(20_000)], "headrace") < share
    assert found.mean() == pytest.approx(share, abs=0.01)


def test_the_hash_is_the_published_one():
    """md5 of seed, unit separator and key: pinned, since a change would move every row."""
    digest = hashlib.md5(b"headrace\x1f42").hexdigest()
    assert share_of(["42"], "headrace")[0] == pytest.approx(int(digest[:16], 16) / 2**64)
    assert digest.startswith("eb28")


def test_an_integer_is_the_same_row_as_integer_and_as_float():
    whole = {"id": normal(np.array([7, 8]), "number")}
    with_null = {"id": normal(np.ma.masked_invalid([7.0, 8.0, np.nan]), "number")}
    assert row_keys(whole, "id", []) == row_keys(with_null, "id", [])[:2] == ["7", "8"]


def test_rows_without_entity_go_by_their_content():
    columns = columns_of([(1.0, "a", 0), (2.0, "b", 0), (3.0, "c", 0)])
    columns["entity"] = np.array([np.nan, np.nan, 5.0])
    keys = row_keys(columns, "entity", [])
    assert len(set(keys)) == 3
    assert keys[2] == "5"


def test_seeds_are_independent():
    keys = [str(number) for number in range(20_000)]
    both = (share_of(keys, "a") < 0.5) & (share_of(keys, "b") < 0.5)
    assert both.mean() == pytest.approx(0.25, abs=0.01)
