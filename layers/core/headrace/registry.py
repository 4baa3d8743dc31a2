"""The model registry: what a package says of itself, and whether a policy may approve it.

Everything a package must carry (invariant 26) is in its customer metadata, because versioned
packages take no tags.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from headrace.records import EndpointRecord, ModelRecord, RunRecord

# Set by `headrace deploy --rollback`: the version that served when somebody meant to go back.
ROLLBACK_FROM = "rollback_from"
# Set by `headrace deploy --uncompared`: the version that served when somebody meant not to compare.
UNCOMPARED_WITH = "uncompared_with"
REQUIRED_METADATA = (
    "run",
    "data_hash",
    "dataset_version",
    "project_version",
    "image",
    "artifact_sha256",
    "metric",
    "value",
)
# CustomerMetadataValue, SageMaker's service model.
_MAX_VALUE_LENGTH = 256


class Package(BaseModel):
    """A version in the model registry, as DescribeModelPackage tells it."""

    model_config = ConfigDict(frozen=True)
    arn: str
    group: str
    version: int
    approval: str
    approval_description: str | None
    changed_at: str
    changed_by: str | None
    image: str
    artifact_uri: str
    metadata: dict[str, str]

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> "Package":
        """Read DescribeModelPackage's reply."""
        container = description["InferenceSpecification"]["Containers"][0]
        changed = description.get("LastModifiedTime") or description["CreationTime"]
        return cls(
            arn=description["ModelPackageArn"],
            group=description["ModelPackageGroupName"],
            version=description["ModelPackageVersion"],
            approval=description["ModelApprovalStatus"],
            approval_description=description.get("ApprovalDescription"),
            changed_at=changed.isoformat(),
            changed_by=_person(description.get("LastModifiedBy") or {}),
            image=container["Image"],
            artifact_uri=container["ModelDataUrl"],
            metadata=description.get("CustomerMetadataProperties", {}),
        )


def package_metadata(run: RunRecord, *, artifact_sha256: str, value: float) -> dict[str, str]:
    """Return what a package says of its origin; SageMaker takes no empty and no long values."""
    metadata: dict[str, str | None] = {
        "run": run.run,
        "data_hash": run.data_hash,
        "dataset_version": run.dataset_version,
        "dataset_versions": " ".join(run.dataset_versions)[:_MAX_VALUE_LENGTH],
        "project_version": run.project_version,
        "commit": run.commit,
        "image": run.image,
        "artifact_sha256": artifact_sha256,
        "metric": run.metric,
        "value": repr(value),
        "champion": run.champion_package_arn,
    }
    return {key: text for key, text in metadata.items() if text}


def serving(live: EndpointRecord) -> str:
    """Return what a person's intent must name to hold for what serves: that, and since when.

    So an old intent means nothing once something else served in between.
    """
    return f"{live.package_version} since {live.live_since}"


class Refusal(NamedTuple):
    """Why a policy does not approve."""

    reason: str


class Approval(NamedTuple):
    """What a policy approves, in words."""

    reason: str


def decide(model: ModelRecord, run: RunRecord | None, package: Package) -> Approval | Refusal:
    """Say whether the gate alone may approve this package.

    Only the ledger is believed: an event that names a package cannot make it pass.
    """
    if model.approval != "automatic":
        return Refusal(f"a person approves {model.model}: its model.yaml says approval: manual")
    if package.group != model.package_group:
        return Refusal(f"{package.arn} is not in the package group of {model.model}")
    if run is None or run.status != "better" or run.package_arn != package.arn:
        return Refusal(f"no run that the gate passed registered {package.arn}")
    if package.metadata.get("run") != run.run:
        return Refusal(f"{package.arn} says it is of run {package.metadata.get('run')}")
    if package.approval != "PendingManualApproval":
        return Refusal(f"{package.arn} is already {package.approval}")
    return Approval(f"Approved by policy: run {run.run} passed the gate: {run.reason}")


def _person(user: Mapping[str, Any]) -> str | None:
    """Return who changed a package, as far as UserContext says."""
    identity = user.get("IamIdentity", {})
    found = user.get("UserProfileName") or identity.get("Arn") or identity.get("PrincipalId")
    return str(found) if found else None
