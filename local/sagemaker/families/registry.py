"""The model registry: package groups, and packages with their approval."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from local.sagemaker import events, shapes
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Family, operation
from local.sagemaker.families.model_cards import check_content
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
    "CertifyForMarketplace",
    "ManagedStorageType",
)
_PROPERTIES = 50  # API_UpdateModelPackage, CustomerMetadataProperties
_ADDITIONAL = 15  # API_UpdateModelPackage, AdditionalInferenceSpecificationsToAdd
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
    """Groups of model packages. Their policies are not enforced: there is one account."""

    kind = GROUP
    stored_only = frozenset(f"{verb}ModelPackageGroupPolicy" for verb in ("Put", "Get", "Delete"))

    @operation
    def create_model_package_group(self, request: Record) -> Record:
        """Make an empty group."""
        _refuse(request, "CreateModelPackageGroup", "ManagedConfiguration")
        name = request["ModelPackageGroupName"]
        return self.resources.create(
            name, request, ModelPackageGroupStatus="Completed", CreatedBy={}, _versions=0
        )

    @operation
    def list_model_package_groups(self, request: Record) -> Record:
        """List this account's groups."""
        filters = dict(request)
        if filters.pop("CrossAccountFilterOption", "SameAccount") != "SameAccount":
            raise not_implemented("ListModelPackageGroups with another account's groups")
        return self.resources.list(filters)

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

    @operation
    def put_model_package_group_policy(self, request: Record) -> Record:
        """Keep a group's resource policy; requests here are all of one account."""
        try:
            policy = json.loads(request["ResourcePolicy"])
        except ValueError as error:
            raise invalid(f"The resource policy is not JSON: {error}") from error
        if not isinstance(policy, dict) or not policy.get("Statement"):
            raise invalid("The resource policy has no Statement.")
        change = {"_policy": request["ResourcePolicy"]}
        return self.resources.update(request["ModelPackageGroupName"], change)

    @operation
    def get_model_package_group_policy(self, request: Record) -> Record:
        """Return a group's resource policy."""
        return {"ResourcePolicy": self._with_policy(request)["_policy"]}

    @operation
    def delete_model_package_group_policy(self, request: Record) -> None:
        """Remove a group's resource policy."""
        self.resources.update(
            self._with_policy(request)["ModelPackageGroupName"], {"_policy": None}
        )

    def _with_policy(self, request: Record) -> Record:
        group = self.resources.get(request["ModelPackageGroupName"])
        if "_policy" not in group:
            raise invalid(f"Cannot find resource policy for: {group['ModelPackageGroupArn']}")
        return group


