"""`runs` lists verdicts and numbers, and shows one run with its evaluation."""

import json

import boto3
import pytest

from headrace.records import RunRecord
from headrace_cli.exit_codes import ExitCode


@pytest.fixture
def two_runs(model, record) -> None:
    evaluation = {
        "metric": "roc_auc",
        "candidate": {"metrics": {"roc_auc": 0.61, "brier": None}},
        "champion": {"metrics": {"roc_auc": 0.82, "brier": 0.1}},
        "baselines": {"simple": {"metrics": {"roc_auc": 0.7}}},
        "slices": [
            {
                "column": "region",
                "value": "north",
                "rows": 1200,
                "candidate": {"roc_auc": 0.6},
                "champion": None,
            }
        ],
    }
    boto3.client("s3").put_object(
        Bucket="headrace-artifacts", Key="e.json", Body=json.dumps(evaluation)
    )
    common = {
        "model": "credit-risk",
        "reason": "dataset accepted",
        "project_version": "0123456789ab",
        "execution_arn": "arn",
        "training_job": "job",
        "metric": "roc_auc",
    }
    record(
        RunRecord.model_validate(
            common
            | {
                "run": "run-1",
                "status": "better",
                "dataset_version": "aaaa",
                "started_at": "2026-01-01T00:00:00.000Z",
                "ended_at": "2026-01-01T00:01:05.000Z",
                "job_seconds": 12.5,
                "candidate_value": 0.82,
                "baseline_value": 0.7,
                "package_arn": "arn:aws:sagemaker:us-east-1:1:model-package/g/1",
            }
        ),
        RunRecord.model_validate(
            common
            | {
                "run": "run-2",
                "status": "not better",
                "dataset_version": "bbbb",
                "started_at": "2026-01-02T00:00:00.000Z",
                "candidate_value": 0.61,
                "champion_value": 0.82,
                "reasons": ["roc_auc 0.61 [worse] than 0.82"],
                "evaluation_uri": "s3://headrace-artifacts/e.json",
            }
        ),
    )


def test_the_newest_run_is_first(two_runs, headrace) -> None:
    result = headrace("runs", "credit-risk")
    assert result.exit_code == 0, result.output
    assert result.stdout.index("run-2") < result.stdout.index("run-1")
    assert "0.8200" in result.stdout
    assert "1 min 05 s" in result.stdout
    assert "v1" in result.stdout
    (newest,) = json.loads(headrace("runs", "credit-risk", "--limit", "1", "--json").stdout)
    assert newest["run"] == "run-2"


def test_one_run_in_full(two_runs, headrace) -> None:
    result = headrace("runs", "credit-risk", "run-2")
    assert result.exit_code == 0, result.output
    assert "roc_auc 0.61 [worse] than 0.82" in result.stdout
    assert "region = north" in result.stdout
    assert "1,200" in result.stdout
    assert "simple baseline" in result.stdout
    document = json.loads(headrace("runs", "credit-risk", "run-2", "--json").stdout)
    assert document["evaluation"]["champion"]["metrics"]["brier"] == 0.1


def test_a_run_that_is_not_there(two_runs, headrace) -> None:
    result = headrace("runs", "credit-risk", "run-9")
    assert result.exit_code == ExitCode.USAGE
