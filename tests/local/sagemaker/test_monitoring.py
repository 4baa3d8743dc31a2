"""Monitoring schedules: kept, due, and run as processing jobs on captured data."""

import datetime as dt

import pytest

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.families.jobs import RESTARTED
from local.sagemaker.families.monitoring import MonitoringSchedules
from local.sagemaker.monitoring.clock import Clock
from local.sagemaker.monitoring.time import cadence, grouped, hours, seconds, window
from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import MemoryCloud
from tests.local.sagemaker.monitors import (
    HOURLY,
    NOW,
    data_quality,
    schedule,
)


def test_definitions_and_schedules_are_kept(service: SageMaker, cloud: MemoryCloud) -> None:
    """API_CreateDataQualityJobDefinition, API_CreateMonitoringSchedule and their kin."""
    service.call("CreateDataQualityJobDefinition", data_quality("drift"))
    listed = service.call("ListDataQualityJobDefinitions", {"EndpointName": "monitored"})
    assert [each["MonitoringJobDefinitionName"] for each in listed["JobDefinitionSummaries"]] == [
        "drift"
    ]
    with pytest.raises(ServiceError, match="Could not find endpoint"):
        service.call("CreateMonitoringSchedule", schedule("drift", HOURLY))
    endpoint = {"EndpointName": "monitored", "EndpointStatus": "InService"}
    service._context.store.insert("Endpoint", "monitored", "arn:monitored", endpoint)
    created = service.call("CreateMonitoringSchedule", schedule("drift", HOURLY))
    arn = "arn:aws:sagemaker:us-east-1:000000000000:monitoring-schedule/drift"
    assert created == {"MonitoringScheduleArn": arn}
    named = {"MonitoringScheduleName": "drift"}
    found = service.call("DescribeMonitoringSchedule", named)
    assert found["MonitoringScheduleStatus"] == "Scheduled"
    assert found["EndpointName"] == "monitored"
    service.call("StopMonitoringSchedule", named)
    (summary,) = service.call("ListMonitoringSchedules", {"StatusEquals": "Stopped"})[
        "MonitoringScheduleSummaries"
    ]
    assert summary["MonitoringType"] == "DataQuality"
    service.call("StartMonitoringSchedule", named)
    statuses = [
        detail["MonitoringScheduleStatus"] for kind, detail, _ in cloud.events if "Schedule" in kind
    ]
    assert statuses == ["Pending", "Scheduled", "Stopped", "Scheduled"]
    assert service.call("ListMonitoringAlerts", named) == {"MonitoringAlertSummaries": []}
    with pytest.raises(ServiceError, match="already exists") as duplicate:
        service.call("CreateMonitoringSchedule", schedule("drift", HOURLY))
    assert duplicate.value.code == "ResourceInUse"
    service.call("DeleteMonitoringSchedule", named)
    with pytest.raises(ServiceError, match="does not exist") as missing:
        service.call("DescribeMonitoringSchedule", named)
    assert missing.value.code == "ResourceNotFound"


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"ScheduleExpression": "cron(5 * ? * * *)"}, "is not supported. Use"),
        ({"ScheduleExpression": "cron(0 24 ? * * *)"}, "is not supported. Use"),
        ({"ScheduleExpression": "NOW"}, "are required when ScheduleExpression is NOW"),
        ({**NOW, "DataAnalysisStartTime": "-PT25H"}, "over 24 hours"),
        ({**NOW, "DataAnalysisStartTime": "-PT0H"}, "must precede its end"),
    ],
)
def test_schedules_that_cannot_run_are_refused(
    service: SageMaker, when: dict[str, str], message: str
) -> None:
    service.call("CreateDataQualityJobDefinition", data_quality("drift"))
    with pytest.raises(ServiceError, match=message):
        service.call("CreateMonitoringSchedule", schedule("drift", when))


