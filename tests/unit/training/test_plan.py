"""What a run reads and is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.training.plan import Champion, Dataset, Plan, choose_datasets, job_name, plan
from tests.architecture.service_arguments import faults, operation
from tests.unit.world import IMAGE, dataset_record, definition, run_record, settings

CHAMPION = Champion(
    package_arn="arn:aws:sagemaker:eu-west-1:123456789012:model-package/headrace-credit-risk/1",
    artifact_uri="s3://headrace-artifacts/runs/credit-risk/old/output/job/output/model.tar.gz",
    dataset_versions=["d1"],
)


def files(*names: str) -> Dataset:
    return Dataset.model_validate({"files": [{"name": name, "rows": 1} for name in names]})


def planned(champion: Champion | None = CHAMPION, **sections: Any) -> Plan:
    return plan(
        run_record(),
        definition(**sections),
        settings(),
        datasets={"d1": files("0.parquet"), "d2": files("0.parquet", "1.parquet")},
        image=IMAGE,
        code_uri="s3://headrace-data/projects/credit-risk/a1b2c3d4e5f6/project.tar.gz",
        champion=champion,
    )


def test_the_job_reads_exactly_the_pinned_files() -> None:
    """Invariant 12: a manifest names every file; nothing is found by listing."""
    assert planned().manifest == [
        {"prefix": "s3://headrace-data/datasets/credit-risk/"},
        "d1/0.parquet",
        "d2/0.parquet",
        "d2/1.parquet",
    ]
    training = planned().request["InputDataConfig"][0]
    assert training["ChannelName"] == "training"
    assert training["DataSource"]["S3DataSource"] == {
        "S3DataType": "ManifestFile",
        "S3Uri": "s3://headrace-artifacts/runs/credit-risk/credit-risk-run/training.manifest",
        "S3DataDistributionType": "FullyReplicated",
    }


def test_the_request_is_one_sagemaker_takes() -> None:
    found = operation("sagemaker:createTrainingJob")
    assert found is not None
    assert faults(found.input_shape, planned().request) == []


def test_the_container_is_told_which_data_the_champion_knew() -> None:
    assert planned().config["datasets"] == [
        {"version": "d1", "role": "known"},
        {"version": "d2", "role": "new"},
    ]
    assert planned(champion=None).config["datasets"][0]["role"] == "new"


def test_the_champion_comes_along_if_there_is_one() -> None:
    def channels(made: Plan) -> list[str]:
        return [channel["ChannelName"] for channel in made.request["InputDataConfig"]]

    assert channels(planned()) == ["training", "code", "config", "champion"]
    assert channels(planned(champion=None)) == ["training", "code", "config"]
    assert planned().champion_package_arn == CHAMPION.package_arn


def test_the_container_is_told_what_the_project_says() -> None:
    config = planned(
        data={"label": "y", "entity": "who", "event_time": "when", "exclude": ["id"]},
        evaluation={
            "metric": "f1",
            "cost": {"false_positive": 1, "false_negative": 2},
            "slices": ["region"],
        },
        monitoring={"bias": {"facets": {"sex": ["f"]}}, "segments": ["region"]},
    ).config
    assert config == {
        "schema_version": 1,
        "run": "credit-risk-run",
        "model": "credit-risk",
        "problem": "binary",
        "data": {
            "label": "y",
            "entity": "who",
            "event_time": "when",
            "exclude": ["id"],
            "holdout": 0.2,
            "seed": "headrace",
        },
        "datasets": [{"version": "d1", "role": "known"}, {"version": "d2", "role": "new"}],
        "features": {"entrypoint": None},
        "training": {"entrypoint": None, "hyperparameters": {}},
        "serving": {"entrypoint": None},
        "evaluation": {
            "metric": "f1",
            "cost": {"false_positive": 1.0, "false_negative": 2.0},
            "slices": ["region"],
            "latency_ms": None,
        },
        "monitoring": {"facets": {"sex": ["f"]}, "segments": ["region"]},
    }
    assert planned().config["monitoring"] == {"facets": {}, "segments": []}


def test_every_attempt_has_a_job_of_its_own() -> None:
    assert job_name(settings(), "run") != job_name(settings(), "run-2")
    assert len(job_name(settings(STACK_NAME="s" * 60), "credit-risk-0123456789")) <= 63


moments = st.integers(0, 5).map(lambda minute: f"2026-11-01T00:0{minute}:00.000Z")
histories = st.lists(moments, min_size=1, max_size=8).map(
    lambda times: [dataset_record(f"v{i}", moment) for i, moment in enumerate(times)]
)


@given(data=st.data(), records=histories, window=st.none() | st.integers(1, 9))
def test_a_replayed_run_chooses_the_same_data(
    data: st.DataObject, records: list[Any], window: int | None
) -> None:
    """Datasets accepted later, and the order of listing, change nothing."""
    newest = data.draw(st.sampled_from(records))
    later = dataset_record("later", "2026-12-01T00:00:00.000Z")
    chosen = choose_datasets(records, newest.dataset_version, window)
    shuffled = data.draw(st.permutations([*records, later]))
    assert choose_datasets(shuffled, newest.dataset_version, window) == chosen
    assert chosen[-1] == newest
    assert len(chosen) <= (window or len(records))


def test_an_unknown_dataset_is_an_error() -> None:
    with pytest.raises(KeyError):
        choose_datasets([dataset_record("v1", "2026-11-01")], "v2", None)


def test_what_was_set_aside_is_left_out_but_for_its_own_run() -> None:
    spoilt = dataset_record("v2", "2026-11-02").model_copy(update={"set_aside": "labels turned"})
    records = [dataset_record("v1", "2026-11-01"), spoilt, dataset_record("v3", "2026-11-03")]
    chosen = [d.dataset_version for d in choose_datasets(records, "v3", None)]
    assert chosen == ["v1", "v3"]
    assert choose_datasets(records, "v3", 2)[0].dataset_version == "v1"
    assert choose_datasets(records, "v2", None)[-1] == spoilt
