"""An alarm's event becomes one remedy: chosen once, written down, carried out by the registry."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.aws.recoveries import Recoverer, RemedyRequest, RemedyVerdict, choose_remedy
from headrace.aws.storage import Location
from headrace.deployment.alarms import Alarms, build_composite_alarm
from headrace.monitoring.layout import latest_report_key
from headrace.monitoring.report import MonitorReport, Report
from headrace.projects import archive_key, build_archive
from headrace.records import EndpointRecord, Key, RecoveryRecord, model_partition, now
from tests.unit import world
from tests.unit.deployment.alarmed import Alarmed
from tests.unit.deployment.endpoints import Endpoint
from tests.unit.deployment.registry import ENDPOINT, lived, register
from tests.unit.world import MODEL, World


class Recovering:
    """A model whose second version serves, and its alarms."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.alarmed = Alarmed()
        self.alarmed.states[f"{ENDPOINT}/server-errors"] = "ALARM"
        self.watch(Alarms())
        self.first, self.second = register(here), register(here)
        lived(here, self.first, 1)
        lived(here, self.second, 2)
        key = Key(pk="endpoints", sk=ENDPOINT)
        here.ledger.update(key, {"live_since": now()})
        self.endpoint = Endpoint()
        self.endpoint.status, self.endpoint.config = "InService", "config-v2"
        here.sagemaker.describe_endpoint = self.endpoint.describe_endpoint

    def watch(self, alarms: Alarms) -> None:
        """Leave the alarm that a deployment leaves."""
        composite = build_composite_alarm(alarms, endpoint=ENDPOINT, tags=[])
        assert composite is not None
        self.alarmed.put_composite_alarm(**composite)

    def ring(
        self, at: str = "12:00", execution: str = "e1", alarm: str = f"{ENDPOINT}/unhealthy"
    ) -> RemedyVerdict:
        detail = {"alarmName": alarm, "state": {"value": "ALARM", "timestamp": at}}
        request = RemedyRequest.model_validate({"detail": detail, "execution": execution})
        here = self.here
        return choose_remedy(
            request,
            Recoverer(here.settings, here.ledger, here.storage, here.sagemaker, self.alarmed),
        )

    def records(self) -> list[RecoveryRecord]:
        return list(self.here.ledger.query(RecoveryRecord, model_partition(MODEL), "recovery#"))


@pytest.fixture
def recovering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Recovering]:
    with world.aws(monkeypatch) as made:
        (tmp_path / "model.yaml").write_text(f"name: {MODEL}\ndata: {{label: defaulted}}\n")
        archive = build_archive(tmp_path)
        key = archive_key(MODEL, archive.version)
        made.storage.put_bytes(Location("headrace-data", key), archive.content, "application/gzip")
        made.ledger.put(world.model_record(project_version=archive.version))
        yield Recovering(made)


def test_an_alarm_soon_after_a_deployment_rejects_the_version_that_serves(
    recovering: Recovering,
) -> None:
    verdict = recovering.ring()
    assert verdict.remedy == "roll back"
    assert verdict.rejection is not None
    assert verdict.rejection["ModelPackageArn"] == recovering.second
    assert verdict.rejection["ModelApprovalStatus"] == "Rejected"
    assert verdict.chosen is not None
    assert verdict.chosen.alarms == [f"{ENDPOINT}/server-errors"]
    (record,) = recovering.records()
    assert (record.remedy, record.package_version, record.restore_version) == ("roll back", 2, 1)


def test_a_retry_repeats_its_verdict_and_a_second_event_does_nothing(
    recovering: Recovering,
) -> None:
    first = recovering.ring()
    assert recovering.ring() == first
    assert recovering.ring(execution="e2").remedy == "none"
    assert len(recovering.records()) == 1


def test_ten_times_on_and_off_is_one_rollback(recovering: Recovering) -> None:
    """Invariant 33."""
    remedies = [recovering.ring(f"12:0{n}", f"e{n}").remedy for n in range(10)]
    # Why nothing more is done is said once.
    assert remedies == ["roll back", "wait"] + ["none"] * 8
    told = [" ".join(record.reasons) for record in recovering.records()]
    assert sorted("the cooldown is 6 h" in each for each in told) == [False, True]


def test_what_rings_is_what_the_endpoint_has_whatever_was_published_since(
    recovering: Recovering,
) -> None:
    """The published project watches server errors; the deployed one watched an alarm of its own."""
    recovering.alarmed.states |= {"mine": "ALARM", f"{ENDPOINT}/server-errors": "OK"}
    recovering.watch(Alarms(server_errors=None, names=["mine"]))
    verdict = recovering.ring()
    assert verdict.remedy == "roll back"
    assert verdict.chosen is not None
    assert verdict.chosen.alarms == ["mine"]