def test_what_cannot_be_monitored_is_refused(service: SageMaker) -> None:
    with pytest.raises(ServiceError, match="Could not find the requested job definition"):
        service.call("CreateMonitoringSchedule", schedule("absent", HOURLY))
    transform = {
        "DataCapturedDestinationS3Uri": "s3://b/c",
        "DatasetFormat": {"Csv": {"Header": True}},
        "LocalPath": "/opt/ml/processing/input",
    }
    batch = data_quality("batch", DataQualityJobInput={"BatchTransformInput": transform})
    service.call("CreateDataQualityJobDefinition", batch)
    with pytest.raises(ServiceError, match=r"BatchTransformInput.* is not implemented locally"):
        service.call("CreateMonitoringSchedule", schedule("batch", HOURLY))
    long = data_quality("long", StoppingCondition={"MaxRuntimeInSeconds": 7200})
    service.call("CreateDataQualityJobDefinition", long)
    with pytest.raises(ServiceError, match="cannot exceed the frequency"):
        service.call("CreateMonitoringSchedule", schedule("long", HOURLY))


def test_times_and_windows() -> None:
    """API_ScheduleConfig: hours of a day; offsets count back from the scheduled time."""

    def runs(expression: str) -> list[int]:
        rhythm = cadence({"ScheduleExpression": expression})
        return [hour for hour in range(24) if rhythm.is_due(24 * 20_000 + hour)]

    assert runs("cron(0 * ? * * *)") == list(range(24))
    assert runs("cron(0 12 ? * * *)") == [12]
    assert runs("cron(0 17/12 ? * * *)") == [5, 17]
    assert runs("NOW") == []
    assert (seconds("-PT5H"), seconds("-P1D"), seconds("PT0S")) == (18000, 86400, 0)
    noon = dt.datetime(2026, 3, 7, 12, tzinfo=dt.UTC).timestamp()
    assert window(noon, HOURLY, {}, 3600) == (noon - 3600, noon)
    assert window(noon, {"ScheduleExpression": "cron(0 0/6 ? * * *)"}, {}, 3600)[0] == noon - 21600
    late = {"StartTimeOffset": "-P3D", "EndTimeOffset": "-P1D"}
    assert window(noon, HOURLY, late, 3600) == (noon - 3 * 86400, noon - 86400)
    assert hours(noon - 3600, noon) == ["2026/03/07/11"]
    day = hours(noon - 86400, noon)
    assert len(day) == 24
    assert grouped(day, 24) == day
    assert grouped(day, 4) == ["2026/03/06", "2026/03/07"]


def test_the_clock_makes_up_for_no_hour() -> None:
    """The hour that is under way at the start is not this instance's."""
    told: list[tuple[int, float]] = []
    clock = Clock(0.1, lambda tick, begun: told.append((tick, begun)), lambda: float("inf"))
    clock.start()
    wait_until(lambda: len({tick for tick, _ in told}) > 2, what="three hours")
    clock.close()
    first = told[0][0]
    assert {begun for tick, begun in told if tick == first} == {float("-inf")}
    later = [(tick, begun) for tick, begun in told if tick > first]
    assert all(begun == tick * 0.1 for tick, begun in later)


def test_an_interrupted_execution_says_so(service: SageMaker) -> None:
    """Its job was never made: the emulator was killed in between."""
    family = next(each for each in service._families if isinstance(each, MonitoringSchedules))
    summary = {
        "MonitoringScheduleName": "drift",
        "ScheduledTime": 1.0,
        "MonitoringExecutionStatus": "InProgress",
        "_job": "model-monitoring-197001010000-0",
        "_merged": True,
    }
    family._executions.create("197001010000-0", summary)
    family.start()
    family.close()
    (execution,) = service.call("ListMonitoringExecutions", {"StatusEquals": "Failed"})[
        "MonitoringExecutionSummaries"
    ]
    assert execution["FailureReason"] == RESTARTED
