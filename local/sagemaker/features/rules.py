"""What a feature group, and a record of one, may be.

AWS ("Quotas, naming rules and data types", "Collection types", API_CreateFeatureGroup).
"""

from __future__ import annotations

from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.resources import merge_tags
from local.sagemaker.store import Record

_FEATURES = 2500
_RESERVED = ("is_deleted", "write_time", "api_invocation_time")


def check_group(request: Record) -> None:
    """Refuse what AWS refuses of a new group, and what is not done here."""
    online, offline = request.get("OnlineStoreConfig", {}), request.get("OfflineStoreConfig")
    if not online.get("EnableOnlineStore") and not offline:
        raise invalid(
            "Validation Error: OnlineStore and OfflineStore cannot be both disabled. Please enable "
            "at least one of them and retry the request."
        )
    merge_tags([], request.get("Tags", []))
    if offline:
        _check_offline(request, offline)
    if "TtlDuration" in online:
        _check_ttl(online)
    check_throughput(request.get("ThroughputConfig", {}))
    definitions = request["FeatureDefinitions"]
    _check_features(definitions, online)
    for member in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        definition = next(
            (each for each in definitions if each["FeatureName"] == request[member]), None
        )
        if definition is None or "CollectionType" in definition:
            raise invalid(
                f"Validation Error: {member} {request[member]} must be one of the feature "
                "definitions, and no collection."
            )
        if member == "EventTimeFeatureName" and definition["FeatureType"] == "Integral":
            raise invalid("Validation Error: EventTime feature must be String or Fractional.")


def _check_offline(request: Record, offline: Record) -> None:
    if offline.get("TableFormat") == "Iceberg":
        raise not_implemented("An offline store of TableFormat Iceberg (Glue is)")
    if not offline["S3StorageConfig"]["S3Uri"].startswith("s3://"):
        raise not_implemented("An offline store by an https:// S3Uri (give s3://)")
    if "RoleArn" not in request:
        raise invalid("Validation Error: RoleArn is required for an OfflineStore.")


def _check_ttl(online: Record) -> None:
    if not online.get("EnableOnlineStore"):
        raise invalid("Validation Error: TtlDuration needs an OnlineStore.")
    if set(online["TtlDuration"]) != {"Unit", "Value"}:
        raise invalid("Validation Error: TtlDuration needs a Unit and a Value.")


def check_throughput(config: Record) -> None:
    """Refuse capacity units of a group that is on demand."""
    units = {"ProvisionedReadCapacityUnits", "ProvisionedWriteCapacityUnits"} & set(config)
    if units and config.get("ThroughputMode") != "Provisioned":
        raise invalid("Validation Error: capacity units are only for ThroughputMode Provisioned.")


def _check_features(definitions: list[Record], online: Record) -> None:
    """Refuse names and collections that cannot be; `definitions` are all of a group's."""
    names = [definition["FeatureName"] for definition in definitions]
    if len(names) > _FEATURES:
        raise ServiceError(
            "ResourceLimitExceeded", f"A feature group has at most {_FEATURES} features."
        )
    if len(set(names)) != len(names):
        raise invalid("Validation Error: Feature names must be unique.")
    if reserved := sorted(set(names) & set(_RESERVED)):
        raise invalid(f"Validation Error: {', '.join(reserved)} are reserved names.")
    collections = [each for each in definitions if "CollectionType" in each]
    if collections and online.get("StorageType") != "InMemory":
        raise invalid(
            "Validation Error: CollectionType is only supported for the InMemory online store."
        )
    vectors = [each for each in collections if each["CollectionType"] == "Vector"]
    if len(vectors) > 1:
        raise invalid("Validation Error: A feature group has at most one Vector.")
    for vector in vectors:
        if vector["FeatureType"] != "Fractional" or "CollectionConfig" not in vector:
            raise invalid("Validation Error: A Vector is Fractional and has a Dimension.")


def add_features(record: Record, additions: list[Record]) -> None:
    """Add features to a group's record."""
    definitions = [*record["FeatureDefinitions"], *additions]
    _check_features(definitions, record.get("OnlineStoreConfig", {}))
    record["FeatureDefinitions"] = definitions


def change_online(record: Record, change: Record) -> None:
    """Change an online store's time to live (an empty one removes it) or its tier."""
    online = record.get("OnlineStoreConfig", {})
    if not online.get("EnableOnlineStore"):
        raise invalid("Validation Error: the feature group has no OnlineStore.")
    if "TtlDuration" in change:
        online.pop("TtlDuration", None)
        if change["TtlDuration"]:
            online["TtlDuration"] = change["TtlDuration"]
            _check_ttl(online)
    wanted = change.get("StorageType", online["StorageType"])
    if (online["StorageType"], wanted) == ("Standard", "Standard_V2"):
        online["StorageType"] = wanted
    elif wanted != online["StorageType"]:
        raise invalid("Validation Error: only Standard can be migrated, to Standard_V2.")