def test_an_endpoint_that_serves_something_else_is_left_alone(recovering: Recovering) -> None:
    recovering.endpoint.config = "by-hand"
    verdict = recovering.ring()
    assert verdict.remedy == "wait"
    assert verdict.chosen is not None
    assert "it serves by-hand" in verdict.chosen.reasons[0]


def test_recovery_rejects_what_it_blamed_though_something_else_serves_by_now(
    recovering: Recovering,
) -> None:
    """A retry after a lost reply."""
    recovering.ring()
    lived(recovering.here, register(recovering.here), 3)
    verdict = recovering.ring()
    assert verdict.rejection is not None
    assert verdict.rejection["ModelPackageArn"] == recovering.second


@pytest.mark.parametrize(
    ("third", "remedy"),
    [
        ({"status": "rolled back", "package_version": 3, "replaces_version": 2}, "wait"),
        ({"status": "live", "package_version": 1, "replaces_version": 2}, "wait"),
        ({"status": "live", "package_version": 3, "replaces_version": 2}, "roll back"),
    ],
)
def test_who_went_back_a_moment_ago_does_not_go_further_back(
    recovering: Recovering, third: dict[str, object], remedy: str
) -> None:
    """Invariant 33: the bake's own alarm rings on after its rollback, and so may a person's."""
    recovering.here.ledger.update(
        Key(pk=model_partition(MODEL), sk="deployment#v2"), {**third, "ended_at": now()}
    )
    assert recovering.ring().remedy == remedy


def test_an_alarm_that_is_over_or_of_somebody_else_changes_nothing(recovering: Recovering) -> None:
    assert recovering.ring(alarm="headrace-other/unhealthy").remedy == "none"
    assert recovering.ring(alarm=f"{ENDPOINT}/server-errors").remedy == "none"
    assert recovering.records() == []
    recovering.alarmed.states[f"{ENDPOINT}/server-errors"] = "OK"
    verdict = recovering.ring()
    assert (verdict.remedy, verdict.rejection) == ("wait", None)


def test_paused_people_are_told_and_nothing_happens(recovering: Recovering) -> None:
    recovering.here.ledger.update(Key(pk="endpoints", sk=ENDPOINT), {"paused": "by Ann"})
    verdict = recovering.ring()
    assert verdict.remedy == "wait"
    assert verdict.chosen is not None
    assert verdict.chosen.reasons == ["automation is paused: by Ann"]


def test_a_model_without_an_endpoint_waits(recovering: Recovering) -> None:
    recovering.here.ledger.put(EndpointRecord(model=MODEL, endpoint=ENDPOINT))
    assert recovering.ring().remedy == "wait"


def drift(recovering: Recovering, version: int) -> str:
    """Let a monitor's alarm ring about a version; return its name."""
    name = f"{ENDPOINT}/feature-drift"
    dimensions = [{"Name": "Version", "Value": str(version)}]
    recovering.alarmed.put_metric_alarm(name, Dimensions=dimensions)
    recovering.alarmed.states = {name: "ALARM"}
    return name


def test_drift_asks_for_retraining_and_says_what_moved(recovering: Recovering) -> None:
    why = "car_value: psi is 1.2; 0.2 is the limit"
    monitor = MonitorReport(monitor="feature-drift", verdict="drifted", reasons=[why], rows=1000)
    report = Report(
        model=MODEL,
        endpoint=ENDPOINT,
        package_version=2,
        run="run",
        start="2026-11-21T13:00:00Z",
        end="2026-11-22T13:00:00Z",
        made_at="2026-11-22T13:00:09Z",
        verdict="drifted",
        reasons=[why],
        monitors=[monitor],
    )
    place = Location("headrace-artifacts", latest_report_key(MODEL))
    recovering.here.storage.put_bytes(place, report.to_json(), "application/json")
    verdict = recovering.ring(alarm=drift(recovering, 2))
    assert (verdict.remedy, verdict.rejection) == ("retrain", None)
    assert verdict.retraining is not None
    assert f"feature-drift: {why}" in verdict.retraining.reason
    (record,) = recovering.records()
    assert record.alarms == [f"{ENDPOINT}/feature-drift"]


def test_what_a_monitor_said_of_the_version_before_is_no_fault_of_the_next(
    recovering: Recovering,
) -> None:
    """Invariant 39: until the next report the alarm is the old version's, and changes nothing."""
    verdict = recovering.ring(alarm=drift(recovering, 1))
    assert (verdict.remedy, verdict.retraining, verdict.rejection) == ("wait", None, None)
    assert [record.alarms for record in recovering.records()] == [[]]
