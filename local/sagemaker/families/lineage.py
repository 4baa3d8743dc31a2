"""Lineage: artifacts, actions and contexts, the associations between them, and queries.

AWS ("Lineage tracking entities", "Querying lineage entities").
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable

from local.sagemaker.context import Context
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.families.base import Family, Operations, operation
from local.sagemaker.lineage.query import Vertex, query
from local.sagemaker.resources import Handler, Kind, paginate
from local.sagemaker.store import Record

_ASSOCIATION = "Association"
_ADDED_TO = ("Parameters", "InputArtifacts", "OutputArtifacts")
# Who made the entities of an association's ends, by kind; each has its type in a member.
_TYPES = {
    "Artifact": "ArtifactType",
    "Action": "ActionType",
    "Context": "ContextType",
    "TrialComponent": "",
    "Experiment": "",
}


def kind(name: str, slug: str, ignores_case: bool = False) -> Kind:
    """Return a kind of entity of lineage or experiments."""
    return Kind(
        name=name,
        slug=slug,
        missing=f"{name} {{arn}} does not exist.",
        missing_code="ResourceNotFound",
        duplicate=f"{name} {{name}} already exists.",
        order="Descending",
        ignores_case=ignores_case,
    )


class EntityFamily(Family):
    """Create, Describe, Update, Delete and List of a kind of entity."""

    generic = ("Describe",)

    def operations(self) -> dict[str, Handler]:
        """Return the five operations, and those that a subclass adds."""
        name = self.kind.name
        own: dict[str, Handler] = {
            f"Create{name}": self.add,
            f"Update{name}": self.change,
            f"Delete{name}": self.remove,
            self.kind.lists: self.find,
        }
        return {**super().operations(), **own}

    def add(self, request: Record) -> Record:
        """Make an entity."""
        by: Record = {"CreatedBy": {}, "LastModifiedBy": {}}
        return self.resources.create(request[self.kind.key], request, **by)

    def change(self, request: Record) -> Record:
        """Change what is given, and remove the keys of `...ToRemove`."""
        name = self.resources.name(request[self.kind.key])
        return self.resources.update(name, lambda record: _merge(record, request))

    def remove(self, request: Record) -> Record:
        """Remove an entity that no association holds."""
        record = self.resources.get(request[self.kind.key])
        arn = record[self.kind.arn_member]
        if any(arn in (row["SourceArn"], row["DestinationArn"]) for row in self._associations()):
            raise invalid(f"{self.kind.name} {arn} has associations; delete them first.")
        return self.resources.delete(arn)

    def find(self, request: Record) -> Record:
        """List entities, by time and by what the kind filters."""
        filters = dict(request)
        rows = self.filtered(self.resources.all(), filters)
        for member in ("CreatedAfter", "CreatedBefore"):
            if member in filters:
                filters[member.replace("Created", "CreationTime")] = filters.pop(member)
        return self.resources.list(filters, rows)

    def filtered(self, rows: list[Record], filters: Record) -> list[Record]:
        """Return the rows that the kind's own filters, which are taken out, let through."""
        uri = filters.pop("SourceUri", None)
        return [row for row in rows if row["Source"]["SourceUri"] == uri] if uri else rows

    def _associations(self) -> list[Record]:
        return self.context.store.all(_ASSOCIATION)


class Actions(EntityFamily):
    """Actions: what was done, such as an approval or a deployment."""

    kind = kind("Action", "action")


class Contexts(EntityFamily):
    """Contexts: what other entities of lineage belong to, such as an endpoint."""

    kind = kind("Context", "context")


class Artifacts(EntityFamily):
    """Artifacts: data, images and models, one for each SourceUri."""

    kind = kind("Artifact", "artifact")

    @operation
    def describe_artifact(self, request: Record) -> Record:
        """Describe an artifact."""
        return self.resources.get(request["ArtifactArn"])

    def add(self, request: Record) -> Record:
        """Make an artifact, or return the one that is of that SourceUri."""
        name = artifact_id(request["Source"]["SourceUri"])
        with self.context.store.lock:
            found = self.context.store.get(self.kind.name, name)
            by: Record = {"CreatedBy": {}, "LastModifiedBy": {}}
            given = request.get("ArtifactName")
            made = found or self.resources.insert(name, request, **by, ArtifactName=given)
        if not found:
            self._tell(made)
        return made

    def change(self, request: Record) -> Record:
        """Change name and properties."""
        name = self.resources.name(request["ArtifactArn"])
        return self.resources.update(name, lambda record: _merge(record, request))

    def remove(self, request: Record) -> Record:
        """Remove an artifact, by ARN or source."""
        if ("ArtifactArn" in request) == ("Source" in request):
            raise invalid("Exactly one of ArtifactArn and Source must be specified.")
        if "Source" in request:
            found = artifact_id(request["Source"]["SourceUri"])
            return super().remove({"ArtifactName": found})
        return super().remove({"ArtifactName": request["ArtifactArn"]})


