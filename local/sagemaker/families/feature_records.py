"""Records of feature groups: the operations of the feature store's runtime.

AWS (API_feature_store_PutRecord, _DeleteRecord, _UpdateRecord; "Time to live (TTL) duration for
records"): the online store keeps the record with the latest event time, an equal one overwrites;
the offline store gets every record.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from local.sagemaker.errors import ServiceError
from local.sagemaker.families.base import Operations, operation
from local.sagemaker.families.feature_groups import FeatureGroups
from local.sagemaker.features.offline_store import timestamp
from local.sagemaker.features.record_store import Online
from local.sagemaker.features.values import (
    Schema,
    check_identifier,
    checked,
    iso,
    moment,
    refused,
    seconds,
    written,
)
from local.sagemaker.store import Record

_GROUPS = 10  # of one BatchGetRecord ("Quotas, naming rules and data types")
_UPDATED = 100  # features of one UpdateRecord
_LISTED = 100
_EXPIRED_AT_ONCE = 10_000


class FeatureRecords(Operations):
    """Records of feature groups, online and offline."""

    def __init__(self, groups: FeatureGroups) -> None:
        self._groups = groups
        self._store = groups.records
        self._schemas: dict[str, Schema] = {}
        self._lock = threading.Lock()
        groups.each_time = self.expire
        groups.on_change = self._forget

    @operation
    def put_record(self, request: Record) -> None:
        """Write a record."""
        schema = self._writable(request["FeatureGroupName"])
        stores = _stores(schema, request)
        values = checked(schema, request["Record"])
        identifier = check_identifier(schema, values.get(schema.identifier))
        event = moment(schema, values.get(schema.event_time))
        ttl = seconds(request.get("TtlDuration")) or schema.ttl
        now = time.time()
        record = Online(
            identifier,
            event,
            event + ttl if ttl else None,
            deleted=False,
            values=_given(values),
        )
        with self._store.transaction():
            if "OnlineStore" in stores:
                stored = self._store.get(schema.folder, identifier, now)
                if stored is None or event >= stored.event:
                    self._store.put(schema.folder, record)
            if "OfflineStore" in stores:
                self._append(schema, event, values, now)

    @operation
    def update_record(self, request: Record) -> None:
        """Change some features of a record that exists."""
        schema = self._readable(request["FeatureGroupName"])
        stores = _stores(schema, request)
        if schema.tier not in ("Standard_V2", "InMemory"):
            raise refused(f"UpdateRecord needs Standard_V2 or InMemory; {schema.name} is not.")
        if len(request["Features"]) > _UPDATED:
            raise refused(f"UpdateRecord changes at most {_UPDATED} features.")
        values = checked(schema, request["Features"])
        identifier = request["RecordIdentifierValueAsString"]
        if values.get(schema.identifier, identifier) != identifier:
            raise refused("The record identifier cannot be changed.")
        if "TtlDuration" in request and schema.event_time not in values:
            raise refused("TtlDuration needs an EventTime in the request.")
        now = time.time()
        with self._store.transaction():
            stored = self._store.get(schema.folder, identifier, now)
            if stored is None or stored.deleted:
                message = f"Resource Not Found: no record {identifier} in {schema.name}"
                raise ServiceError("ResourceNotFound", message, 404)
            event = stored.event
            if schema.event_time in values:
                event = moment(schema, values[schema.event_time])
            if event < stored.event:
                raise ServiceError(
                    "ConflictException", "EventTime is older than the record's.", 409
                )
            merged = {**checked(schema, stored.values), **values}
            checked(schema, _given(merged))  # the whole record has a limit too
            if "OnlineStore" in stores:
                expires = _expiry(stored, event, seconds(request.get("TtlDuration")))
                record = Online(identifier, event, expires, deleted=False, values=_given(merged))
                self._store.put(schema.folder, record)
            if "OfflineStore" in stores:
                self._append(schema, event, merged, now)

    @operation
    def delete_record(self, request: Record) -> None:
        """Delete a record, softly or wholly; the offline store gets a marker."""
        schema = self._writable(request["FeatureGroupName"])
        stores = _stores(schema, request)
        identifier = check_identifier(schema, request["RecordIdentifierValueAsString"])
        event = moment(schema, request["EventTime"])
        hard = request.get("DeletionMode") == "HardDelete"
        now = time.time()
        with self._store.transaction():
            if "OnlineStore" in stores:
                stored = self._store.get(schema.folder, identifier, now)
                is_later = stored is None or event > stored.event
                if hard and not is_later:
                    raise refused("EventTime must be later than the EventTime of the record.")
                if hard:
                    self._store.remove(schema.folder, identifier)
                elif is_later:
                    marker = Online(identifier, event, None, deleted=True, values=[])
                    self._store.put(schema.folder, marker)
            if "OfflineStore" in stores:
                self._append(schema, event, _marker(schema, identifier, event), now, deleted=True)

    @operation
    def get_record(self, request: Record) -> Record:
        """Return a record, or nothing."""
        schema = self._readable(request["FeatureGroupName"])
        _check_names(schema, request.get("FeatureNames", []))
        return self._read(schema, request["RecordIdentifierValueAsString"], request)

    @operation
    def batch_get_record(self, request: Record) -> Record:
        """Return records of several groups; what goes wrong for one spares the others."""
        wanted = request["Identifiers"]
        if len({each["FeatureGroupName"] for each in wanted}) > _GROUPS:
            raise refused(f"BatchGetRecord reads at most {_GROUPS} feature groups.")
        if sum(len(each["RecordIdentifiersValueAsString"]) for each in wanted) > _LISTED:
            raise refused(f"BatchGetRecord reads at most {_LISTED} records.")
        records: list[Record] = []
        errors: list[Record] = []
        options = {"ExpirationTimeResponse": request.get("ExpirationTimeResponse")}
        for each in wanted:
            group = each["FeatureGroupName"]
            for identifier in each["RecordIdentifiersValueAsString"]:
                named = {"FeatureGroupName": group, "RecordIdentifierValueAsString": identifier}
                try:
                    found = self.get_record({**options, **each, **named})
                except ServiceError as error:
                    reason = {"ErrorCode": error.code, "ErrorMessage": error.message}
                    errors.append({**named, **reason})
                    continue
                if "Record" in found:
                    records.append({**named, **found})
        return {"Records": records, "Errors": errors, "UnprocessedIdentifiers": []}

    @operation
    def batch_write_record(self, request: Record) -> Record:
        """Write records of several groups; what goes wrong for one spares the others."""
        errors = []
        for entry in request["Entries"]:
            common = {key: request[key] for key in ("TtlDuration",) if key in request}
            try:
                self.put_record({**common, **entry})
            except ServiceError as error:
                reason = {"ErrorCode": error.code, "ErrorMessage": error.message}
                errors.append({"Entry": entry, **reason})
        return {"Errors": errors, "UnprocessedEntries": []}

    @operation
    def list_records(self, request: Record) -> Record:
        """List the identifiers of a group's records; a page's token is its last identifier."""
        schema = self._readable(request["FeatureGroupName"])
        limit = request.get("MaxResults", _LISTED)
        found = self._store.identifiers(
            schema.folder,
            request.get("NextToken", ""),
            limit + 1,
            time.time(),
            request.get("IncludeSoftDeletedRecords", False),
        )
        page = found[:limit]
        more = {"NextToken": page[-1]} if len(found) > limit else {}
        return {"RecordIdentifiers": page, **more}

    def expire(self) -> None:
        """Remove records whose time is over; the offline store gets a marker."""
        now = time.time()
        for folder, identifier, expires in self._store.expired(now, _EXPIRED_AT_ONCE):
            schema = self._of_folder(folder)
            with self._store.transaction():
                stored = self._store.get(folder, identifier, float("-inf"))
                if stored is None or stored.expires != expires:
                    continue  # written again meanwhile
                self._store.remove(folder, identifier)
                if schema and "OfflineStore" in schema.stores:
                    marker = _marker(schema, identifier, expires)
                    self._append(schema, expires, marker, now, deleted=True)

    def _read(self, schema: Schema, identifier: str, request: Record) -> Record:
        stored = self._store.get(schema.folder, identifier, time.time())
        if stored is None or stored.deleted:
            return {}
        names = request.get("FeatureNames")
        values = [each for each in stored.values if not names or each["FeatureName"] in names]
        found: Record = {"Record": values} if values else {}
        if request.get("ExpirationTimeResponse") == "Enabled" and stored.expires is not None:
            found["ExpiresAt"] = iso(stored.expires)
        return found

    def _append(
        self, schema: Schema, event: float, values: Record, now: float, deleted: bool = False
    ) -> None:
        row = {**values, "api_invocation_time": timestamp(now), "is_deleted": deleted}
        self._store.append(schema.folder, event, row)

    def _readable(self, name_or_arn: str) -> Schema:
        """Return a group with an online store. Raises ResourceNotFound, ValidationError."""
        schema = self._schema(name_or_arn)
        if "OnlineStore" not in schema.stores:
            raise refused(f"FeatureGroup {schema.name} has no OnlineStore.")
        return schema

    def _writable(self, name_or_arn: str) -> Schema:
        """Return a group; what writes declares no ResourceNotFound, and AWS answers so."""
        try:
            return self._schema(name_or_arn)
        except ServiceError as error:
            raise ServiceError("ValidationError", error.message) from error

    def _schema(self, name_or_arn: str) -> Schema:
        name = self._groups.resources.name(name_or_arn)
        with self._lock:
            schema = self._schemas.get(name)
            if schema is None:
                schema = Schema.of(self._group(name))
                self._schemas[name] = schema
        if schema.status != "Created":
            raise refused(f"FeatureGroup {name} is in status {schema.status}.")
        return schema

    def _group(self, name: str) -> Record:
        try:
            return self._groups.resources.get(name)
        except ServiceError as error:
            raise ServiceError(error.code, error.message, 404) from error

    def _of_folder(self, folder: str) -> Schema | None:
        group = self._groups.of_folder(folder)
        return Schema.of(group) if group else None

    def _forget(self, name: str) -> None:
        with self._lock:
            self._schemas.pop(name, None)


def _stores(schema: Schema, request: Record) -> set[str]:
    """Return the stores a request is for. Raises ValidationError for one the group lacks."""
    wanted = set(request.get("TargetStores", schema.stores))
    if missing := sorted(wanted - schema.stores):
        raise refused(f"FeatureGroup {schema.name} has no {missing[0]}.")
    return wanted


def _check_names(schema: Schema, names: list[str]) -> None:
    if unknown := [name for name in names if name not in schema.features]:
        raise refused(f"Feature {unknown[0]} is not part of FeatureGroup {schema.name}.")


def _given(values: Record) -> list[Record]:
    """Return values by feature as the API lists them."""
    return [{"FeatureName": name, _member(content): content} for name, content in values.items()]


def _member(content: Any) -> str:
    return "ValueAsString" if isinstance(content, str) else "ValueAsStringList"


def _marker(schema: Schema, identifier: str, event: float) -> Record:
    return {schema.identifier: identifier, schema.event_time: written(schema, event)}


def _expiry(stored: Online, event: float, ttl: float | None) -> float | None:
    """Return when an updated record expires: as long after its event time as before, or `ttl`."""
    if ttl is None and stored.expires is not None:
        ttl = stored.expires - stored.event
    return None if ttl is None else event + ttl
