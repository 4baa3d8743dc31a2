"""Model packages: which await approval, and the approval itself, which is SageMaker's own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from headrace.records import DeploymentRecord, RunRecord, model_partition
from headrace_cli.errors import RefusedError, UsageError
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for

Decision = Literal["Approved", "Rejected"]
_PENDING = "PendingManualApproval"
# SageMaker's limit of ApprovalDescription (API reference, UpdateModelPackage).
_DESCRIPTION_LENGTH = 1024


@dataclass(frozen=True)
class Package:
    """One version in a model's package group."""

    model: str
    version: int
    arn: str
    status: str
    created_at: datetime
    description: str = ""


def packages(session: Session, model: str) -> list[Package]:
    """Return a model's packages, newest first; none when nothing was ever registered."""
    pages = (
        session.client("sagemaker")
        .get_paginator("list_model_packages")
        .paginate(
            ModelPackageGroupName=session.model(model).package_group,
            SortBy="CreationTime",
            SortOrder="Descending",
        )
    )
    found = [_package(model, s) for page in pages for s in page["ModelPackageSummaryList"]]
    return sorted(found, key=lambda p: p.version, reverse=True)


def choose(session: Session, model: str, version: int | None) -> Package:
    """Return the package to decide on: the one named, or the newest that awaits a decision.

    Raises:
        UsageError: there is no such version.
        RefusedError: none awaits a decision.
    """
    known = packages(session, model)
    if version is None:
        pending = next((p for p in known if p.status == _PENDING), None)
        if pending is None:
            raise RefusedError(
                f"No package of '{model}' awaits approval in environment "
                f"'{session.environment.name}'.",
                f"headrace runs {model} tells why; name another one with --version N.",
            )
        return pending
    named = next((p for p in known if p.version == version), None)
    if named is None:
        versions = ", ".join(str(p.version) for p in known) or "none"
        raise UsageError(f"'{model}' has no version {version}; there are: {versions}.")
    return named


def caller(session: Session) -> str:
    """Return who is asking, as AWS knows them."""
    return str(session.client("sts").get_caller_identity()["Arn"])


def decide(
    session: Session,
    package: Package,
    decision: Decision,
    reason: str,
    intents: Mapping[str, str] | None = None,
) -> str:
    """Approve or reject a package; return what the registry will remember about it.

    `intents` are what else a person means (`headrace.registry`), by its name in the metadata.
    """
    said = f"{decision} by {caller(session)} with headrace"
    text = f"{said}: {reason}" if reason else said
    # Only printable characters are legal there.
    text = re.sub(r"[^\x20-\x7E]+", " ", text)[:_DESCRIPTION_LENGTH]
    session.client("sagemaker").update_model_package(
        ModelPackageArn=package.arn,
        ModelApprovalStatus=decision,
        ApprovalDescription=text,
        **({"CustomerMetadataProperties": dict(intents)} if intents else {}),
    )
    return text


def run_of(session: Session, package: Package) -> RunRecord | None:
    """Return the run that made a package."""
    runs = session.ledger.query(RunRecord, model_partition(package.model), "run#")
    return next((r for r in runs if r.package_arn == package.arn), None)


def deployments(session: Session, model: str) -> list[DeploymentRecord]:
    """Return a model's deployments, oldest first."""
    found = session.ledger.query(DeploymentRecord, model_partition(model), "deployment#")
    return sorted(found, key=lambda d: d.started_at)


def wait_for_deployment(
    session: Session, model: str, known: set[str], timeout: float
) -> DeploymentRecord:
    """Wait for the verdict on a model's deployment that is not among the `known` ones.

    Raises:
        TimedOutError: none came in time.
    """

    def look() -> DeploymentRecord | None:
        return next(
            (d for d in deployments(session, model) if d.deployment not in known and not d.is_open),
            None,
        )

    return wait_for(
        look,
        f"the deployment of '{model}'",
        timeout=timeout,
        interval=session.environment.poll_seconds,
        hint=f"headrace watch {model}, or headrace logs {model} --stage deployment",
    )


def _package(model: str, summary: dict[str, Any]) -> Package:
    return Package(
        model=model,
        version=int(summary["ModelPackageVersion"]),
        arn=summary["ModelPackageArn"],
        status=summary["ModelApprovalStatus"],
        created_at=summary["CreationTime"],
        description=summary.get("ModelPackageDescription", ""),
    )
