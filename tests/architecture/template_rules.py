"""Rules on resources: data stays, stays private, and the template and the code name the same."""

import ast
from pathlib import Path
from typing import Any

from tests.architecture.asl import substitutions
from tests.architecture.cfn import Json, Stack, listed, possible, read, resource_of
from tests.architecture.project import STAGES

TEMPLATE_LINES = 900
HANDLER_LINES = 60
_DATA = {
    "AWS::S3::Bucket",
    "AWS::DynamoDB::Table",
    "AWS::DynamoDB::GlobalTable",
    "AWS::ECR::Repository",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::SageMaker::FeatureGroup",
    "AWS::SageMaker::ModelPackageGroup",
}
_KEPT = {"Retain", "RetainExceptOnCreate"}
_BLOCKS = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}


def data_outlives_the_stack(stack: Stack) -> list[str]:
    """Find data that a deletion or a replacement would take along."""
    return [
        f"{name}: {policy} is not Retain"
        for name, resource in stack.resources.items()
        if resource["Type"] in _DATA
        for policy in ("DeletionPolicy", "UpdateReplacePolicy")
        if resource.get(policy) not in _KEPT
    ]


def buckets_are_private(stack: Stack) -> list[str]:
    """Find buckets that are public, unencrypted, unversioned, silent, or open without TLS."""
    findings = []
    policies = list(stack.of("AWS::S3::BucketPolicy").values())
    for name, bucket in stack.of("AWS::S3::Bucket").items():
        blocked = bucket.get("PublicAccessBlockConfiguration", {})
        findings += [
            f"{name}: {b} is not true" for b in sorted(_BLOCKS) if blocked.get(b) is not True
        ]
        if "BucketEncryption" not in bucket:
            findings.append(f"{name}: not encrypted")
        if bucket.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            findings.append(f"{name}: not versioned")
        events = bucket.get("NotificationConfiguration", {}).get("EventBridgeConfiguration", {})
        if events.get("EventBridgeEnabled") is not True:
            findings.append(f"{name}: tells EventBridge nothing")
        if not any(resource_of(p["Bucket"]) == name and _demands_tls(p, name) for p in policies):
            findings.append(f"{name}: no policy denies requests without TLS")
    return findings


def _demands_tls(policy: Json, bucket: str) -> bool:
    everything = [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]
    return any(
        s["Effect"] == "Deny"
        and s["Principal"] == "*"
        and "s3:*" in listed(s["Action"])
        and all(resource in listed(s["Resource"]) for resource in everything)
        and str(s.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")).lower()
        == "false"
        for s in possible(policy["PolicyDocument"])
    )


def nothing_is_public(stack: Stack) -> list[str]:
    """Find policies for everybody, function URLs and APIs without authorization."""
    findings = []
    for name, resource in stack.resources.items():
        properties = resource.get("Properties") or {}
        document = properties.get("PolicyDocument")
        for s in possible(document) if isinstance(document, dict) else []:
            if s["Effect"] == "Allow" and "*" in _principals(s.get("Principal")):
                findings.append(f"{name}: allows everybody")
        if properties.get("AuthType") == "NONE" or properties.get("AuthorizationType") == "NONE":
            findings.append(f"{name}: asks nobody who they are")
        if resource["Type"] == "AWS::Lambda::Permission" and properties.get("Principal") == "*":
            findings.append(f"{name}: lets everybody call")
    return findings


def _principals(principal: Any) -> list[Any]:
    if isinstance(principal, dict):
        return [p for values in principal.values() for p in listed(values)]
    return listed(principal)


def is_short(path: Path, limit: int = TEMPLATE_LINES) -> list[str]:
    """Find a file that nobody reads in one sitting."""
    lines = len(path.read_text().splitlines())
    return [f"{path.name}: {lines} lines, more than {limit}"] if lines > limit else []


def follows_the_journey(path: Path) -> list[str]:
    """Find functions and state machines that are not in the journey's order of stages."""
    findings = []
    last = 0
    for name, resource in read(path)["Resources"].items():
        stage = _stage(resource.get("Properties") or {})
        if stage is None:
            continue
        if stage not in STAGES:
            findings.append(f"{name}: {stage} is no stage of the journey")
        elif STAGES.index(stage) < last:
            findings.append(f"{name}: {stage} comes after {STAGES[last]}")
        else:
            last = STAGES.index(stage)
    return findings


def _stage(properties: Json) -> str | None:
    folder, _, rest = str(properties.get("CodeUri", "")).partition("/")
    if folder == "functions" and rest != "platform":  # what serves every stage comes where it may
        return rest.strip("/")
    definition = Path(str(properties.get("DefinitionUri", "")))
    return definition.name.split(".")[0] if definition.parts[:1] == ("statemachines",) else None


def functions(path: Path) -> dict[str, Json]:
    """Return the properties of the template's functions, by name."""
    return {
        name: resource["Properties"]
        for name, resource in read(path)["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def handler_file(template: Path, function: Json) -> Path:
    """Return the file a function's Handler is in."""
    module = str(function["Handler"]).rpartition(".")[0].replace(".", "/")
    return template.parent / str(function["CodeUri"]) / f"{module}.py"


def handlers_exist(template: Path) -> list[str]:
    """Find functions whose handler is not there or too long, and files no function uses."""
    findings, used = [], set()
    for name, function in functions(template).items():
        path = handler_file(template, function)
        used.add(path)
        if not path.exists():
            findings.append(f"{name}: there is no {path.relative_to(template.parent)}")
            continue
        if function["Handler"].rpartition(".")[2] not in _top_level_names(path):
            findings.append(f"{name}: {path.name} has no {function['Handler']}")
        findings += is_short(path, HANDLER_LINES)
    for path in sorted((template.parent / "functions").rglob("*.py")):
        if path not in used and path.name != "__init__.py":
            findings.append(f"{path.relative_to(template.parent)}: no function of the template")
    return findings if used else ["the template has no function"]


def _top_level_names(path: Path) -> set[str]:
    body = ast.parse(path.read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def substitutions_match(template: Path) -> list[str]:
    """Find substitutions the template does not supply, and ones no state machine uses."""
    findings, seen = [], 0
    for name, resource in read(template)["Resources"].items():
        if resource["Type"] != "AWS::Serverless::StateMachine":
            continue
        seen += 1
        path = template.parent / resource["Properties"]["DefinitionUri"]
        if not path.exists():
            findings.append(f"{name}: there is no {resource['Properties']['DefinitionUri']}")
            continue
        wanted = substitutions(path.read_text())
        given = set(resource["Properties"].get("DefinitionSubstitutions") or {})
        findings += [f"{name}: {s} is not supplied" for s in sorted(wanted - given)]
        findings += [f"{name}: {s} is supplied and not used" for s in sorted(given - wanted)]
    return findings if seen else ["the template has no state machine"]


RULES = (data_outlives_the_stack, buckets_are_private, nothing_is_public)
FILE_RULES = (is_short, follows_the_journey, handlers_exist, substitutions_match)
