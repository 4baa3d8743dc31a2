"""Slots in S3 become a report, its page, metrics, alarms of the version that serves, and a fact."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.aws.monitoring.reporting import JudgeRequest, JudgeVerdict, Watcher, judge_window
from headrace.aws.monitoring.windows import Slots
from headrace.aws.storage import Location
from headrace.monitoring.feedback import QualityDocument
from headrace.monitoring.judging import Learnt, Seen
from headrace.monitoring.layout import Slot, VersionFolder, baseline_key, latest_report_key
from headrace.monitoring.report import Report
from headrace.monitoring.slots import SlotDocument
from headrace.projects import archive_key, build_archive
from headrace.records import EndpointRecord
from headrace_profiling.engine import Engine
from tests.unit import world
from tests.unit.deployment.alarmed import Alarmed
from tests.unit.monitoring.judged import learnt, loans
from tests.unit.world import MODEL, World

BUCKET = "headrace-artifacts"
ENDPOINT = "headrace-credit-risk"
HOUR = 3600
LATEST = Location(BUCKET, latest_report_key(MODEL))
NOW = datetime.now(UTC).replace(microsecond=0)
PROJECT = f"""
name: {MODEL}
data: {{label: defaulted, entity: id}}
monitoring: {{quality: {{wait: 1s}}}}
"""


class Watching:
    """A model whose third version serves, its baseline, and the slots of its traffic."""

    def __init__(self, here: World, folder: Path) -> None:
        self.here = here
        self.folder = folder
        self.alarmed = Alarmed()
        self.serve(3)

    def serve(self, version: int) -> None:
        live = EndpointRecord(model=MODEL, endpoint=ENDPOINT, package_version=version, run="run")
        self.here.ledger.put(live)
        self.put(VersionFolder(MODEL, version).width_key, {"seconds": HOUR})

    def put(self, key: str, content: Any) -> None:
        self.here.storage.put_json(Location(BUCKET, key), content)

    def put_baseline(self, known: Learnt) -> None:
        document = {
            "schema_version": 1,
            "run": "run",
            "model": MODEL,
            "problem": "binary",
            "rows": known.seen.inputs.rows,
            "inputs": known.seen.inputs.as_dict(),
            "predictions": known.seen.predictions.as_dict(),
            "quality": {"kind": "binary", "counts": known.scored.counts.as_dict()},
            "attribution": None,
            "bias": {},
            "segments": {},
        }
        self.put(baseline_key(MODEL, "run"), document)

    def put_slot(self, hours_ago: float, seen: Seen, version: int = 3) -> str:
        slot = Slot.at(NOW - timedelta(hours=hours_ago), HOUR).name
        document = SlotDocument(
            slot=slot,
            seconds=HOUR,
            rows=seen.inputs.rows,
            inputs=seen.inputs.as_dict(),
            predictions=seen.predictions.as_dict(),
        )
        self.put(VersionFolder(MODEL, version).slot_key(slot), document.model_dump())
        return slot

    def judge(self, at: datetime | None = None) -> JudgeVerdict:
        here, engine = self.here, Engine(self.folder, 128)
        aws = Watcher(here.settings, here.storage, here.ledger, engine, self.alarmed, None)
        return judge_window(JudgeRequest(model=MODEL, at=at or NOW), aws)

    def report(self, uri: str) -> Report:
        return Report.model_validate(self.here.storage.get_json(Location.of(uri)))

    def exists(self, key: str) -> bool:
        return self.here.storage.exists(Location(BUCKET, key))


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Watching]:
    with world.aws(monkeypatch) as made:
        (tmp_path / "model.yaml").write_text(PROJECT)
        archive = build_archive(tmp_path)
        key = archive_key(MODEL, archive.version)
        made.storage.put_bytes(Location("headrace-data", key), archive.content, "application/gzip")
        made.ledger.put(world.model_record(project_version=archive.version))
        yield Watching(made, tmp_path)


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], float | None]:
    """Return what was published as Drifted, by version and monitor; no other dimension is there."""
    found = {}
    for line in capsys.readouterr().out.splitlines():
        entry = json.loads(line)
        (directive,) = entry["_aws"]["CloudWatchMetrics"]
        assert directive["Dimensions"] == [["Endpoint", "Version", "Monitor"]]
        assert directive["Namespace"] == "Headrace"
        found[entry["Version"], entry["Monitor"]] = entry.get("Drifted", [None])[0]
    return found


def test_slots_of_the_window_are_added_up_and_the_report_is_kept(
    watching: Watching, capsys: pytest.CaptureFixture[str]
) -> None:
    watching.put_baseline(learnt(watching.folder))
    for hours in (0, 5):
        watching.put_slot(hours, loans(watching.folder, 400, seed=hours, shift=60))
    watching.put_slot(30, loans(watching.folder, 1500))  # before the window
    watching.put_slot(1, loans(watching.folder, 1500), version=2)  # of another version
    verdict = watching.judge()
    assert (verdict.verdict, verdict.newsworthy) == ("drifted", True)
    report = watching.report(str(verdict.report_uri))
    drift = next(m for m in report.monitors if m.monitor == "feature-drift")
    assert (drift.verdict, drift.rows) == ("drifted", 800)
    page = str(verdict.report_uri).replace("report.json", "report.html")
    html = watching.here.storage.get_bytes(Location.of(page), 1 << 20).decode()
    assert "car_value" in html
    assert watching.exists(latest_report_key(MODEL))
    fact = verdict.reported
    assert fact is not None
    assert fact.drifted == ["data-quality", "feature-drift", "prediction-drift"]
    assert any("car_value: psi is" in reason for reason in fact.reasons)
    published = metrics(capsys)
    assert published["3", "feature-drift"] == 1
    # No outcome came: model quality is unsure, which says nothing either way.
    assert published.get(("3", "model-quality")) is None
    alarm = watching.alarmed.puts[f"{ENDPOINT}/feature-drift"]
    assert alarm["Dimensions"] == [
        {"Name": "Endpoint", "Value": ENDPOINT},
        {"Name": "Version", "Value": "3"},
        {"Name": "Monitor", "Value": "feature-drift"},
    ]
    assert (alarm["Period"], alarm["TreatMissingData"]) == (HOUR, "notBreaching")


def test_a_window_judged_again_is_news_again_and_the_next_one_is_not(watching: Watching) -> None:
    """A retry after a lost reply must not swallow what nobody heard."""
    watching.put_baseline(learnt(watching.folder))
    watching.put_slot(2, loans(watching.folder, 400, shift=60))
    at = NOW - timedelta(minutes=10)
    first, again = watching.judge(at), watching.judge(at)
    assert first.newsworthy
    assert again.newsworthy
    assert first.report_uri == again.report_uri
    later = watching.judge()
    assert (later.verdict, later.newsworthy) == ("drifted", False)
    trend = watching.report(str(later.report_uri)).trend
    assert len({point.at for point in trend}) == 2
    # An older window that is looked at later leaves the latest one alone.
    watching.judge(at)
    latest = watching.here.storage.get_json(Location(BUCKET, latest_report_key(MODEL)))
    assert latest["end"] == later.reported.end if later.reported else False


def test_the_alarm_of_the_version_before_is_gone_before_the_next_has_one(
    watching: Watching,
) -> None:
    watching.put_baseline(learnt(watching.folder))
    watching.judge()
    name = f"{ENDPOINT}/feature-drift"
    watching.alarmed.states[name] = "ALARM"
    watching.serve(4)
    watching.judge()
    assert watching.alarmed.states[name] == "INSUFFICIENT_DATA"
    assert {"Name": "Version", "Value": "4"} in watching.alarmed.puts[name]["Dimensions"]
    assert f"{ENDPOINT}/bias" not in watching.alarmed.states  # not switched on


def test_outcomes_of_closed_slots_are_measured_together(watching: Watching) -> None:
    known = learnt(watching.folder)
    watching.put_baseline(known)
    for hours in (4, 3, 0):
        watching.put_slot(hours, loans(watching.folder, 400))
    slot = watching.put_slot(3, loans(watching.folder, 2000))
    counts = known.scored.counts.as_dict()
    document = QualityDocument(
        slot=slot,
        seconds=HOUR,
        until=NOW,
        problem="binary",
        predictions=2000,
        outcomes=2000,
        delays={8: 1500, 12: 500},
        counts=counts,
    )
    key = VersionFolder(MODEL, 3).quality_key(slot)
    watching.put(key, document.model_dump(mode="json"))
    report = watching.report(str(watching.judge().report_uri))
    quality = next(m for m in report.monitors if m.monitor == "model-quality")
    # 2,000 outcomes of 2,400 predictions whose wait is over; those of this hour still have time.
    assert (quality.verdict, quality.rows) == ("healthy", 2000)
    assert report.feedback is not None
    known_of = report.feedback.predictions, report.feedback.outcomes, report.feedback.complete
    assert known_of == (2400, 2000, True)
    assert report.feedback.delay_seconds_median == pytest.approx(3, rel=0.2)


def test_without_a_baseline_or_traffic_it_is_unsure_and_no_news(watching: Watching) -> None:
    verdict = watching.judge()
    assert (verdict.verdict, verdict.newsworthy) == ("unsure", False)
    watching.here.ledger.put(EndpointRecord(model=MODEL, endpoint=ENDPOINT))
    assert watching.judge().verdict == "not serving"


def test_few_documents_of_a_window_are_in_memory_at_once(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2026, 11, 22, tzinfo=UTC)
    found = [Slot(start + n * timedelta(hours=1), HOUR) for n in range(40)]
    folder = VersionFolder(MODEL, 3)
    for slot in found:
        document = SlotDocument(slot=slot.name, seconds=HOUR, rows=2)
        watching.put(folder.slot_key(slot.name), document.model_dump())
    storage = watching.here.storage
    read: list[str] = []
    get = storage.get_bytes

    def counting(place: Location, limit: int) -> bytes:
        read.append(place.key)
        return get(place, limit)

    monkeypatch.setattr(storage, "get_bytes", counting)
    slots = Slots(folder, BUCKET, storage)
    documents = slots.documents(found)
    assert next(documents).slot == found[0].name
    assert len(read) <= 16
    assert [document.slot for document in documents] == [slot.name for slot in found[1:]]
    assert (slots.rows(found), len(read)) == (80, 40), "none is read twice"


def test_what_another_release_wrote_holds_nothing_up(watching: Watching) -> None:
    watching.put(latest_report_key(MODEL), {"schema_version": 2, "verdict": "odd"})
    watching.put(baseline_key(MODEL, "run"), {"schema_version": 2})
    watching.put_slot(1, loans(watching.folder, 400))
    verdict = watching.judge()
    assert verdict.verdict == "unsure"
    report = watching.report(str(verdict.report_uri))
    assert "train again" in report.notes[0]
    assert "schema version 2" in report.notes[0]
    assert Report.if_known(watching.here.storage.get_bytes(LATEST, 1 << 20)) == report


def test_drift_that_goes_on_is_news_of_the_next_version(watching: Watching) -> None:
    watching.put_baseline(learnt(watching.folder))
    told = []
    for minutes, version in ((0, 3), (1, 3), (2, 4), (3, 4)):
        watching.serve(version)
        watching.put_slot(1, loans(watching.folder, 400, shift=60), version=version)
        told.append(watching.judge(NOW - timedelta(minutes=10 - minutes)).newsworthy)
    assert told == [True, False, True, False]
