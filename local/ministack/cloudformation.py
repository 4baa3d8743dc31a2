"""CloudFormation: definitions in YAML, missing resource types, properties silently dropped.

Each function says what AWS documents and what stock MiniStack does with it.
"""

import json
from collections.abc import Callable
from typing import Any

import yaml
from ministack.services import cloudformation
from ministack.services.cloudformation import provisioners, stacks

from local.ministack import guard, loopback

Properties = dict[str, Any]

_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")
_OURS: set[str] = set()


def install() -> None:
    """Register the corrections."""
    guard.replace(stacks, "_runs_on_worker_thread", "resource_type", _runs_on_worker_thread)
    parameters = "resource_type physical_id old_props new_props stack_name logical_id old_attrs"
    guard.replace(provisioners, "_update_resource", parameters, _update)
    stacks._update_resource = _update  # imported by name
    _accept_yaml_definitions()
    _make_composite_alarms()
    _apply_after("AWS::S3::Bucket", _finish_bucket)
    _apply_after("AWS::Lambda::Function", _finish_function)
    _apply_after("AWS::DynamoDB::Table", _finish_table)


def _runs_on_worker_thread(resource_type: str) -> bool:
    """Ours call this server back, so they must not run on its event loop."""
    return resource_type in _OURS or guard.stock(_runs_on_worker_thread)(resource_type)


def _update(
    resource_type: str,
    physical_id: str,
    old_props: Properties,
    new_props: Properties,
    stack_name: str,
    logical_id: str | None = None,
    old_attrs: Properties | None = None,
) -> Any:
    """A resource that was updated in place keeps its attributes, as Fn::GetAtt documents.

    Stock forgets those its update does not mention, and whatever reads one fails the stack. A
    nested stack's update does not even say what they were: its record does.
    """
    resources = (cloudformation._stacks.get(stack_name) or {}).get("_resources", {})
    before = old_attrs or resources.get(logical_id, {}).get("Attributes") or {}
    updated_id, changed = guard.stock(_update)(
        resource_type, physical_id, old_props, new_props, stack_name, logical_id, old_attrs
    )
    if updated_id == physical_id:
        changed = {**before, **(changed or {})}
    return updated_id, changed


def _accept_yaml_definitions() -> None:
    """AWS::StepFunctions::StateMachine (DefinitionS3Location, DefinitionString): JSON or YAML.

    Stock creates the machine from the YAML text; every execution then fails to parse it.
    """

    def definition(props: Properties) -> str:
        text = guard.stock(definition)(props)
        try:
            json.loads(text)
        except ValueError:
            return json.dumps(yaml.safe_load(text), default=str)
        return str(text)

    guard.replace(provisioners, "_sfn_definition", "props", definition)


def _make_composite_alarms() -> None:
    """AWS::CloudWatch::CompositeAlarm; stock refuses the type."""
    kind = "AWS::CloudWatch::CompositeAlarm"
    guard.expect(kind not in provisioners._RESOURCE_HANDLERS, f"{kind} is supported now")
    _OURS.add(kind)

    def put(name: str, props: Properties) -> tuple[str, dict[str, str]]:
        fields = ("AlarmRule", "AlarmDescription", "ActionsEnabled", "Tags", *_ACTIONS)
        given = {field: props[field] for field in fields if field in props}
        cloudwatch = loopback.client("cloudwatch")
        cloudwatch.put_composite_alarm(AlarmName=name, **given)
        found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
        return name, {"Arn": found["CompositeAlarms"][0]["AlarmArn"]}

    def create(logical_id: str, props: Properties, stack: str) -> tuple[str, dict[str, str]]:
        return put(props.get("AlarmName") or f"{stack}-{logical_id}", props)

    def update(
        name: str, _old: Properties, props: Properties, _stack: str
    ) -> tuple[str, dict[str, str]]:
        return put(name, props)

    def delete(name: str, _props: Properties) -> None:
        loopback.client("cloudwatch").delete_alarms(AlarmNames=[name])

    provisioners._RESOURCE_HANDLERS[kind] = {"create": create, "update": update, "delete": delete}


def _apply_after(kind: str, finish: Callable[[str, Properties, Properties], None]) -> None:
    """Run `finish(physical id, properties, previous properties)` once stock has made `kind`."""
    handler = provisioners._RESOURCE_HANDLERS.get(kind, {})
    guard.expect({"create", "update"} <= set(handler), f"the provisioner of {kind}")
    _OURS.add(kind)
    stock_create, stock_update = handler["create"], handler["update"]

    def create(logical_id: str, props: Properties, stack: str) -> Any:
        made = stock_create(logical_id, props, stack)
        finish(made[0], props, {})
        return made

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack: str,
        *logical_id: Any,
        **more: Any,
    ) -> Any:
        made = stock_update(physical_id, old, new, stack, *logical_id, **more)
        finish(made[0] if isinstance(made, tuple) else physical_id, new, old)
        return made

    handler.update(create=create, update=update)


