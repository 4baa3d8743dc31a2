"""What a policy approves, and what no event can make it approve."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.registry import (
    REQUIRED_METADATA,
    Approval,
    Package,
    Refusal,
    decide,
    package_metadata,
)
from tests.architecture.service_arguments import faults, operation
from tests.unit.world import IMAGE, model_record, run_record

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/headrace-credit-risk/3"
RUN = run_record(status="better", package_arn=ARN, reason="roc_auc 0.97 is above 0.96")


def package(**changes: Any) -> Package:
    values = {
        "arn": ARN,
        "group": "headrace-credit-risk",
        "version": 3,
        "approval": "PendingManualApproval",
        "approval_description": None,
        "changed_at": "2026-11-22T07:00:00+00:00",
        "changed_by": None,
        "image": IMAGE,
        "artifact_uri": "s3://a/model.tar.gz",
        "metadata": {"run": RUN.run},
    }
    return Package.model_validate(values | changes)


def test_what_the_gate_passed_is_approved_with_its_reason() -> None:
    decision = decide(model_record(), RUN, package())
    assert isinstance(decision, Approval)
    assert "roc_auc 0.97 is above 0.96" in decision.reason


@pytest.mark.parametrize(
    ("model", "run", "changes", "told"),
    [
        (model_record(approval="manual"), RUN, {}, "a person approves"),
        (model_record(package_group="other"), RUN, {}, "not in the package group"),
        (model_record(), None, {}, "no run"),
        (model_record(), run_record(status="training"), {}, "no run"),
        (model_record(), run_record(status="not better", package_arn=ARN), {}, "no run"),
        (model_record(), RUN, {"arn": ARN + "1"}, "no run"),
        (model_record(), RUN, {"metadata": {"run": "another"}}, "run another"),
        (model_record(), RUN, {"approval": "Approved"}, "already Approved"),
        (model_record(), RUN, {"approval": "Rejected"}, "already Rejected"),
    ],
)
def test_a_forged_event_approves_nothing(
    model: Any, run: Any, changes: dict[str, Any], told: str
) -> None:
    """Invariant 28: whatever an event names, the ledger and the registry must agree."""
    decision = decide(model, run, package(**changes))
    assert isinstance(decision, Refusal)
    assert told in decision.reason


@given(
    versions=st.lists(st.text("0123456789abcdef", min_size=16, max_size=16), max_size=60),
    value=st.floats(0, 1),
    commit=st.none() | st.text("0123456789abcdef", min_size=40, max_size=40),
)
def test_metadata_is_complete_and_what_sagemaker_takes(
    versions: list[str], value: float, commit: str | None
) -> None:
    """Invariant 26, however much data a run read."""
    run = run_record(dataset_versions=versions, commit=commit, metric="roc_auc")
    metadata = package_metadata(run, artifact_sha256="d" * 64, value=value)
    assert set(REQUIRED_METADATA) <= set(metadata)
    found = operation("sagemaker:createModelPackage")
    assert found is not None
    shape = found.input_shape.members["CustomerMetadataProperties"]
    assert faults(shape, metadata) == []
