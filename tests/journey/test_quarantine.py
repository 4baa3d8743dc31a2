"""Bad data goes to quarantine with a reason a person understands; its neighbours go on."""

import json

import pytest

from headrace.records import ObjectRecord
from headrace_cli import quarantine
from tests.journey.conftest import Journey, wait

pytestmark = pytest.mark.journey


def test_poison_and_a_wrong_hash_are_set_apart(journey: Journey) -> None:
    """Invariants 1, 7 and 8."""
    journey.publish()
    files = journey.files(4)
    poison, tampered = files["part-2.parquet"], files["part-3.parquet"]
    poison.write_bytes(b"PAR1 this is not parquet PAR1")
    content = tampered.read_bytes()
    manifest = {
        "files": [{"path": name, "size": path.stat().st_size} for name, path in files.items()],
    }
    manifest["files"][3]["sha256"] = "0" * 64
    folder = poison.parent
    (folder / "_manifest.json").write_text(json.dumps(manifest))
    drop = journey.drop("may", {**files, "_manifest.json": folder / "_manifest.json"})

    assert drop.state == "accepted"
    assert (drop.files, drop.quarantined_files) == (2, 2)
    objects = journey.objects("may")
    assert {name: o.verdict for name, o in objects.items()} == {
        "_manifest.json": "accepted",
        "part-0.parquet": "accepted",
        "part-1.parquet": "accepted",
        "part-2.parquet": "quarantined",
        "part-3.parquet": "quarantined",
    }
    assert "parquet" in " ".join(objects["part-2.parquet"].reasons).lower()
    assert "sha256" in " ".join(objects["part-3.parquet"].reasons).lower().replace("-", "")

    # What was refused is kept, whole, with its reason beside it.
    s3, bucket = journey.client("s3"), journey.session.stack.quarantine_bucket
    kept = s3.get_object(Bucket=bucket, Key=f"{journey.model}/may/part-3.parquet")["Body"].read()
    assert kept == content
    reason = s3.get_object(Bucket=bucket, Key=f"{journey.model}/may/part-3.parquet.reason.json")
    assert json.loads(reason["Body"].read())


def test_bad_rows_are_set_apart_and_the_others_go_on(journey: Journey) -> None:
    journey.publish()
    spoiled = journey.files(
        1,
        query="select * replace (case when rowid % 10 = 0 then null else benign end as benign) "
        "from (select *, row_number() over () as rowid from sample)",
    )
    drop = journey.drop("may", spoiled)
    assert drop.state == "accepted"
    assert drop.rows is not None
    assert drop.quarantined_rows == 56
    assert drop.rows + drop.quarantined_rows == 569
    rows = journey.client("s3").list_objects_v2(
        Bucket=journey.session.stack.quarantine_bucket, Prefix=f"{journey.model}/may/"
    )["Contents"]
    assert any(o["Key"].endswith(".rows.parquet") for o in rows)


def test_a_drop_of_nothing_but_poison_trains_nothing(journey: Journey) -> None:
    journey.publish()
    files = journey.files(1)
    files["part-0.parquet"].write_bytes(b"poison")
    drop = journey.drop("may", files)
    assert drop.state == "quarantined"
    assert drop.dataset_version is None
    assert journey.runs() == []


def test_odd_names_arrive_as_they_are(journey: Journey) -> None:
    """Invariant 14, on the way through S3, events, the queue and the ledger."""
    journey.publish()
    path = next(iter(journey.files(1).values()))
    names = ["with space.parquet", "a+b.parquet", "grün/ünïcode.parquet", "q?x=1&y#z.parquet"]
    content = {}
    for number, name in enumerate(names):
        part = path.with_name(f"odd-{number}")
        part.write_bytes(journey.files(4)[f"part-{number}.parquet"].read_bytes())
        content[name] = part
    drop = journey.drop("odd names+1", content)
    assert drop.state == "accepted", drop.reasons
    assert drop.files == 4
    assert set(names) < set(journey.objects("odd names+1"))


def test_an_object_that_comes_too_late_is_kept_apart(journey: Journey) -> None:
    journey.publish()
    journey.drop("may", journey.files())
    late = journey.files(1)["part-0.parquet"].read_bytes()
    key = f"drops/{journey.model}/may/late.parquet"
    journey.client("s3").put_object(Bucket=journey.session.stack.data_bucket, Key=key, Body=late)

    def kept() -> ObjectRecord | None:
        shown = quarantine.quarantined(journey.session, journey.model, "may")
        return next((o for o in shown if o.object_key == key), None)

    assert "already sealed" in " ".join(wait(kept, "the late object in quarantine").reasons)


def test_the_same_content_is_the_same_dataset(journey: Journey) -> None:
    """Invariant 13: named by content, whatever the drop was called and however it was cut."""
    journey.publish()
    files = journey.files()
    first, second = journey.drop("may", files), journey.drop("again", files)
    assert first.dataset_version == second.dataset_version
    journey.run_on(first.dataset_version)
    assert len(journey.runs()) == 1