class ModelPackages(Family):
    """Model packages with their approval, versioned (in a group) or not."""

    kind = KIND

    def changed(self, record: Record) -> None:
        """Emit the package's state; it fires on approval changes too."""
        self.context.cloud.emit(
            "SageMaker Model Package State Change",
            events.detail("ModelPackage", _shown(record), events.iso),
            [record["ModelPackageArn"]],
        )

    @operation
    def create_model_package(self, request: Record) -> Record:
        """Add a package; the same ClientToken again returns the package it made."""
        _refuse(request, "CreateModelPackage", *_REFUSED)
        group, name = request.get("ModelPackageGroupName"), request.get("ModelPackageName")
        if group and name:
            raise invalid(
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot "
                "determine which one to use."
            )
        if not group and not name:
            raise invalid("Missing ARN.")
        _check_card(request)
        _check_additional(request.get("AdditionalInferenceSpecifications", []))
        package = {
            **request,
            **self._from_source(request),
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "_token": request.get("ClientToken"),
            "_request": _digest(request),
        }
        with self.context.store.lock:
            if made := self._made_by(package):
                return made
            if name:
                package.pop("ModelApprovalStatus", None)  # "does not apply to unversioned models"
                made = self.resources.insert(name, package)
            else:
                made = self._insert_version(group or "", package)
        self._tell(made)  # outside the lock: who listens may call
        return made

    def _from_source(self, request: Record) -> Record:
        """Return the specification of the package that is cloned, or the model registered."""
        source = request.get("SourceUri", "")
        if "InferenceSpecification" in request or not source.startswith("arn:"):
            return {}
        if ":model-package/" in source:
            found = self.resources.get(source).get("InferenceSpecification")
            return {"InferenceSpecification": found} if found else {}
        if ":model/" not in source:
            return {}
        model = self.context.call("DescribeModel", {"ModelName": source.rsplit("/", 1)[-1]})
        containers = model.get("Containers") or [model["PrimaryContainer"]]
        described = [shapes.project(_container_shape(), each) for each in containers]
        return {"InferenceSpecification": {"Containers": described}}

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
                raise _token_conflict(token)
            return made
        return None

    @operation
    def update_model_package(self, request: Record) -> Record:
        """Change the approval, or what describes a version; the same ClientToken again does not."""
        name = self.resources.name(request["ModelPackageArn"])
        token, digest = request.get("ClientToken", ""), _digest(request)
        _check_card(request)
        removed = request.get("CustomerMetadataPropertiesToRemove", [])
        added = request.get("CustomerMetadataProperties", {})

        def change(record: Record) -> None:
            if "ModelPackageVersion" not in record:
                raise invalid(f"Model package {name} is not versioned and cannot be updated.")
            specifications = [
                *record.get("AdditionalInferenceSpecifications", []),
                *request.get("AdditionalInferenceSpecificationsToAdd", []),
            ]
            _check_additional(specifications)
            properties = {**record.get("CustomerMetadataProperties", {}), **added}
            if len(properties) > _PROPERTIES:
                raise invalid(f"A model package has at most {_PROPERTIES} metadata properties.")
            record.update(
                {key: value for key, value in request.items() if key in _CHANGEABLE},
                CustomerMetadataProperties={
                    key: value for key, value in properties.items() if key not in removed
                }
                or None,
                AdditionalInferenceSpecifications=specifications or None,
                LastModifiedBy={},
            )
            if token:
                record.setdefault("_updates", {})[token] = digest

        package = self.resources.get(name)
        known = package.get("_updates", {}).get(token)
        if known == digest:
            return package
        if known:
            raise _token_conflict(token)
        return self.resources.update(name, change)

    @operation
    def describe_model_package(self, request: Record) -> Record:
        """Describe a package, with or without its card's content."""
        package = self.resources.get(request["ModelPackageName"])
        if request.get("IncludedData") == "MetadataOnly" and "ModelCard" in package:
            package["ModelCard"].pop("ModelCardContent", None)
        return _shown(package)

    @operation
    def batch_describe_model_package(self, request: Record) -> Record:
        """Describe several packages; what goes wrong for one spares the others."""
        found, errors = {}, {}
        for arn in request["ModelPackageArnList"]:
            try:
                found[arn] = _shown(self.resources.get(arn))
            except ServiceError as error:
                errors[arn] = {"ErrorCode": error.code, "ErrorResponse": error.message}
        return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": errors}

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
        answer = self.resources.list(filters, rows)
        return {**answer, KIND.summaries: [_shown(each) for each in answer[KIND.summaries]]}


def _shown(package: Record) -> Record:
    """Return a package as it is answered: a version has no name of its own.

    AWS's sample event of a version has none, and the SDK then goes by the ARN.
    """
    hidden = "ModelPackageName" if "ModelPackageVersion" in package else None
    return {member: value for member, value in package.items() if member != hidden}


def specification_of(package: Record, name: str | None) -> Record:
    """Return a package's specification, or its additional one of that name."""
    if name is None:
        found: Record | None = package.get("InferenceSpecification")
    else:
        additional = package.get("AdditionalInferenceSpecifications", [])
        found = next((each for each in additional if each["Name"] == name), None)
    if not found:
        what = f"additional inference specification {name}" if name else "InferenceSpecification"
        raise invalid(f"{package['ModelPackageArn']} has no {what}.")
    return found


def _refuse(request: Record, operation_name: str, *members: str) -> None:
    for member in members:
        if request.get(member):
            raise not_implemented(f"{operation_name} with {member}")


def _check_card(request: Record) -> None:
    content = request.get("ModelCard", {}).get("ModelCardContent")
    if content is not None:
        check_content(content, "package_card")


def _check_additional(specifications: list[Record]) -> None:
    names = [specification["Name"] for specification in specifications]
    if len(names) > _ADDITIONAL or len(set(names)) != len(names):
        raise invalid(
            f"A model package has at most {_ADDITIONAL} additional inference specifications, with "
            "unique names."
        )


def _container_shape() -> Any:
    shape = shapes.operation_model("CreateModelPackage").input_shape
    return shape.members["InferenceSpecification"].members["Containers"].member


def _digest(request: Record) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _token_conflict(token: str) -> ServiceError:
    message = f"ClientToken {token} was used for a different request."
    return ServiceError("ConflictException", message)
