"""`approve` and `reject` show the verdict, decide in the registry, and wait for the deployment."""

import json
import threading
import time

import boto3
import pytest

from headrace.records import DeploymentRecord, RunRecord
from headrace_cli.exit_codes import ExitCode

AT = "2026-01-02T00:00:00.000Z"


def described(arn: str) -> dict:
    return boto3.client("sagemaker").describe_model_package(ModelPackageName=arn)


def run_of(arn: str) -> RunRecord:
    return RunRecord(
        model="credit-risk",
        run="credit-risk-run1",
        status="better",
        reason="dataset accepted",
        dataset_version="aaaa",
        project_version="0123456789ab",
        execution_arn="arn",
        training_job="job",
        started_at=AT,
        metric="roc_auc",
        candidate_value=0.81,
        baseline_value=0.7,
        package_arn=arn,
        reasons=["roc_auc 0.81 is better than 0.7 of the baseline"],
    )


def test_the_newest_pending_package_is_approved_and_by_whom(
    model, record, package, headrace
) -> None:
    first, second = package(), package()
    record(run_of(second))
    result = headrace("approve", "credit-risk", "--reason", "looks good — truly")
    assert result.exit_code == 0, result.output
    assert result.stdout.index("roc_auc 0.81") < result.stdout.index("Approved v2")
    found = described(second)
    assert found["ModelApprovalStatus"] == "Approved"
    assert "arn:aws:sts::123456789012" in found["ApprovalDescription"]
    assert "looks good" in found["ApprovalDescription"]
    assert found["ApprovalDescription"].isascii()
    assert described(first)["ModelApprovalStatus"] == "PendingManualApproval"


def test_a_named_version_is_rejected(model, package, headrace) -> None:
    first = package()
    package()
    result = headrace("reject", "credit-risk", "--version", "1", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["version"], document["status"]) == (1, "Rejected")
    assert document["run"] is None
    assert described(first)["ModelApprovalStatus"] == "Rejected"


def test_nothing_to_approve_is_a_negative_verdict(model, headrace) -> None:
    result = headrace("approve", "credit-risk")
    assert result.exit_code == ExitCode.NEGATIVE
    assert "awaits approval" in result.stderr


def test_a_version_that_is_not_there(model, package, headrace) -> None:
    package()
    result = headrace("approve", "credit-risk", "--version", "7")
    assert result.exit_code == ExitCode.USAGE
    assert "there are: 1" in result.stderr


@pytest.mark.parametrize(
    ("status", "code"), [("live", ExitCode.OK), ("refused", ExitCode.NEGATIVE)]
)
def test_waiting_for_the_deployment(
    model, record, package, headrace, status: str, code: ExitCode
) -> None:
    arn = package()
    # A deployment of the same version that ended before is not the one waited for.
    record(deployment(arn, "old", "failed"))

    def deploy() -> None:
        while described(arn)["ModelApprovalStatus"] != "Approved":
            time.sleep(0.02)
        record(deployment(arn, "new", status, reasons=["the reason"]))

    thread = threading.Thread(target=deploy)
    thread.start()
    result = headrace("approve", "credit-risk", "--wait", "--timeout", "20", "--json")
    thread.join()
    assert result.exit_code == code, result.output
    assert json.loads(result.stdout)["deployment"]["deployment"] == "new"


def deployment(arn: str, name: str, status: str, **more: object) -> DeploymentRecord:
    return DeploymentRecord.model_validate(
        {
            "model": "credit-risk",
            "deployment": name,
            "status": status,
            "endpoint": "headrace-dev-credit-risk",
            "package_arn": arn,
            "package_version": 1,
            "execution_arn": "arn",
            "cause": "approved",
            "started_at": AT,
            **more,
        }
    )
