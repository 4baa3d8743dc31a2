"""The model registry: package groups, and packages with their approval."""

from __future__ import annotations

import hashlib
import json

from local.sagemaker import events
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Family, operation
from local.sagemaker.resources import Kind, Resources
from local.sagemaker.store import Record

GROUP = Kind(
    name="ModelPackageGroup",
    slug="model-package-group",
    missing="ModelPackageGroup {arn} does not exist.",
    duplicate="Model Package Group already exists: {arn}",
)
KIND = Kind(
    name="ModelPackage",
    slug="model-package",
    missing="ModelPackage {arn} does not exist.",
    duplicate="Model Package already exists: {arn}",
    status="ModelPackageStatus",
)
_REFUSED = (
    "SourceAlgorithmSpecification",
    "ValidationSpecification",
    "AdditionalInferenceSpecifications",
    "AdditionalInferenceSpecificationsToAdd",
)
_PROPERTIES = 50  # API_UpdateModelPackage, CustomerMetadataProperties
_CHANGEABLE = (
    "ModelApprovalStatus",
    "ModelPackageRegistrationType",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)


class ModelPackageGroups(Family):
    """Operations on groups."""

    kind = GROUP

    @operation
    def create_model_package_group(self, request: Record) -> Record:
        """Make an empty group."""
        name = request["ModelPackageGroupName"]
        return self.resources.create(
            name, request, ModelPackageGroupStatus="Completed", CreatedBy={}, _versions=0
        )

    @operation
    def list_model_package_groups(self, request: Record) -> Record:
        """List groups; there is no other account to share any."""
        filters = dict(request)
        shared = filters.pop("CrossAccountFilterOption", "SameAccount") == "CrossAccount"
        return self.resources.list(filters, [] if shared else None)

    @operation
    def delete_model_package_group(self, request: Record) -> None:
        """Remove an empty group."""
        with self.context.store.lock:
            group = self.resources.get(request["ModelPackageGroupName"])
            name = group["ModelPackageGroupName"]
            packages = self.context.store.all(KIND.name)
            if any(package.get("ModelPackageGroupName") == name for package in packages):
                raise ServiceError(
                    "ConflictException",
                    f"Model Package Group {group['ModelPackageGroupArn']} still contains Model "
                    "Packages. Delete them first.",
                )
            self.resources.delete(name)


class ModelPackages(Family):
    """Operations on packages, versioned (in a group) or not."""

    kind = KIND

    def changed(self, record: Record) -> None:
        """Emit the package's state; it fires on approval changes too."""
        self.context.cloud.emit(
            "SageMaker Model Package State Change",
            events.detail("ModelPackage", record, events.iso),
            [record["ModelPackageArn"]],
        )

    @operation
    def create_model_package(self, request: Record) -> Record:
        """Add a package; the same ClientToken again returns the package it made."""
        _refuse(request, "CreateModelPackage")
        group, name = request.get("ModelPackageGroupName"), request.get("ModelPackageName")
        if group and name:
            raise invalid(
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot "
                "determine which one to use."
            )
        if not group and not name:
            raise invalid("Missing ARN.")
        package = {
            **request,
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "_token": request.get("ClientToken"),
            "_request": hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest(),
        }
        with self.context.store.lock:
            if made := self._made_by(package):
                return made
            if name:
                made = self.resources.insert(name, package)
            else:
                made = self._insert_version(group or "", package)
        self.changed(made)  # outside the lock: who listens may call
        return made

    def _insert_version(self, group_name: str, package: Record) -> Record:
        if package.get("Tags"):
            raise invalid("Tags cannot be given to a versioned model package; tag its group.")
        groups = Resources(GROUP, self.context.store, self.context.cloud)
        group = groups.get(group_name)
        name = group["ModelPackageGroupName"]
        version = group["_versions"] + 1
        groups.update(name, {"_versions": version})
        return self.resources.insert(
            f"{name}/{version}",
            package,
            ModelPackageName=name,
            ModelPackageGroupName=name,
            ModelPackageVersion=version,
            ModelApprovalStatus=package.get("ModelApprovalStatus", "PendingManualApproval"),
            ModelPackageRegistrationType=package.get("ModelPackageRegistrationType", "Registered"),
            CreatedBy={},
        )

    def _made_by(self, package: Record) -> Record | None:
        """Return the package an earlier call with the same ClientToken made."""
        token = package["_token"]
        for made in self.resources.all() if token else []:
            if made["_token"] != token:
                continue
            if made["_request"] != package["_request"]:
                message = f"ClientToken {token} was used for a different request."
                raise ServiceError("ConflictException", message)
            return made
        return None

    @operation
    def update_model_package(self, request: Record) -> Record:
        """Change the approval, or what describes a package."""
        _refuse(request, "UpdateModelPackage")
        name = self.resources.name(request["ModelPackageArn"])
        removed = request.get("CustomerMetadataPropertiesToRemove", [])
        added = request.get("CustomerMetadataProperties", {})

        def change(record: Record) -> None:
            properties = {**record.get("CustomerMetadataProperties", {}), **added}
            if len(properties) > _PROPERTIES:
                raise invalid(f"A model package has at most {_PROPERTIES} metadata properties.")
            record.update(
                {key: value for key, value in request.items() if key in _CHANGEABLE},
                CustomerMetadataProperties={
                    key: value for key, value in properties.items() if key not in removed
                }
                or None,
                LastModifiedBy={},
            )

        return self.resources.update(name, change)

    @operation
    def list_model_packages(self, request: Record) -> Record:
        """List a group's versions, or packages outside groups (the default), or both."""
        filters = dict(request)
        group = filters.pop("ModelPackageGroupName", None)
        kind = filters.pop("ModelPackageType", "Versioned" if group else "Unversioned")
        rows = self.resources.all()
        if group:
            groups = Resources(GROUP, self.context.store, self.context.cloud)
            name = groups.get(group)["ModelPackageGroupName"]
            rows = [row for row in rows if row.get("ModelPackageGroupName") == name]
        if kind != "Both":
            rows = [row for row in rows if ("ModelPackageVersion" in row) == (kind == "Versioned")]
        return self.resources.list(filters, rows)


def _refuse(request: Record, operation_name: str) -> None:
    for member in _REFUSED:
        if member in request:
            raise not_implemented(f"{operation_name} with {member}")
