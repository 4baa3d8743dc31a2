"""Feature groups: their definition, their life, and what describes their features."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker import events
from local.sagemaker.clients import make_client
from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.families.base import Family, operation
from local.sagemaker.features import rules
from local.sagemaker.features.offline_store import OfflineStore
from local.sagemaker.features.record_store import RecordStore
from local.sagemaker.resources import Kind
from local.sagemaker.store import Record
from local.sagemaker.transfer import Location

_PARAMETERS = 25  # API_FeatureMetadata
logger = logging.getLogger(__name__)


class FeatureGroups(Family):
    """Feature groups, with an online store, an offline store, or both.

    A record keeps `_folder`, the name of its offline store's folder (see RecordStore), and
    `_described`, what UpdateFeatureMetadata said of each feature.
    """

    kind = Kind(
        name="FeatureGroup",
        slug="feature-group",
        missing="Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name {name}",
        missing_code="ResourceNotFound",
        duplicate="Resource Already Exists: FeatureGroup with name {name} already exists. Choose "
        "a different name.",
        duplicate_code="ResourceInUse",
        status="FeatureGroupStatus",
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.records = RecordStore(context.state / "features.db")
        self.offline = OfflineStore(context, self.records, self.of_folder, self._settle_offline)
        self.each_time: Callable[[], None] = lambda: None
        self.on_change: Callable[[str], None] = lambda _: None

    def start(self) -> None:
        """Go on with what was being made or deleted, and deliver rows from now on."""
        for record in self.resources.all():
            if record["FeatureGroupStatus"] == "Creating":
                self._in_background(record["FeatureGroupName"], self._provision)
            elif record["FeatureGroupStatus"] == "Deleting":
                self._in_background(record["FeatureGroupName"], self._remove)
        self.offline.start(self.each_time)

    def close(self) -> None:
        """Deliver the rows that are left."""
        self.offline.close()

    def changed(self, record: Record) -> None:
        """Let the operations on records see the change."""
        self.on_change(record["FeatureGroupName"])

    @operation
    def create_feature_group(self, request: Record) -> Record:
        """Begin to make a group."""
        name = request["FeatureGroupName"]
        rules.check_group(request)
        offline = request.get("OfflineStoreConfig")
        if offline:
            self.context.assume(request["RoleArn"], name)
        if self.context.store.get(self.kind.name, name):
            raise ServiceError("ResourceInUse", self.kind.duplicate.format(name=name))
        folder = self.records.claim(name, int(time.time()))
        record = {
            **request,
            "FeatureGroupStatus": "Creating",
            "OfflineStoreStatus": {"Status": "Active" if offline else "Disabled"},
            "ThroughputConfig": request.get("ThroughputConfig", {"ThroughputMode": "OnDemand"}),
            "_folder": folder,
            "_described": {},
        }
        if offline:
            record["OfflineStoreConfig"] = self._resolved(offline, folder)
        if request.get("OnlineStoreConfig", {}).get("EnableOnlineStore"):
            record["OnlineStoreConfig"] = {
                "StorageType": "Standard",
                **request["OnlineStoreConfig"],
            }
        record = self.resources.create(name, record)
        self._emit(record)
        self._in_background(name, self._provision)
        return record

    @operation
    def update_feature_group(self, request: Record) -> Record:
        """Add features, or change the online store's time to live, tier or throughput."""
        given = [
            member
            for member in ("FeatureAdditions", "OnlineStoreConfig", "ThroughputConfig")
            if member in request
        ]
        if len(given) != 1:
            raise invalid(
                "Validation Error: exactly one of FeatureAdditions, OnlineStoreConfig and "
                "ThroughputConfig must be given."
            )

        def change(record: Record) -> None:
            if record["FeatureGroupStatus"] != "Created":
                raise _not_created(record)
            if given[0] == "FeatureAdditions":
                rules.add_features(record, request["FeatureAdditions"])
            elif given[0] == "OnlineStoreConfig":
                rules.change_online(record, request["OnlineStoreConfig"])
            else:
                rules.check_throughput(request["ThroughputConfig"])
                record["ThroughputConfig"] = request["ThroughputConfig"]
            record["LastUpdateStatus"] = {"Status": "Successful"}

        return self.resources.update(self._name(request), change)

    @operation
    def delete_feature_group(self, request: Record) -> None:
        """Begin to delete a group: its online records are gone at once, its rows are delivered."""

        def change(record: Record) -> None:
            if record["FeatureGroupStatus"] in ("Creating", "Deleting"):
                raise _not_created(record)
            if record["FeatureGroupStatus"] == "DeleteFailed":
                self.records.discard(record["_folder"])
            record.update(FeatureGroupStatus="Deleting", FailureReason=None)

        record = self.resources.update(self._name(request), change)
        self.records.clear(record["_folder"])
        self._emit(record)
        self._in_background(record["FeatureGroupName"], self._remove)

    @operation
    def list_feature_groups(self, request: Record) -> Record:
        """List groups by name, statuses and time."""
        filters = dict(request)
        status = filters.pop("FeatureGroupStatusEquals", None)
        offline = filters.pop("OfflineStoreStatusEquals", None)
        rows = [
            row
            for row in self.resources.all()
            if status in (None, row["FeatureGroupStatus"])
            and offline in (None, row["OfflineStoreStatus"]["Status"])
        ]
        if request.get("SortBy") == "OfflineStoreStatus":
            raise not_implemented("Feature groups sorted by OfflineStoreStatus")
        if request.get("SortBy") == "FeatureGroupStatus":
            filters["SortBy"] = "Status"
        return self.resources.list(filters, rows)

    @operation
    def describe_feature_group(self, request: Record) -> Record:
        """Describe a group; every feature fits the first page."""
        return {**self.resources.get(request["FeatureGroupName"]), "NextToken": ""}

    @operation
    def describe_feature_metadata(self, request: Record) -> Record:
        """Describe a feature."""
        group = self.resources.get(request["FeatureGroupName"])
        definition = _definition(group, request["FeatureName"])
        described = group["_described"].get(request["FeatureName"], {})
        times = dict.fromkeys(("CreationTime", "LastModifiedTime"), group["CreationTime"])
        return {**group, **times, **definition, "Description": None, **described}

    @operation
    def update_feature_metadata(self, request: Record) -> None:
        """Describe a feature, and add or remove its parameters."""
        feature = request["FeatureName"]

        def change(record: Record) -> None:
            _definition(record, feature)
            described = record["_described"].setdefault(feature, {})
            parameters = {each["Key"]: each["Value"] for each in described.get("Parameters", [])}
            for key in request.get("ParameterRemovals", []):
                parameters.pop(key, None)
            parameters |= {
                each["Key"]: each["Value"] for each in request.get("ParameterAdditions", [])
            }
            if len(parameters) > _PARAMETERS:
                raise invalid(f"A feature has at most {_PARAMETERS} parameters.")
            described["Parameters"] = [
                {"Key": key, "Value": value} for key, value in parameters.items()
            ]
            described["LastModifiedTime"] = time.time()
            if "Description" in request:
                described["Description"] = request["Description"]

        self.resources.update(self._name(request), change)

    def _name(self, request: Record) -> str:
        return self.resources.name(request["FeatureGroupName"])

    def _resolved(self, config: Record, folder: str) -> Record:
        """Return an offline store's configuration with what AWS adds to it."""
        storage = config["S3StorageConfig"]
        cloud = self.context.cloud
        path = f"{cloud.account_id}/sagemaker/{cloud.region}/offline-store/{folder}/data"
        resolved = {
            "DisableGlueTableCreation": False,
            "TableFormat": "Glue",
            **config,
            "S3StorageConfig": {
                **storage,
                "ResolvedOutputS3Uri": str(Location.of(storage["S3Uri"]) / path),
            },
        }
        if not resolved["DisableGlueTableCreation"]:
            catalog = {"Catalog": "AwsDataCatalog", "Database": "sagemaker_featurestore"}
            resolved.setdefault("DataCatalogConfig", {**catalog, "TableName": folder.lower()})
        return resolved

    def _provision(self, name: str) -> None:
        """See whether the role reaches the bucket, as AWS does, and put the group in service."""
        group = self.resources.get(name)
        reason = self._unreachable(group)
        if reason:
            change = {"FeatureGroupStatus": "CreateFailed", "FailureReason": reason[:1024]}
        else:
            change = {"FeatureGroupStatus": "Created"}
        self._emit(self.resources.update(name, change))

    def _unreachable(self, group: Record) -> str:
        """Return why the offline store cannot be written, "" if it can or there is none."""
        config = group.get("OfflineStoreConfig")
        if not config:
            return ""
        bucket = Location.of(config["S3StorageConfig"]["S3Uri"]).bucket
        try:
            credentials = self.context.assume(group["RoleArn"], group["FeatureGroupName"])
            options = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
            s3 = make_client("s3", self.context.cloud, credentials, options)
            s3.get_bucket_acl(Bucket=bucket)
        except (ServiceError, ClientError, BotoCoreError) as error:
            return (
                f"The execution role {group['RoleArn']} cannot use the bucket {bucket} (it needs "
                f"s3:GetBucketAcl and s3:PutObject): {error}"
            )
        return ""

    def _remove(self, name: str) -> None:
        """Deliver a deleted group's rows and forget it."""
        group = self.resources.get(name)
        reason = self.offline.deliver(group["_folder"]) if "OfflineStoreConfig" in group else ""
        if reason:
            reason = f"Rows could not be delivered; deleting again discards them. {reason}"
            change = {"FeatureGroupStatus": "DeleteFailed", "FailureReason": reason[:1024]}
            self._emit(self.resources.update(name, change))
            return
        self.resources.delete(name)
        self.on_change(name)

    def of_folder(self, folder: str) -> Record | None:
        """Return the group whose folder in the offline store this is, None if it is gone."""
        record = self.context.store.get(self.kind.name, folder.rpartition("-")[0])
        return record if record and record["_folder"] == folder else None

    def _settle_offline(self, folder: str, reason: str) -> None:
        """Record whether rows reach the offline store."""
        group = self.of_folder(folder)
        status = {"Status": "Blocked", "BlockedReason": reason} if reason else {"Status": "Active"}
        if group and group["OfflineStoreStatus"] != status:
            self.resources.update(group["FeatureGroupName"], {"OfflineStoreStatus": status})

    def _emit(self, record: Record) -> None:
        self.context.cloud.emit(
            "SageMaker Feature Group State Change",
            events.detail("FeatureGroup", record),
            [record["FeatureGroupArn"]],
        )

    def _in_background(self, name: str, work: Callable[[str], None]) -> None:
        def run() -> None:
            try:
                work(name)
            except Exception:  # a thread's boundary: the status stays, the next start goes on
                logger.exception("feature group %s", name)

        threading.Thread(target=run, name=f"sagemaker-{name}", daemon=True).start()


def _definition(group: Record, feature: str) -> Record:
    for definition in group["FeatureDefinitions"]:
        if definition["FeatureName"] == feature:
            found: Record = definition
            return found
    name = group["FeatureGroupName"]
    raise ServiceError(
        "ResourceNotFound",
        f"Resource Not Found: Amazon SageMaker can't find a feature {feature} of FeatureGroup "
        f"{name}",
    )


def _not_created(record: Record) -> ServiceError:
    name, status = record["FeatureGroupName"], record["FeatureGroupStatus"]
    return invalid(f"Validation Error: FeatureGroup {name} is in status {status}.")