class Associations(Operations):
    """Associations between entities of lineage, and queries along them."""

    def __init__(self, context: Context) -> None:
        self._store = context.store

    @operation
    def add_association(self, request: Record) -> Record:
        """Associate two entities; a pair has one association, whose type is the last given."""
        source, destination = request["SourceArn"], request["DestinationArn"]
        for arn in (source, destination):
            self._entity(arn)
        if source == destination:
            raise invalid("An entity cannot be associated with itself.")
        name = f"{source}|{destination}"
        with self._store.lock:
            if (
                self._store.update(_ASSOCIATION, name, lambda record: record.update(request))
                is None
            ):
                record = {**request, "CreationTime": time.time(), "CreatedBy": {}}
                self._store.insert(_ASSOCIATION, name, name, record)
        return request

    @operation
    def delete_association(self, request: Record) -> Record:
        """Remove an association."""
        name = f"{request['SourceArn']}|{request['DestinationArn']}"
        with self._store.lock:
            if self._store.get(_ASSOCIATION, name) is None:
                raise ServiceError("ResourceNotFound", f"Association {name} does not exist.")
            self._store.delete(_ASSOCIATION, name)
        return request

    @operation
    def list_associations(self, request: Record) -> Record:
        """List associations with names and types of their ends."""
        rows = [self._described(row) for row in self._store.all(_ASSOCIATION)]
        rows = [row for row in rows if _matches(row, request)]
        member = request.get("SortBy", "CreationTime")
        page, token = paginate(
            rows,
            request,
            lambda row: [row[member], row["SourceArn"], row["DestinationArn"]],
            request.get("SortOrder", "Descending") == "Descending",
        )
        return {"AssociationSummaries": page, **({"NextToken": token} if token else {})}

    @operation
    def query_lineage(self, request: Record) -> Record:
        """Follow associations from an entity."""
        start = request.get("StartArns", [])
        for arn in start:
            self._entity(arn)
        vertices = {vertex.arn: vertex for vertex in self._vertices()}
        edges = self._store.all(_ASSOCIATION)
        return query(request, start, vertices, edges)

    def _vertices(self) -> Iterable[Vertex]:
        for name in ("Artifact", "Action", "Context", "TrialComponent"):
            for record in self._store.all(name):
                yield Vertex(
                    arn=record[f"{name}Arn"],
                    kind=name,
                    type=entity_type(name, record),
                    created=record["CreationTime"],
                    modified=record["LastModifiedTime"],
                    properties=record.get("Properties", {}),
                )

    def _described(self, row: Record) -> Record:
        described = dict(row)
        for end in ("Source", "Destination"):
            name, record = self._entity(row[f"{end}Arn"])
            described[f"{end}Type"] = entity_type(name, record)
            described[f"{end}Name"] = record.get(f"{name}Name")
            described[f"_{end}"] = name
        return described

    def _entity(self, arn: str) -> tuple[str, Record]:
        found = self._store.find(arn)
        record = self._store.get(*found) if found else None
        if found is None or record is None or found[0] not in _TYPES:
            raise ServiceError("ResourceNotFound", f"Entity {arn} does not exist.")
        return found[0], record


def artifact_id(source_uri: str) -> str:
    """Return what an artifact's ARN ends in: one for each source."""
    return hashlib.sha256(source_uri.encode()).hexdigest()[:32]


def entity_type(name: str, record: Record) -> str:
    """Return an entity's type as queries and filters see it: DataSet, Model, TrainingJob, ..."""
    if _TYPES[name]:
        return str(record[_TYPES[name]])
    source = record.get("Source", {}).get("SourceType", "")
    return str(source).removeprefix("SageMaker")


def _merge(record: Record, request: Record) -> None:
    """Apply an Update: properties are overwritten, a trial component's maps are added to."""
    for member, value in request.items():
        if member in _ADDED_TO:
            record[member] = {**record.get(member, {}), **value}
        elif member.endswith("ToRemove"):
            left = record.get(member.removesuffix("ToRemove"), {})
            for key in value:
                left.pop(key, None)
        elif member != "ArtifactArn":
            record[member] = value


def _matches(row: Record, request: Record) -> bool:
    """Whether an association passes the filters; a type may also be the kind: Action, Context."""
    for end in ("Source", "Destination"):
        if request.get(f"{end}Type", row[f"{end}Type"]) not in (row[f"{end}Type"], row[f"_{end}"]):
            return False
    exact = ("SourceArn", "DestinationArn", "AssociationType")
    return (
        all(request.get(member, row.get(member)) == row.get(member) for member in exact)
        and row["CreationTime"] >= request.get("CreatedAfter", 0.0)
        and row["CreationTime"] <= request.get("CreatedBefore", float("inf"))
    )
