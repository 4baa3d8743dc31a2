"""What a record of a feature group may hold: features, their types, the event time.

AWS ("Quotas, naming rules and data types", "Data sources and ingestion", "Collection types").
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from local.sagemaker.errors import ServiceError
from local.sagemaker.store import Record

_INTEGRAL = re.compile(r"[+-]?\d+")
_FRACTIONAL = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|NaN|Infinity)")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
_LONG = 2**63
_END_OF_TIME = 253402300800.0  # the year 10000
_RECORD_BYTES = 350 * 1024
_IDENTIFIER_BYTES = 2 * 1024
_SECONDS = {"Seconds": 1, "Minutes": 60, "Hours": 3600, "Days": 86400, "Weeks": 604800}


@dataclass(frozen=True)
class Schema:
    """A feature group as its records need it; `ttl` in seconds."""

    name: str
    folder: str
    status: str
    identifier: str
    event_time: str
    features: dict[str, Record]
    stores: frozenset[str]
    tier: str
    ttl: float | None

    @classmethod
    def of(cls, group: Record) -> Schema:
        """Read a feature group's record."""
        online = group.get("OnlineStoreConfig", {})
        has_online = online.get("EnableOnlineStore", False)
        stores = {
            "OnlineStore": has_online,
            "OfflineStore": "OfflineStoreConfig" in group,
        }
        return cls(
            name=group["FeatureGroupName"],
            folder=group["_folder"],
            status=group["FeatureGroupStatus"],
            identifier=group["RecordIdentifierFeatureName"],
            event_time=group["EventTimeFeatureName"],
            features={each["FeatureName"]: each for each in group["FeatureDefinitions"]},
            stores=frozenset(store for store, there in stores.items() if there),
            tier=online.get("StorageType", ""),
            ttl=seconds(online.get("TtlDuration")),
        )


def refused(message: str) -> ServiceError:
    """Return the error of the runtime for a request that cannot be."""
    return ServiceError("ValidationError", f"Validation Error: {message}")


def seconds(ttl: Record | None) -> float | None:
    """Return a TtlDuration in seconds."""
    return ttl["Value"] * _SECONDS[ttl["Unit"]] if ttl else None


def checked(schema: Schema, values: list[Record]) -> Record:
    """Return a record's values by feature: text, or a list of texts. Raises ValidationError."""
    found: Record = {}
    for value in values:
        name = value["FeatureName"]
        if name in found:
            raise refused(f"Feature {name} is given more than once.")
        if name not in schema.features:
            raise refused(f"Feature {name} is not part of FeatureGroup {schema.name}.")
        content = _value(schema.features[name], value)
        if content is not None:
            found[name] = content
    if sum(_size(name, content) for name, content in found.items()) > _RECORD_BYTES:
        raise refused(f"A record has at most {_RECORD_BYTES} bytes.")
    return found


def check_identifier(schema: Schema, identifier: str | None) -> str:
    """Return a record's identifier. Raises ValidationError if it is missing or too long."""
    if not identifier:
        raise refused(f"The record identifier {schema.identifier} must have a value.")
    if len(identifier.encode()) > _IDENTIFIER_BYTES:
        raise refused(f"A record identifier has at most {_IDENTIFIER_BYTES} bytes.")
    return identifier


def moment(schema: Schema, event_time: str | None) -> float:
    """Return an event time in epoch seconds. Raises ValidationError if it is not in a format."""
    if not event_time:
        raise refused(f"The event time {schema.event_time} must have a value.")
    if schema.features[schema.event_time]["FeatureType"] == "Fractional":
        when = float(event_time) if _FRACTIONAL.fullmatch(event_time) else float("nan")
        if not 0 <= when < _END_OF_TIME:
            raise refused(f"The event time {event_time} is not a Unix timestamp in seconds.")
        return when
    if _MOMENT.fullmatch(event_time):
        try:
            return dt.datetime.fromisoformat(event_time).timestamp()
        except ValueError:
            pass  # no such day: refused below, like any other text
    raise refused(
        f"The event time {event_time} is not an ISO-8601 time in UTC: yyyy-MM-dd'T'HH:mm:ssZ or "
        "yyyy-MM-dd'T'HH:mm:ss.SSSZ."
    )


def written(schema: Schema, epoch: float) -> str:
    """Return a time as the group's event time feature has it."""
    if schema.features[schema.event_time]["FeatureType"] == "Fractional":
        return repr(epoch)
    return iso(epoch)


def iso(epoch: float) -> str:
    """Return a time in ISO 8601, with milliseconds if it has any."""
    when = dt.datetime.fromtimestamp(epoch, dt.UTC)
    precision = "milliseconds" if round(epoch * 1000) % 1000 else "seconds"
    return when.isoformat(timespec=precision).replace("+00:00", "Z")


def _value(definition: Record, value: Record) -> str | list[str] | None:
    name, collection = definition["FeatureName"], definition.get("CollectionType")
    member = "ValueAsStringList" if collection else "ValueAsString"
    if {"ValueAsString", "ValueAsStringList"} & set(value) - {member}:
        raise refused(f"The value of feature {name} must be given as {member}.")
    if member not in value:
        return None
    if not collection:
        text: str = value[member]
        _check_type(definition, text)
        return text
    texts: list[str] = value[member]
    for text in texts:
        _check_type(definition, text)
    if collection == "Set" and len(set(texts)) != len(texts):
        raise refused(f"Feature {name} is a Set: its values must be unique.")
    if collection == "Vector":
        dimension = definition["CollectionConfig"]["VectorConfig"]["Dimension"]
        if len(texts) != dimension:
            raise refused(f"Feature {name} is a Vector of {dimension} elements.")
    return texts


def _check_type(definition: Record, text: str) -> None:
    kind = definition["FeatureType"]
    fits = True
    if kind == "Integral":
        fits = bool(_INTEGRAL.fullmatch(text)) and -_LONG <= int(text) < _LONG
    elif kind == "Fractional":
        fits = bool(_FRACTIONAL.fullmatch(text))
    if not fits:
        raise refused(
            f"The value {text[:100]!r} of feature {definition['FeatureName']} is not {kind}."
        )


def _size(name: str, content: str | list[str]) -> int:
    texts = [content] if isinstance(content, str) else content
    return len(name) + sum(len(text.encode()) for text in texts)
