import random

from hypothesis import given
from hypothesis import strategies as st

from headrace.datasets.assembly import assemble, dataset_version, file_names
from headrace.datasets.completeness import Manifest, ManifestFile
from headrace.datasets.inspection import (
    BATCH_BYTES,
    BATCH_FILES,
    FileVerdict,
    Findings,
    broken_promise,
    content_hash,
    judge_findings,
    plan_inspection,
)
from headrace.records import ObjectRecord
from tests.unit import world


def recorded(path, size=1):
    return ObjectRecord(
        model="credit",
        drop="d1",
        object_key=f"drops/credit/d1/{path}",
        version_id=f"v-{path}",
        sequencer="1",
        size=size,
        etag="e",
        seen_at="2026-11-22T00:00:00.000Z",
    )


def planned(objects, manifest=None, known=None, **data):
    definition = world.definition(data={"label": "y", **data})
    return plan_inspection(
        "credit", "d1", "p1", definition, objects, manifest, known or {}, 4 * BATCH_BYTES
    )


@given(st.lists(st.integers(0, 5 * BATCH_BYTES), max_size=200))
def test_batches_hold_every_file_once_within_bounds(sizes):
    plan = planned([recorded(f"{i:03}", size) for i, size in enumerate(sizes)])
    keys = [task.key for batch in plan.batches for task in batch]
    assert keys == [f"drops/credit/d1/{i:03}" for i in range(len(sizes))]
    for batch in plan.batches:
        taken = [task.size for task in batch if not task.refusal]
        assert 0 < len(batch) <= BATCH_FILES
        assert sum(taken) <= BATCH_BYTES or len(taken) == 1


def test_500_small_files_are_ten_batches_and_control_files_in_none():
    objects = [recorded(f"{i:03}") for i in range(500)]
    plan = planned([*objects, recorded("_manifest.json"), recorded("_SUCCESS")])
    assert len(plan.batches) == 10


def test_refusals_are_known_before_anything_is_read():
    manifest = Manifest(files=(ManifestFile(path="cut", size=2), ManifestFile(path="big")))
    objects = [recorded("cut", 1), recorded("big", 5 * BATCH_BYTES), recorded("extra")]
    refusals = {t.path: t.refusal or "" for t in planned(objects, manifest).batches[0]}
    assert "promises 2 bytes, the file has 1" in refusals["cut"]
    assert "split it" in refusals["big"]
    assert "does not name this file" in refusals["extra"]


def test_a_broken_manifest_refuses_every_file():
    plan = planned([recorded("a"), recorded("b")], "_manifest.json cannot be read")
    assert [t.refusal for t in plan.batches[0]] == ["_manifest.json cannot be read"] * 2


def test_the_schema_is_the_models_or_that_of_its_first_dataset():
    declared = planned([recorded("a")], None, {"y": "number"}, schema={"y": "integer"})
    assert declared.columns["y"].type == "integer"
    assert planned([recorded("a")], None, {"y": "number"}).columns["y"].type == "number"


def test_promises_are_held():
    promise = ManifestFile(path="a", size=3, sha256="a" * 64, rows=2)
    assert broken_promise(promise, 3, "a" * 64) is None
    assert "bytes" in str(broken_promise(promise, 2, "a" * 64))
    assert "sha256" in str(broken_promise(promise, 3, "b" * 64))
    assert "promises 2 rows, the file has 3" in str(judge_findings(promise, Findings(rows=3)))
    assert judge_findings(promise, Findings(rows=2, bad_rows=1)) is None


def test_content_depends_on_what_is_taken_and_how_it_is_read():
    whole = Findings(columns={"a": "integer"})
    part = Findings(columns={"a": "integer"}, excluded="row 3")
    retyped = Findings(columns={"a": "number"})
    assert content_hash("a" * 64, "parquet", whole) == "a" * 64
    found = {
        content_hash("a" * 64, "parquet", whole),
        content_hash("a" * 64, "parquet", part),
        content_hash("a" * 64, "csv", whole),
        content_hash("a" * 64, "csv", part),
        content_hash("a" * 64, "csv", retyped),
    }
    assert len(found) == 5


def verdict(key, content="c", accepted=True, columns=None, reasons=()):
    return FileVerdict(
        key=key,
        version_id="v",
        accepted=accepted,
        reasons=list(reasons),
        content_hash=content if accepted else None,
        rows=10 if accepted else 0,
        columns=columns or {"y": "integer"},
    )


@given(st.lists(st.sampled_from("abcd"), min_size=1), st.randoms())
def test_the_version_is_the_contents_alone(contents, rng: random.Random):
    one = assemble([verdict(f"drops/credit/d1/{i}", c) for i, c in enumerate(contents)])
    shuffled = rng.sample(contents, len(contents))
    other = assemble([verdict(f"drops/credit/other/{i}x", c) for i, c in enumerate(shuffled)])
    assert one.version == other.version == dataset_version(contents)
    assert sorted(file_names(one.accepted).values()) == sorted(file_names(other.accepted).values())
    assert len(set(file_names(one.accepted).values())) == len(contents)
    assert assemble([*one.verdicts, verdict("more", "e")]).version != one.version


def test_an_odd_file_does_not_cost_its_neighbours():
    odd = verdict("a", columns={"y": "string", "z": "integer"})
    made = assemble([odd, verdict("b"), verdict("c", columns={"y": "number"}), verdict("d")])
    assert [v.key for v in made.accepted] == ["b", "c", "d"]
    assert made.columns == {"y": "number"}
    assert made.quarantined_files == 1
    assert "column y is string, expected integer" in made.reasons[0]
    assert "column z is integer, not expected" in made.reasons[0]


def test_nothing_accepted_is_no_version():
    made = assemble([verdict("a", accepted=False, reasons=["poison"])])
    assert made.version is None
    assert made.reasons == ("a: poison",)
    assert "no data files" in assemble([]).reasons[0]