def _finish_bucket(name: str, props: Properties, old: Properties) -> None:
    """AWS::S3::Bucket BucketEncryption and LifecycleConfiguration; stock drops both."""
    s3 = loopback.client("s3")
    if "BucketEncryption" in props:
        rules = [
            {**rule, "ApplyServerSideEncryptionByDefault": _encryption(rule)}
            for rule in props["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        ]
        for rule in rules:
            rule.pop("ServerSideEncryptionByDefault", None)
        s3.put_bucket_encryption(
            Bucket=name, ServerSideEncryptionConfiguration={"Rules": _typed(rules)}
        )
    if "LifecycleConfiguration" in props:
        rules = [_lifecycle_rule(rule) for rule in props["LifecycleConfiguration"]["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    elif "LifecycleConfiguration" in old:
        s3.delete_bucket_lifecycle(Bucket=name)


def _encryption(rule: Properties) -> Properties:
    default = rule.get("ServerSideEncryptionByDefault") or {"SSEAlgorithm": "AES256"}
    return {key: value for key, value in default.items() if value}


def _lifecycle_rule(rule: Properties) -> Properties:
    """A template's rule as PutBucketLifecycleConfiguration takes it."""
    rule = _typed(rule)
    made: Properties = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    tags = rule.get("TagFilters") or []
    if tags:
        made["Filter"] = {"And": {"Prefix": rule.get("Prefix", ""), "Tags": tags}}
    if "Id" in rule:
        made["ID"] = rule["Id"]
    expiration = {
        api: rule[name]
        for name, api in (
            ("ExpirationInDays", "Days"),
            ("ExpirationDate", "Date"),
            ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"),
        )
        if name in rule
    }
    if expiration:
        made["Expiration"] = expiration
    transitions = rule.get("Transitions") or ([rule["Transition"]] if "Transition" in rule else [])
    if transitions:
        made["Transitions"] = [
            {"StorageClass": each["StorageClass"], "Days": each["TransitionInDays"]}
            for each in transitions
        ]
    for name in ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"):
        if name in rule:
            made[name] = rule[name]
    return made


def _finish_function(name: str, props: Properties, old: Properties) -> None:
    """AWS::Lambda::Function DeadLetterConfig, KmsKeyArn, ReservedConcurrentExecutions: dropped."""
    lambda_ = loopback.client("lambda")
    settings = {
        "DeadLetterConfig": props.get("DeadLetterConfig"),
        "KMSKeyArn": props.get("KmsKeyArn"),
    }
    given = {key: value for key, value in settings.items() if value}
    if given:
        lambda_.update_function_configuration(FunctionName=name, **given)
    if props.get("ReservedConcurrentExecutions") is not None:
        lambda_.put_function_concurrency(
            FunctionName=name,
            ReservedConcurrentExecutions=int(props["ReservedConcurrentExecutions"]),
        )
    elif old.get("ReservedConcurrentExecutions") is not None:
        lambda_.delete_function_concurrency(FunctionName=name)


def _finish_table(name: str, props: Properties, _old: Properties) -> None:
    """AWS::DynamoDB::Table TimeToLiveSpecification, PointInTimeRecovery, SSE: dropped."""
    dynamodb = loopback.client("dynamodb")
    lifetime = props.get("TimeToLiveSpecification")
    current = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    wanted = _typed(lifetime) if lifetime else None
    if wanted and wanted["Enabled"] != (current["TimeToLiveStatus"] == "ENABLED"):
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=wanted)
    recovery = props.get("PointInTimeRecoverySpecification")
    if recovery:
        dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification=_typed(recovery)
        )
    encryption = _typed(props.get("SSESpecification") or {})
    if encryption:
        wire = {
            "Enabled": encryption["SSEEnabled"],
            "SSEType": encryption.get("SSEType"),
            "KMSMasterKeyId": encryption.get("KMSMasterKeyId"),
        }
        dynamodb.update_table(
            TableName=name, SSESpecification={key: each for key, each in wire.items() if each}
        )


def _typed(value: Any) -> Any:
    """Booleans and whole numbers that a template gave as text, as the SDK wants them."""
    if isinstance(value, dict):
        return {key: _typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    if value in ("true", "false"):
        return value == "true"
    return int(value) if isinstance(value, str) and value.isdigit() else value
