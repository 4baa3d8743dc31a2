import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.datasets.arrivals import (
    Arrival,
    belongs_to_a_drop,
    group,
    newest,
    pad_sequencer,
    place,
    quarantine_key,
    sequencer_after,
)
from headrace.errors import DropError

keys = st.text(
    alphabet=st.one_of(st.characters(blacklist_categories=("Cs",)), st.sampled_from("/./..+ %_ü")),
    max_size=40,
).map(lambda tail: f"drops/credit/d1/{tail}")
hexes = st.text("0123456789abcdefABCDEF", min_size=1, max_size=20)


def arrival(key="drops/credit/d1/a", sequencer="1", version="v"):
    return Arrival(
        key=key, size=1, etag="e", sequencer=pad_sequencer(sequencer), version_id=version
    )


@given(hexes, hexes)
def test_sequencers_compare_as_aws_says(one, other):
    width = max(len(one), len(other))
    numerically = int(one.ljust(width, "0"), 16) < int(other.ljust(width, "0"), 16)
    assert (pad_sequencer(one) < pad_sequencer(other)) == numerically


@given(hexes)
def test_a_found_object_follows_what_is_known_and_precedes_what_comes(sequencer):
    known = pad_sequencer(sequencer)
    assert known < sequencer_after(known) < pad_sequencer(sequencer + "1")


@given(keys)
def test_every_key_has_one_place_or_a_reason_and_a_safe_quarantine_key(key):
    target = quarantine_key(key)
    if belongs_to_a_drop(key):
        found = place(key)
        assert f"drops/{found.model}/{found.drop}/{found.path}" == key
        assert target == key.removeprefix("drops/")
    else:
        assert target.startswith("_/_/")
        assert not {"", ".", ".."} & set(target.split("/"))
        assert all(ord(character) >= 32 for character in target)


@given(st.sets(keys, max_size=8))
def test_no_two_keys_meet_in_quarantine(found):
    assert len({quarantine_key(key) for key in found}) == len(found)


@pytest.mark.parametrize(
    "key",
    [
        "drops/credit/file.parquet",
        "drops/credit//file.parquet",
        "drops/Credit/d1/file.parquet",
        "drops/credit/../file.parquet",
        "drops/credit/d1/../../other/d2/file.parquet",
        "drops/credit/d1/a//b",
        "drops/credit/d1/a\nb",
        "elsewhere/credit/d1/file.parquet",
    ],
)
def test_what_belongs_nowhere_is_told_why(key):
    with pytest.raises(DropError, match=r"drop|model|path"):
        place(key)


@given(st.lists(st.tuples(st.sampled_from("abc"), hexes)).flatmap(st.permutations))
def test_the_newest_of_a_key_wins_in_any_order(events):
    arrivals = [arrival(f"drops/credit/d1/{name}", sequencer) for name, sequencer in events]
    for key, found in newest(arrivals).items():
        assert found.sequencer == max(a.sequencer for a in arrivals if a.key == key)


def test_what_belongs_nowhere_is_alone():
    keys = ["drops/credit/d1/a", "drops/x", "drops/credit/d1/b", "drops/y", "drops/credit/d2/a"]
    groups = group((key, arrival(key)) for key in keys)
    assert [[key for key, _ in found] for found in groups] == [
        ["drops/credit/d1/a", "drops/credit/d1/b"],
        ["drops/x"],
        ["drops/y"],
        ["drops/credit/d2/a"],
    ]


@pytest.mark.parametrize("event", [{}, {"detail": {"object": {"key": "a"}}}, {"detail": None}])
def test_other_messages_are_refused(event):
    with pytest.raises(DropError, match="Object Created"):
        Arrival.from_event(event)
