"""May this package be deployed? Every reason why not, in words. Pure."""

from collections.abc import Iterable

from headrace.records import DeploymentRecord, EndpointRecord, ModelRecord, RunRecord
from headrace.registry import REQUIRED_METADATA, Package


def refusals(
    package: Package,
    model: ModelRecord | None,
    run: RunRecord | None,
    live: EndpointRecord | None,
    *,
    may_go_back: bool,
) -> list[str]:
    """Return every reason, in words, why a package may not be deployed, besides its contents.

    `may_go_back` says that whoever asked meant an older version than the one that serves.
    """
    reasons = []
    if package.approval != "Approved":
        reasons.append(f"the package is {package.approval}, not Approved")
    if model is None or package.group != model.package_group:
        reasons.append(f"package group {package.group} belongs to no published model of this stack")
    missing = [key for key in REQUIRED_METADATA if not package.metadata.get(key)]
    if missing:
        reasons.append(f"the package does not say its {', '.join(missing)}")
    if "@sha256:" not in package.image:
        reasons.append(f"the package's image {package.image} is not pinned by digest")
    if run is None or run.package_arn != package.arn:
        reasons.append("no run in the ledger registered the package")
    elif run.artifact_sha256 != package.metadata.get("artifact_sha256"):
        reasons.append("the package's artifact_sha256 is not the one its run recorded")
    if goes_back(package, live) and live and not may_go_back:
        reasons.append(
            f"version {live.package_version} serves, which is newer than {package.version}: "
            f"going back needs explicit intent (headrace deploy --version {package.version} "
            "--rollback)"
        )
    return reasons


def goes_back(package: Package, live: EndpointRecord | None) -> bool:
    """Tell whether a package is older than what serves."""
    return bool(live and live.package_version and live.package_version > package.version)


def superseding(package: Package, others: Iterable[DeploymentRecord]) -> DeploymentRecord | None:
    """Return the newest deployment of a newer version that waits behind this one, if any does."""
    newer = [d for d in others if d.status == "queued" and d.package_version > package.version]
    return max(newer, key=lambda d: d.package_version, default=None)
