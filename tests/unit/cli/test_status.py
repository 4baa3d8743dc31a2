"""`status` tells what is deployed, whether or not there is much to tell."""

import json
from collections.abc import Callable

from typer.testing import Result

from headrace.records import (
    DatasetRecord,
    DeploymentRecord,
    DropRecord,
    EndpointRecord,
    ModelRecord,
    RunRecord,
)

AT = "2026-01-02T00:00:0{}.000Z"


def test_an_empty_environment_says_what_to_do_next(aws, headrace: Callable[..., Result]) -> None:
    result = headrace("status")
    assert result.exit_code == 0
    assert "headrace-dev CREATE_COMPLETE" in result.stdout
    assert "headrace publish" in result.stdout


def test_everything_about_a_model_in_one_json_document(
    model: ModelRecord,
    record: Callable[..., None],
    package: Callable[[], str],
    headrace: Callable[..., Result],
) -> None:
    package()
    arn = package()
    record(
        DropRecord(
            model=model.model,
            drop="first",
            state="accepted",
            first_seen_at=AT.format(1),
            last_seen_at=AT.format(2),
            dataset_version="aaaa",
        ),
        DatasetRecord(
            model=model.model,
            dataset_version="aaaa",
            drop="first",
            uri="s3://headrace-data/datasets/credit-risk/aaaa",
            rows=100,
            files=2,
            accepted_at=AT.format(3),
        ),
        RunRecord(
            model=model.model,
            run="credit-risk-run1",
            status="better",
            reason="dataset accepted",
            dataset_version="aaaa",
            project_version="0123456789ab",
            execution_arn="arn",
            training_job="job",
            started_at=AT.format(4),
            package_arn=arn,
        ),
        DeploymentRecord(
            model=model.model,
            deployment="credit-risk-v1-x",
            status="live",
            endpoint=model.endpoint,
            package_arn=arn,
            package_version=1,
            execution_arn="arn",
            cause="approved",
            started_at=AT.format(5),
        ),
        EndpointRecord(
            model=model.model,
            endpoint=model.endpoint,
            package_arn=arn,
            package_version=1,
            live_since=AT.format(6),
        ),
    )
    result = headrace("status", "--json")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["models"]
    assert found["live_version"] == 1
    assert found["live_since"] == AT.format(6)
    assert found["endpoint_status"] is None
    assert found["pending_versions"] == [2, 1]
    assert found["last_drop"]["verdict"] == "accepted"
    assert found["last_dataset"] == {"version": "aaaa", "rows": 100}
    assert found["last_run"]["verdict"] == "better"
    assert found["last_deployment"]["version"] == 1
    table = headrace("status").stdout
    assert "credit-risk" in table
    assert "v2, v1" in table
