"""Rules on permissions: nothing wide without a written reason, and who trains never approves."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from tests.architecture.cfn import Json, Stack, compose, listed, possible, resource_of
from tests.architecture.project import relative

_APPROVING = ("sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage")
_TRAINING = ("sagemaker:CreateTrainingJob", "sagemaker:CreateModelPackage")
_REASON = re.compile(r"(^|\s)#\s*\w+")
_PLACEHOLDER = re.compile(r"\$\{[^}]*\}")
_ALL_OF_A_KIND = re.compile(r"arn:[^:]*:[^:]*:[^:]*:[^:]*:([a-zA-Z-]+[:/])?\*")


def wildcards_have_a_reason(path: Path) -> list[str]:
    """Find wide Actions and Resources with no comment beside or above them.

    Wide is an Action with a `*`, and a Resource that is `*` or every one of a kind, such as
    `arn:aws:sagemaker:...:training-job/*`; a name's prefix is not wide.
    """
    lines = path.read_text().splitlines()
    findings = []
    for statement, value in _wide(compose(path)):
        beside = (value.start_mark.line, value.start_mark.line - 1, statement.start_mark.line - 1)
        reasons = [lines[beside[0]], *(lines[n] for n in beside[1:] if _is_comment(lines[n]))]
        if not any(_REASON.search(line) for line in reasons):
            findings.append(
                f"{relative(path)}:{beside[0] + 1}: {value.value!r} is wide and no comment says why"
            )
    return findings


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _wide(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.ScalarNode]]:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _wide(child)
    if isinstance(node, yaml.MappingNode):
        keys = {key.value for key, _ in node.value}
        for key, value in node.value:
            if "Effect" in keys and key.value in {"Action", "NotAction", "Resource", "NotResource"}:
                for scalar in _scalars(value):
                    if _is_wide(scalar.value, key.value):
                        yield node, scalar
            else:
                yield from _wide(value)


def _scalars(node: yaml.Node) -> list[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        return [node]
    return (
        [scalar for child in node.value for scalar in _scalars(child)]
        if isinstance(node, yaml.SequenceNode)
        else []
    )


def _is_wide(text: str, key: str) -> bool:
    if "Action" in key:
        return "*" in text
    plain = _PLACEHOLDER.sub("x", text)
    return plain == "*" or _ALL_OF_A_KIND.fullmatch(plain) is not None


def statements(stack: Stack) -> dict[str, list[Json]]:
    """Return the statements of every role: inline, and of the managed policies it is given."""
    managed = stack.of("AWS::IAM::ManagedPolicy") | stack.of("AWS::IAM::Policy")
    found: dict[str, list[Json]] = {}
    for name, role in stack.of("AWS::IAM::Role").items():
        documents = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
        attached = {resource_of(arn) for arn in role.get("ManagedPolicyArns", [])}
        documents += [
            policy["PolicyDocument"]
            for key, policy in managed.items()
            if key in attached or name in map(resource_of, policy.get("Roles", []))
        ]
        found[name] = [s for document in documents for s in possible(document)]
    return found


def allows(own: list[Json], action: str) -> bool:
    """Return whether statements allow an action on anything."""
    return any(
        s["Effect"] == "Allow"
        and any(fnmatchcase(action.lower(), str(a).lower()) for a in listed(s.get("Action")))
        for s in own
    )


def _denies_approval(own: list[Json], action: str) -> bool:
    return any(
        s["Effect"] == "Deny"
        and action in listed(s.get("Action"))
        and s.get("Resource") == "*"
        and listed(
            s.get("Condition", {}).get("StringEquals", {}).get("sagemaker:ModelApprovalStatus")
        )
        == ["Approved"]
        for s in own
    )


def trainers(stack: Stack) -> set[str]:
    """Return the roles that train or register: by what they may do, or by being the job's role."""
    able = {
        name
        for name, own in statements(stack).items()
        if any(allows(own, action) for action in _TRAINING)
    }
    return able | {
        role
        for function in stack.of("AWS::Lambda::Function").values()
        if (role := resource_of(_variables(function).get("JOB_ROLE_ARN")))
    }


def _variables(function: Json) -> Json:
    variables: Json = function.get("Environment", {}).get("Variables", {})
    return variables


def who_trains_never_approves(stack: Stack) -> list[str]:
    """Find roles that train and are not denied to approve, in either of the two ways there are."""
    own, found = statements(stack), sorted(trainers(stack))
    if not found:
        return ["no role trains: this check would hold nothing"]
    return [
        f"{role}: trains, and is not denied {action} as Approved"
        for role in found
        for action in _APPROVING
        if not _denies_approval(own.get(role, []), action)
    ]


def roles_trust_their_service_for_this_account(stack: Stack) -> list[str]:
    """Find roles that a service may assume for somebody else's account (the confused deputy).

    The roles SAM adds take no condition; Lambda and Step Functions assume roles for nobody else.
    """
    deputies = {
        "codebuild.amazonaws.com",
        "events.amazonaws.com",
        "sagemaker.amazonaws.com",
        "scheduler.amazonaws.com",
    }
    return [
        f"{name}: trusts {service} whatever account it acts for"
        for name, role in stack.of("AWS::IAM::Role").items()
        if name not in stack.added
        for statement in possible(role["AssumeRolePolicyDocument"])
        for service in listed(statement["Principal"].get("Service"))
        if service in deputies and not _names_source(statement)
    ]


def _names_source(statement: Json) -> bool:
    conditions: dict[str, Any] = statement.get("Condition", {})
    keys = {key for operator in conditions.values() for key in operator}
    return bool(keys & {"aws:SourceAccount", "aws:SourceArn"})


def roles_are_passed_to_one_service(stack: Stack) -> list[str]:
    """Find iam:PassRole without iam:PassedToService, or of any role."""
    findings = []
    for role, own in statements(stack).items():
        for s in own:
            if s["Effect"] == "Allow" and "iam:PassRole" in listed(s.get("Action")):
                service = s.get("Condition", {}).get("StringEquals", {}).get("iam:PassedToService")
                if not service or "*" in map(str, listed(s["Resource"])):
                    findings.append(f"{role}: iam:PassRole to any service, or of any role")
    return findings


RULES = (
    who_trains_never_approves,
    roles_trust_their_service_for_this_account,
    roles_are_passed_to_one_service,
)
