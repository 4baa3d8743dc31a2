"""baseline.json: what monitors will compare with, against the data it was made of."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from headrace.monitoring.baseline import Baseline
from headrace_profiling import Profile, compare, model_monitor, profile
from headrace_profiling.bias import Facet
from headrace_profiling.model_quality import Binary, Multiclass
from headrace_tabular.columns import read_parquet
from headrace_tabular.monitoring import Profiler, words
from tests.containers import jobs
from tests.containers.conftest import FIRST, succeeded


@pytest.fixture(scope="module")
def baseline(champion: jobs.Job) -> Baseline:
    """The first model's, as monitors read it."""
    path = champion.base / "output" / "data" / "baseline.json"
    return Baseline.from_json(path.read_bytes())


def test_it_profiles_what_the_endpoint_is_asked_with(champion, baseline):
    inputs = Profile.from_dict(baseline.inputs)
    assert [*inputs.columns] == [item["name"] for item in champion.contract["inputs"]]
    whole = profile(FIRST)
    assert baseline.rows == inputs.rows == whole.rows
    for name, column in inputs.columns.items():
        # The files' own profile has the same counts; only sums were added in another order.
        ours, files = column.as_dict(), whole.columns[name].as_dict()
        assert [ours[key] for key in ("type", "rows", "nulls", "kinds", "texts")] == [
            files[key] for key in ("type", "rows", "nulls", "kinds", "texts")
        ]
        if column.numbers:
            assert column.numbers.bins == whole.columns[name].numbers.bins
            assert column.mean == pytest.approx(whole.columns[name].mean)


def test_its_quality_is_that_of_the_evaluation(champion, baseline):
    evaluation = champion.evaluation
    assert baseline.quality is not None
    counts = Binary.from_dict(baseline.quality.counts)
    assert counts.rows == evaluation["rows"]["holdout"]
    found, expected = counts.metrics(), evaluation["candidate"]["metrics"]
    for ours, theirs in (("auc", "roc_auc"), ("brier_score", "brier")):
        assert found[ours] == pytest.approx(expected[theirs], abs=1e-6)
    for name in ("accuracy", "precision", "recall", "f1", "log_loss"):
        assert found[name] == pytest.approx(expected[name], abs=1e-6)
    cost = counts.cost(120, 900)
    assert cost == pytest.approx(evaluation["candidate"]["cost"]["per_row"])
    predictions = Profile.from_dict(baseline.predictions)
    assert predictions.rows == counts.rows
    said = predictions.columns["label"].categories
    assert said["1"] == counts.confusion[:, 1].sum()


def test_its_groups_and_segments_are_the_columns_values(champion, baseline):
    with duckdb.connect() as connection:
        counted = "select salary_range, count(*) from read_parquet($files) group by 1"
        rows = connection.execute(counted, {"files": [str(file) for file in FIRST]}).fetchall()
    segments = baseline.segments["salary_range"]
    inputs = {value: Profile.from_dict(part.inputs) for value, part in segments.items()}
    assert {value: part.rows for value, part in inputs.items()} == dict(rows)
    together = list(inputs.values())
    merged = together[0]
    for part in together[1:]:
        merged += part
    whole = Profile.from_dict(baseline.inputs)
    for name, column in merged.columns.items():
        assert column.kinds == whole.columns[name].kinds
    answered = [Profile.from_dict(part.predictions).rows for part in segments.values()]
    assert sum(answered) == champion.evaluation["rows"]["holdout"]
    assert next(iter(segments)) == max(rows, key=lambda row: row[1])[0]
    group = baseline.bias["salary_range"]
    facet = Facet.from_dict(group.counts)
    assert group.values == ["0 - 20K €"]
    assert facet.rows[1] == Profile.from_dict(segments["0 - 20K €"].predictions).rows
    assert facet.post_training()["DPPL"] is not None


def test_model_monitor_can_read_it(champion, baseline):
    folder = champion.base / "output" / "data"
    statistics = model_monitor.read_statistics((folder / "statistics.json").read_bytes())
    constraints = model_monitor.read_constraints((folder / "constraints.json").read_bytes())
    assert statistics.columns.keys() == baseline.inputs["columns"].keys()
    # Its own data keep the constraints.
    assert model_monitor.check(constraints, Profile.from_dict(baseline.inputs), statistics) == []


