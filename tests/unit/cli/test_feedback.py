"""`feedback` adds slots up to days: coverage, delays, contradictions, refused outcomes."""

import json
import re
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from headrace.monitoring.feedback import QualityDocument, delay_bucket
from headrace.records import OutcomesRecord
from headrace_cli.commands.feedback import in_words
from headrace_cli.exit_codes import ExitCode

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def put(version: int, start: datetime, **more: object) -> None:
    slot = start.strftime("%Y-%m-%dT%H-%M-%SZ")
    values = {"slot": slot, "seconds": 3600, "until": start, "problem": "binary"}
    document = QualityDocument.model_validate(values | more)
    boto3.client("s3").put_object(
        Bucket="headrace-artifacts",
        Key=f"monitoring/credit-risk/v{version}/quality/{slot}.json",
        Body=document.model_dump_json().encode(),
    )


def test_slots_of_all_versions_add_up_to_days(model, record, headrace) -> None:
    yesterday = TODAY - timedelta(days=1)
    two_hours = {delay_bucket(7200): 9, delay_bucket(86400): 1}
    put(1, yesterday, predictions=10, outcomes=6, contradictions=1, delays=two_hours)
    put(2, yesterday + timedelta(hours=3), predictions=10, outcomes=4)
    put(2, TODAY, predictions=5, outcomes=0, until=TODAY + timedelta(days=9))
    put(1, TODAY - timedelta(days=40), predictions=99, outcomes=99)
    record(
        OutcomesRecord(
            model="credit-risk",
            digest="d",
            status="accepted",
            object_key="outcomes/credit-risk/a.csv",
            version_id="v",
            received_at=TODAY.isoformat(),
            recorded_at=TODAY.isoformat(),
            rows=7,
            quarantined=3,
            reasons=["time is in the future in 3 of 10 rows"],
        )
    )
    found = json.loads(headrace("feedback", "credit-risk", "--json").stdout)
    first, second = found["days"]
    assert (first["day"], first["predictions"], first["outcomes"]) == (
        f"{yesterday:%Y-%m-%d}",
        20,
        10,
    )
    assert (first["share"], first["complete"], first["contradictions"]) == (0.5, True, 1)
    assert first["delay_seconds_median"] == pytest.approx(7200, rel=0.1)
    assert (second["predictions"], second["quarantined"]) == (5, 3)
    assert second["complete"] is False
    assert found["quarantined"][0]["rows"] == 3
    shown = headrace("feedback", "credit-risk").stdout
    assert "50%" in shown
    assert re.search(r"\d\.\d h", shown), shown
    assert "others may still come" in shown
    assert "time is in the future in 3 of 10 rows" in shown


def test_nothing_joined_yet(model, headrace) -> None:
    assert (
        "headrace outcomes FILE --model credit-risk" in headrace("feedback", "credit-risk").stdout
    )
    assert headrace("feedback", "fraud").exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("delay", "said"), [(None, ""), (3.2, "3 s"), (90, "1.5 min"), (7000, "1.9 h"), (2e6, "23.1 d")]
)
def test_delays_are_said_in_the_unit_that_fits(delay, said) -> None:
    assert in_words(delay) == said
