"""Rules on events: every rule listens to something that is announced, on the bus it is on."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tests.architecture.cfn import Json, Stack, listed, resource_of

AWS_EVENTS = {
    "aws.s3": {"Object Created", "Object Deleted", "Object Tags Added"},
    "aws.sagemaker": {
        "SageMaker Model Package State Change",
        "SageMaker Endpoint State Change",
        "SageMaker Training Job State Change",
        "SageMaker Processing Job State Change",
        "SageMaker Transform Job State Change",
        "SageMaker HyperParameter Tuning Job State Change",
    },
    "aws.states": {"Step Functions Execution Status Change"},
    "aws.cloudwatch": {"CloudWatch Alarm State Change"},
    "aws.codebuild": {"CodeBuild Build State Change"},
}
"""AWS's own facts that a rule may listen to, as the services' EventBridge pages name them."""

PACKAGE_CHANGE = "SageMaker Model Package State Change"
Types = dict[str, Any]


def event_types(base: Any) -> Types:
    """Return every event class by its name, which is its detail-type."""
    found = {c.__name__: c for c in base.__subclasses__()}
    if not found:
        raise AssertionError("no event class: this check would hold nothing")
    return found


def patterns(stack: Stack) -> dict[str, Json]:
    """Return the event pattern of each rule that has one."""
    return {n: r for n, r in stack.of("AWS::Events::Rule").items() if "EventPattern" in r}


def rules_name_known_events(stack: Stack, types: Types) -> list[str]:
    """Find rules that wait for what nobody announces, or listen on the wrong bus."""
    findings = []
    for name, rule in patterns(stack).items():
        pattern = rule["EventPattern"]
        sources, details = listed(pattern.get("source")), listed(pattern.get("detail-type"))
        if not sources or not details:
            findings.append(f"{name}: a pattern names its source and its detail-type")
        for detail in details:
            if not any(_announces(source, detail, types) for source in sources):
                findings.append(f"{name}: no source of it announces {detail!r}")
        for source in sources:
            if not any(_announces(source, detail, types) for detail in details):
                findings.append(f"{name}: {_text(source)} announces none of it")
            if _text(source).startswith("aws.") and "EventBusName" in rule:
                findings.append(f"{name}: AWS's facts count only on the default bus")
            if not _text(source).startswith("aws.") and "EventBusName" not in rule:
                findings.append(f"{name}: our facts travel on our own bus")
    return findings or ([] if patterns(stack) else ["the template has no event rule"])


def _text(source: Any) -> str:
    return source["prefix"] if isinstance(source, dict) else str(source)


def _announces(source: Any, detail: str, types: Types) -> bool:
    if isinstance(source, dict):
        return detail in types and types[detail].source.startswith(source.get("prefix", "\0"))
    if detail in types:
        return bool(types[detail].source == source)
    return detail in AWS_EVENTS.get(source, set())


def only_approval_deploys(stack: Stack) -> list[str]:
    """Find rules on package changes that do not filter for a decision, or for a chosen status.

    A rule without the filter deploys whatever changes: a description, a new version. A rejection
    may be heard as well: it brings back what served, which was approved.
    """
    findings, approvals = [], 0
    for name, rule in patterns(stack).items():
        pattern = rule["EventPattern"]
        if PACKAGE_CHANGE not in listed(pattern.get("detail-type")):
            continue
        status = listed(pattern.get("detail", {}).get("ModelApprovalStatus"))
        decided = "Approved" in status and set(status) <= {"Approved", "Rejected"}
        approvals += decided
        deploys = any("deploy" in str(resource_of(t["Arn"])).lower() for t in rule["Targets"])
        if not status or (deploys and not decided):
            findings.append(f"{name}: does not filter ModelApprovalStatus: [Approved]")
    return findings if approvals or findings else ["no rule leads from an approval to deployment"]


def examples_parse(folder: Path, types: Types) -> list[str]:
    """Find examples of our events that their class refuses, and classes without an example."""
    findings, seen = [], set()
    for path in sorted(folder.rglob("*.json")):
        example = json.loads(path.read_text())
        source, detail_type = example["source"], example["detail-type"]
        if source.startswith("aws."):
            if detail_type not in AWS_EVENTS.get(source, set()):
                findings.append(f"{path.name}: {source} announces no {detail_type!r}")
            continue
        kind = types.get(detail_type)
        if kind is None:
            findings.append(f"{path.name}: there is no event {detail_type}")
            continue
        seen.add(detail_type)
        place = f"{source.removeprefix('headrace.')}/{detail_type}.json"
        if path.relative_to(folder).as_posix() != place or source != kind.source:
            findings.append(f"{path.name}: belongs to events/{place}, from {kind.source}")
        try:
            kind.model_validate(example["detail"])
        except ValidationError as error:
            findings.append(f"{path.name}: {error}")
    return findings + [f"{name}: has no example" for name in sorted(types.keys() - seen)]


def examples_meet_their_rules(folder: Path, stack: Stack, values: Json) -> list[str]:
    """Find rules that no example would start: a pattern nothing matches is a rule that is off."""
    examples = [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]
    return [
        f"{name}: no example in {folder.name}/ matches its pattern"
        for name, rule in patterns(stack).items()
        if not any(matches(resolved(rule["EventPattern"], values), example) for example in examples)
    ]


def resolved(node: Any, values: Json) -> Any:
    """Return a pattern with names as `values` has them; another resource's name may be any."""
    if isinstance(node, list):
        return [resolved(value, values) for value in node]
    match node:
        case {"Ref": str(name)}:
            return values.get(name, {"exists": True})
        case {"Fn::Sub": str(text)}:
            for name, value in values.items():
                text = text.replace(f"${{{name}}}", value)
            return text
        case dict():
            return {key: resolved(value, values) for key, value in node.items()}
    return node


def matches(pattern: Any, event: Any) -> bool:
    """Return whether EventBridge would match: exact values, prefix, suffix, wildcard and more.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    """
    if isinstance(pattern, dict):
        return all(
            matches(wanted, event.get(key) if isinstance(event, dict) else None)
            for key, wanted in pattern.items()
        )
    values = event if isinstance(event, list) else [event]
    return any(_accepts(wanted, value) for wanted in pattern for value in values)


def _accepts(wanted: Any, value: Any) -> bool:
    match wanted:
        case {"prefix": prefix}:
            return isinstance(value, str) and value.startswith(prefix)
        case {"suffix": suffix}:
            return isinstance(value, str) and value.endswith(suffix)
        case {"wildcard": pattern}:
            parts = map(re.escape, pattern.split("*"))
            return isinstance(value, str) and bool(re.fullmatch(".*".join(parts), value))
        case {"exists": bool(there)}:
            return (value is not None) is there
        case {"anything-but": refused}:
            return value is not None and value not in listed(refused)
        case dict():
            raise NotImplementedError(f"event pattern operator {sorted(wanted)}")
    return bool(wanted == value)
