"""What may be deployed, and what to do next about an endpoint."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.deployment.checks import refusals
from headrace.deployment.predictions import compare_predictions
from headrace.deployment.steps import EndpointState, next_step
from headrace.records import EndpointRecord
from headrace.registry import Package, package_metadata
from tests.unit.world import IMAGE, MODEL, model_record, run_record

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/headrace-credit-risk/3"
RUN = run_record(status="better", package_arn=ARN, artifact_sha256="d" * 64, metric="roc_auc")


def package(**changes: Any) -> Package:
    values = {
        "arn": ARN,
        "group": "headrace-credit-risk",
        "version": 3,
        "approval": "Approved",
        "approval_description": "looks good",
        "changed_at": "2026-11-22T07:00:00+00:00",
        "changed_by": "ada",
        "image": IMAGE,
        "artifact_uri": "s3://a/model.tar.gz",
        "metadata": package_metadata(RUN, artifact_sha256="d" * 64, value=0.97),
    }
    return Package.model_validate(values | changes)


def live(version: int) -> EndpointRecord:
    return EndpointRecord(model=MODEL, endpoint="headrace-credit-risk", package_version=version)


def test_an_approved_package_of_a_run_may_be_deployed() -> None:
    for served, meant in ((None, False), (live(2), False), (live(3), False), (live(4), True)):
        assert refusals(package(), model_record(), RUN, served, may_go_back=meant) == []


@pytest.mark.parametrize(
    ("changes", "model", "run", "served", "told"),
    [
        ({"approval": "PendingManualApproval"}, model_record(), RUN, None, "not Approved"),
        ({"approval": "Rejected"}, model_record(), RUN, None, "not Approved"),
        ({}, None, RUN, None, "belongs to no published model"),
        ({"group": "another"}, model_record(), RUN, None, "belongs to no published model"),
        ({"metadata": {"run": "r"}}, model_record(), RUN, None, "does not say its data_hash"),
        ({"image": "repository:latest"}, model_record(), RUN, None, "not pinned by digest"),
        ({}, model_record(), None, None, "no run in the ledger"),
        ({"arn": ARN + "0"}, model_record(), RUN, None, "no run in the ledger"),
        (
            {},
            model_record(),
            RUN.model_copy(update={"artifact_sha256": "e" * 64}),
            None,
            "is not the one its run recorded",
        ),
        ({}, model_record(), RUN, live(4), "going back needs explicit intent"),
    ],
)
def test_what_may_not_be_deployed_is_told(
    changes: dict[str, Any], model: Any, run: Any, served: Any, told: str
) -> None:
    """Invariants 27 to 29."""
    found = refusals(package(**changes), model, run, served, may_go_back=False)
    assert told in " | ".join(found)


BEFORE = "2026-11-22T07:00:00.000000+00:00"
AFTER = "2026-11-22T07:05:00.000000+00:00"


def state(
    status: str = "InService", config: str = "old", pending: str | None = None, at: str = BEFORE
) -> EndpointState:
    return EndpointState(
        status=status, config=config, pending_config=pending, changed_at=at, failure_reason=None
    )


@pytest.mark.parametrize(
    ("found", "since", "step"),
    [
        (None, None, "create"),
        (None, "", "create"),
        (state(config="new"), None, "finished"),
        (state(config="new", at=AFTER), BEFORE, "finished"),
        (state(), None, "update"),
        # The call after leaving the token was lost: the endpoint is untouched.
        (state(), BEFORE, "update"),
        # It came back in service on the old configuration: SageMaker rolled back.
        (state(at=AFTER), BEFORE, "finished"),
        (state("Failed", at=AFTER), "", "finished"),
        (state("Failed"), None, "delete"),
        (state("Updating", pending="new"), BEFORE, "wait"),
        (state("Creating", config="new", pending="new"), "", "wait"),
        (state("Updating", pending="other"), BEFORE, "busy"),
        (state("Updating", pending="new"), None, "busy"),
        (state("Deleting"), BEFORE, "busy"),
        (state("RollingBack", at=AFTER), BEFORE, "busy"),
        (state("SystemUpdating"), None, "busy"),
        (state("UpdateRollbackFailed", at=AFTER), BEFORE, "finished"),
    ],
)
def test_next_step(found: EndpointState | None, since: str | None, step: str) -> None:
    assert next_step(found, "new", since) == step


def test_what_settles_before_sagemaker_took_our_change_is_somebody_else_s() -> None:
    """Autoscaling between the token and the update must not look like a rollback."""
    assert next_step(state(at=AFTER), "new", BEFORE, asked=False) == "update"
    assert next_step(state(config="new", at=AFTER), "new", BEFORE, asked=False) == "finished"


def test_times_compare_whatever_zone_they_came_in() -> None:
    def described(moment: datetime) -> str:
        return EndpointState.of(
            {
                "EndpointStatus": "InService",
                "EndpointConfigName": "c",
                "LastModifiedTime": moment,
                "PendingDeploymentSummary": None,
            }
        ).changed_at

    early = datetime(2026, 11, 22, 7, tzinfo=UTC)
    late = (early + timedelta(milliseconds=1)).astimezone(timezone(timedelta(hours=-8)))
    assert described(early) < described(late)


PREDICTIONS = [{"score": 0.25, "label": 0}, {"score": 0.75, "label": 1}]


@given(noise=st.floats(-9e-6, 9e-6))
def test_predictions_within_tolerance_are_equal(noise: float) -> None:
    answered = [{**row, "score": row["score"] + noise} for row in PREDICTIONS]
    assert compare_predictions(PREDICTIONS, answered, 1e-5) == []


@pytest.mark.parametrize(
    "answered",
    [
        PREDICTIONS[:1],
        [{"score": 0.26, "label": 0}, PREDICTIONS[1]],
        [{"score": 0.25, "label": 1}, PREDICTIONS[1]],
        [{"score": None, "label": 0}, PREDICTIONS[1]],
        [{"score": float("nan"), "label": 0}, PREDICTIONS[1]],
        [{"label": 0}, PREDICTIONS[1]],
        [0.25, 0.75],
    ],
)
def test_other_predictions_are_not(answered: list[Any]) -> None:
    assert compare_predictions(PREDICTIONS, answered, 1e-5)


def test_scores_of_all_classes_are_compared() -> None:
    wanted = [{"label": "a", "scores": {"a": 0.6, "b": 0.4}}]
    assert compare_predictions(wanted, [{"label": "a", "scores": {"a": 0.6, "b": 0.4}}], 1e-5) == []
    assert compare_predictions(wanted, [{"label": "a", "scores": {"a": 0.6, "b": 0.1}}], 1e-5)