WEIRD = """
    select i as id, (i * 37 % 101)::double + i % 3 * 40 as "width ""w"" [cm]", {} as "größe 😀",
        case when i % 2 = 0 then 'inf'::double when i % 3 = 0 then 'nan' else -1e308 end as wild,
        null::double as nothing, null::varchar as silent, 1.5::decimal(9, 2) as price,
        date '1969-12-31' + (i % 9)::integer as day, timestamptz '2026-03-29 02:30:00+02' as moment,
        case when i % 5 > 0 then i % 2 = 0 end as flag, 9007199254740993 + i as huge,
        'n' || i as name, repeat('long ', 1000) || i % 90 as essay,
        case when i % 11 > 0 then i % 4 end as score, ['a', 'b', 'c'][1 + i % 3] as label
    from range(600) r(i)
""".format("['ä', '\u202e', '', chr(1), null][1 + (i % 5)::integer]")


def test_columns_that_are_weird_are_profiled_or_named(base, tmp_path):
    job = succeeded(
        jobs.train(
            base,
            {"v1": ("new", [jobs.parquet(tmp_path / "weird.parquet", WEIRD)])},
            project={"model.yaml": "name: weird\n"},
            problem="multiclass",
            data={"label": "label", "entity": "id", "exclude": ["flag"]},
            features={"entrypoint": None},
            evaluation={"metric": "accuracy"},
            hyperparameters={"num_boost_round": "5"},
            monitoring={
                "facets": {"flag": ["true"]},
                "segments": ["flag", "score", "day", "silent", "gone"],
            },
        )
    )
    baseline = Baseline.from_json((base / "output" / "data" / "baseline.json").read_bytes())
    inputs = Profile.from_dict(baseline.inputs)
    warned = "\n".join(job.evaluation["warnings"])
    assert "'gone' of `monitoring.segments` is not in the data" in warned
    assert "bias will not be watched: it needs two classes, this is multiclass" in warned
    assert [*inputs.columns] == [item["name"] for item in job.contract["inputs"]]
    essay = inputs.columns["essay"]
    assert (essay.texts.count, essay.categories, essay.texts.frequent.complete) == (600, {}, False)
    assert compare(inputs, inputs).status != "drifted"
    assert baseline.classes == ["a", "b", "c"]
    assert {name: column.type for name, column in inputs.columns.items() if name != "huge"} == {
        'width "w" [cm]': "number",
        "größe 😀": "string",
        "wild": "number",
        "nothing": "null",
        "silent": "null",
        "price": "number",
        "day": "date",
        "moment": "timestamp",
        "name": "string",
        "essay": "string",
        "score": "integer",
    }
    wild = inputs.columns["wild"]
    assert (wild.infinities, wild.nans, wild.nulls) == (300, 0, 100)  # an endpoint is sent null
    assert inputs.columns["score"].nulls == 55
    assert baseline.quality is not None
    assert Multiclass.from_dict(baseline.quality.counts).rows == job.evaluation["rows"]["holdout"]
    # A column that the model never sees can be watched apart.
    assert {*baseline.segments["flag"]} == {"true", "false"}
    assert {*baseline.segments["score"]} == {"0", "1", "2", "3"}
    assert {*baseline.segments["day"]} >= {"1969-12-31T00:00:00.000000Z"}
    assert baseline.segments["silent"] == {}


def test_a_column_that_cannot_be_held_is_left_out_and_named():
    columns = {
        "good": np.array([1.0, np.nan]),
        "broken": np.array(["\ud800", "x"], dtype=object),  # half a character
    }
    warned: list[str] = []
    with duckdb.connect() as connection:
        types = {"good": "number", "broken": "string"}
        found = Profiler(connection).profile_each(columns, types, warned)
    assert [*found.columns] == ["good"]
    assert found.columns["good"].nulls == 1
    assert [line.split("'")[1] for line in warned] == ["broken"]
    assert "UTF-8" in warned[0]


def test_values_are_written_as_people_write_them(tmp_path):
    query = "select * from (values (1.0, 2.5, true), (null, 1e300, null)) v(a, b, c)"
    table = read_parquet([jobs.parquet(tmp_path / "values.parquet", query)])
    found = {name: words(values, table.kinds[name]) for name, values in table.columns.items()}
    assert {name: values.tolist() for name, values in found.items()} == {
        "a": ["1", None],
        "b": ["2.5", str(int(1e300))],
        "c": ["true", None],
    }
