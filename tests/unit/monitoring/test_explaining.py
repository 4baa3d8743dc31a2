"""The endpoint is asked to explain a sample of what it answered, in small requests of our own."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from headrace.aws.monitoring.explaining import explain_sample
from headrace.aws.storage import Location
from headrace.monitoring.baseline import Attributions
from headrace_profiling.engine import Engine
from tests.unit import world
from tests.unit.world import World


class ModelError(Exception):
    """As boto3's."""


class Runtime:
    """An endpoint whose trees add the value of `score` twice, and nothing for `salary`."""

    exceptions = type("Exceptions", (), {"ModelError": ModelError})

    def __init__(self, fault: Exception | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.fault = fault

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        self.asked.append(request)
        rows = list(csv.DictReader(io.StringIO(request["Body"].decode())))
        contributions = [{"score": -2 * float(row["score"]), "salary": 0.0} for row in rows]
        answer = {"predictions": [{"score": 0.5, "contributions": each} for each in contributions]}
        return {"Body": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world.aws(monkeypatch) as made:
        yield made


def parts(here: World, folder: Path) -> list[str]:
    """Keep predictions of two requests; a column of the caller is called as one of ours is."""
    found = []
    for part in range(2):
        file = folder / f"{part}.parquet"
        duckdb.sql(
            f"copy (select 'r{part}' as id, i as \"row\", now() as at, 0.5 as score, 'x' as label, "
            f"'3' as \"input.score\", case when i = 7 then null else 'a, \"b\"' end as salary "
            f"from range(40) t(i)) to '{file}' (format parquet)"
        )
        place = Location("headrace-artifacts", f"part{part}")
        here.storage.upload(file, place)
        found.append(place.uri)
    return found


def ask(
    here: World, folder: Path, runtime: Runtime, rows: int = 200, **more: float
) -> Attributions | str:
    wanted = (["score", "salary", "never-sent"], rows, "e", here.storage, Engine(folder, 64))
    return explain_sample(parts(here, folder), *wanted, runtime, **more)


def test_a_sample_is_explained_in_batches_that_nobody_counts(here: World, tmp_path: Path) -> None:
    runtime = Runtime()
    found = ask(here, tmp_path, runtime)
    assert found == Attributions(rows=80, features={"score": 6.0, "salary": 0.0})
    assert [request["Body"].count(b"\n") - 1 for request in runtime.asked] == [50, 30]
    assert {request["CustomAttributes"] for request in runtime.asked} == {"headrace-explain"}
    ids = [request["InferenceId"] for request in runtime.asked]
    assert all(each.startswith("headrace-explain-") and len(each) <= 64 for each in ids)
    again = Runtime()
    ask(here, tmp_path, again)
    assert again.asked == runtime.asked
    few = ask(here, tmp_path, runtime, rows=30)
    assert isinstance(few, Attributions)
    assert few.rows == 30


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "said the service"}}, "InvokeEndpoint")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ModelError("this model has no contributions"), "this model has no contributions"),
        (refusal("ValidationError"), "cannot be asked now.*said the service"),
        (EndpointConnectionError(endpoint_url="https://runtime"), "no explanation in time"),
    ],
)
def test_an_endpoint_that_does_not_explain_itself_costs_no_report(
    here: World, tmp_path: Path, fault: Exception, told: str
) -> None:
    found = ask(here, tmp_path, Runtime(fault))
    assert isinstance(found, str)
    assert re.search(told, found)


def test_an_endpoint_that_may_not_be_asked_is_a_fault(here: World, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        ask(here, tmp_path, Runtime(refusal("AccessDeniedException")))


def test_a_slow_endpoint_is_not_waited_for(here: World, tmp_path: Path) -> None:
    found = ask(here, tmp_path, Runtime(), patience=-1)
    assert isinstance(found, Attributions)
    assert found.rows == 50
