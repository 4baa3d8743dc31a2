"""The demo's data are what the story says, and the demo never calls a failure a success."""

import hashlib
import json
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path

import duckdb
import pytest
from botocore.exceptions import ClientError

from headrace.datasets.completeness import read_manifest
from headrace_cli.console import Console
from headrace_cli.demo.data import Story, prepare, project, requests, requests_of_today
from headrace_cli.demo.play import CHAPTERS
from headrace_cli.demo.telling import Chapter, Teller, document
from headrace_cli.demo.traffic import live_traffic
from headrace_cli.environments import ROOT
from headrace_cli.errors import FailedError
from headrace_cli.journey import Leg, Moment
from headrace_cli.waiting import wait_for


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return prepare(tmp_path_factory.mktemp("story"))


def test_the_damaged_drop_has_one_poison_file_and_one_that_changed(story: Story) -> None:
    promised = read_manifest((story.damaged / "_manifest.json").read_bytes()).by_path
    as_promised, readable = {}, {}
    for name, entry in promised.items():
        content = (story.damaged / name).read_bytes()
        assert entry.size == len(content)
        as_promised[name] = hashlib.sha256(content).hexdigest() == entry.sha256
        readable[name] = content.startswith(b"PAR1") and entry.rows is not None
    assert len(promised) == 4
    assert [name for name, same in as_promised.items() if not same] == [story.changed]
    assert [name for name, rows in readable.items() if not rows] == [story.poisoned]


def test_drops_have_no_loan_in_common_and_labels_are_flipped_in_one(story: Story) -> None:
    counts = duckdb.sql(
        f"""
        select count(*), count(distinct id) from read_parquet([
            '{story.first}/*.parquet', '{story.second}/*.parquet',
            '{story.flipped}/*.parquet', '{story.unseen}/*.parquet'])
        """
    ).fetchall()[0]
    assert counts[0] == counts[1] > 30_000

    def rate(folder: Path) -> float:
        query = f"select avg(defaulted) from read_parquet('{folder}/*.parquet')"
        return duckdb.sql(query).fetchall()[0][0]

    # Nearly every second loan is repaid, so it is the relation to a feature that flips.
    def relation(folder: Path) -> float:
        query = f"""select corr(debt_to_income_ratio, defaulted)
                    from read_parquet('{folder}/*.parquet')"""
        return duckdb.sql(query).fetchall()[0][0]

    assert 0.1 < rate(story.first) < 0.9
    assert relation(story.first) * relation(story.flipped) < 0


def test_every_chapter_can_be_played_in_order() -> None:
    assert list(CHAPTERS) == list(Chapter)


def test_the_careless_version_differs_only_where_the_story_says(
    story: Story, tmp_path: Path
) -> None:
    story = replace(story, folder=tmp_path)
    folder = project(
        story, "careless", {"features.py": [("SALARIES.get(text, np.nan)", "SALARIES[text]")]}
    )
    changed = (folder / "features.py").read_text()
    original = (ROOT / "models" / "credit-risk" / "features.py").read_text()
    assert changed.replace("SALARIES[text]", "SALARIES.get(text, np.nan)") == original != changed
    with pytest.raises(FailedError, match="which the demo changes"):
        project(story, "other", {"model.yaml": [("no such text", "")]})


def test_todays_customers_have_a_salary_range_that_no_drop_has(story: Story) -> None:
    known = duckdb.sql(
        f"select distinct salary_range from read_parquet('{story.folder}/[fst]*/*.parquet')"
    ).fetchall()
    before = {row["salary_range"] for row in requests(story)}
    today = [row["salary_range"] for row in requests_of_today(story)]
    assert before <= {salary for (salary,) in known}
    (new,) = set(today) - {salary for (salary,) in known}
    assert today.count(new) == len(today) / 10
    assert all("defaulted" not in row for row in requests(story))


class Runtime:
    """Answers by two runs in turn, and refuses every fourth request."""

    def __init__(self) -> None:
        self.numbers = count()
        self.bodies: set[bytes] = set()

    def invoke_endpoint(self, Body: bytes, **_: str) -> dict[str, BytesIO]:  # noqa: N803 — boto3's
        number = next(self.numbers)
        self.bodies.add(Body)
        if number % 4 == 3:
            error = {"Error": {"Code": "ModelError", "Message": "no"}}
            raise ClientError(error, "InvokeEndpoint")
        answer = {"predictions": [], "model": {"run": f"run-{number % 2}"}}
        return {"Body": BytesIO(json.dumps(answer).encode())}


def test_traffic_counts_who_answered_and_what_failed() -> None:
    runtime = Runtime()
    with live_traffic(runtime, "endpoint", [{"a": 1}, {"a": 2}]) as traffic:
        wait_for(lambda: traffic.requests >= 40 or None, "traffic", timeout=30, interval=0.01)
    answered = traffic.answered_by("run-0"), traffic.answered_by("run-1")
    assert sum(answered) + traffic.failed == traffic.requests == next(runtime.numbers)
    assert answered[0] > answered[1] > 0 < traffic.failed
    assert ["ModelError" in text for text in traffic.failures] == [True]
    assert runtime.bodies == {b'{"instances":[{"a": 1}]}', b'{"instances":[{"a": 2}]}'}


LEG = Leg("training", "run-1", "better", seconds=12.0, compute_seconds=10.0)


def test_one_broken_expectation_breaks_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller(Console())
    assert not teller.holds  # nothing was expected, so nothing is proven
    teller.expect("the sun rises", True, "it did")
    assert teller.holds
    teller.expect("pigs fly", False, "no pig was seen")
    assert not teller.holds
    teller.fact("dropped", "first: 10 rows")
    teller.summarise([LEG], 65.0)
    shown = capsys.readouterr().out
    assert "1 of 2 expectations hold: not as expected" in shown
    assert "pigs fly" in shown
    assert "1 min 05 s" in shown
    found = document(teller, [LEG], 65.0)
    assert found["holds"] is False
    assert found["legs"][0]["overhead_seconds"] == 2.0


def test_a_moment_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller(Console())
    moment = Moment("2026-01-01T00:00:00.000Z", "training", "r", "roc_auc [0.8]", "better")
    teller.moment(moment)
    teller.moment(moment)
    assert capsys.readouterr().out.count("better: roc_auc [0.8]") == 1
