"""QueryLineage: a walk along associations. Pure: entities and associations in, an answer out.

AWS ("Querying lineage entities", API_QueryLineage): the walk goes up to the ancestors, down to the
descendants, or both ways; filters say which of the entities that were met are shown; with
IncludeEdges come the entities and associations on the way to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.sagemaker.resources import paginate
from local.sagemaker.store import Record

_DEPTH = 10
_PAGE = 50
_STEPS = {"Ascendants": ("up",), "Descendants": ("down",), "Both": ("up", "down")}


@dataclass(frozen=True)
class Vertex:
    """An entity: `kind` is Artifact, Action, Context or TrialComponent; `type` what it is of."""

    arn: str
    kind: str
    type: str
    created: float
    modified: float
    properties: dict[str, Any]


def query(
    request: Record, start: list[str], vertices: dict[str, Vertex], edges: list[Record]
) -> Record:
    """Answer QueryLineage; without a start every entity is met."""
    depths = {} if start else dict.fromkeys(vertices, 0)
    passed: set[tuple[str, str]] = set()
    wanted = request.get("Filters", {})
    for way in _STEPS[request.get("Direction", "Both")]:
        met, before = _walk(start, edges, way, request.get("MaxDepth", _DEPTH))
        shown = {arn for arn in met if arn in vertices and _matches(vertices[arn], wanted)}
        if request.get("IncludeEdges"):
            passed |= _paths(shown, before)
            shown |= {arn for edge in passed for arn in edge if arn in met and arn in vertices}
        for arn in shown - set(start):
            depths[arn] = min(depths.get(arn, met[arn]), met[arn])
    rows = [
        {"Arn": arn, "Type": vertices[arn].type, "LineageType": vertices[arn].kind, "_depth": depth}
        for arn, depth in depths.items()
        if start or _matches(vertices[arn], wanted)
    ]
    page, token = paginate(rows, request, lambda row: [row["_depth"], row["Arn"]], size=_PAGE)
    on_page = {row["Arn"] for row in page}
    found = [
        edge
        for edge in edges
        if (edge["SourceArn"], edge["DestinationArn"]) in passed
        and {edge["SourceArn"], edge["DestinationArn"]} & on_page
    ]
    return {"Vertices": page, "Edges": found, **({"NextToken": token} if token else {})}


def _walk(
    start: list[str], edges: list[Record], way: str, depth: int
) -> tuple[dict[str, int], dict[str, set[tuple[str, str]]]]:
    """Return what is met at which depth, and the edges by which each was come to."""
    near, far = ("DestinationArn", "SourceArn") if way == "up" else ("SourceArn", "DestinationArn")
    nexts: dict[str, list[Record]] = {}
    for edge in edges:
        nexts.setdefault(edge[near], []).append(edge)
    met = dict.fromkeys(start, 0)
    before: dict[str, set[tuple[str, str]]] = {}
    level = list(start)
    for step in range(1, depth + 1):
        following = []
        for arn in level:
            for edge in nexts.get(arn, []):
                if edge[far] not in met:
                    met[edge[far]] = step
                    following.append(edge[far])
                before.setdefault(edge[far], set()).add((edge["SourceArn"], edge["DestinationArn"]))
        level = following
    return met, before


def _paths(shown: set[str], before: dict[str, set[tuple[str, str]]]) -> set[tuple[str, str]]:
    """Return every edge on a way to what is shown."""
    passed: set[tuple[str, str]] = set()
    todo = list(shown)
    while todo:
        for edge in before.get(todo.pop(), set()) - passed:
            passed.add(edge)
            todo += edge
    return passed


def _matches(vertex: Vertex, filters: Record) -> bool:
    pairs = filters.get("Properties")
    return (
        vertex.type in filters.get("Types", [vertex.type])
        and vertex.kind in filters.get("LineageTypes", [vertex.kind])
        and filters.get("CreatedAfter", 0.0) < vertex.created
        and vertex.created < filters.get("CreatedBefore", float("inf"))
        and filters.get("ModifiedAfter", 0.0) < vertex.modified
        and vertex.modified < filters.get("ModifiedBefore", float("inf"))
        and (not pairs or any(vertex.properties.get(key) == pairs[key] for key in pairs))
    )
