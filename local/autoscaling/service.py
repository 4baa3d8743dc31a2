"""The operations of Application Auto Scaling, checked by botocore's model of it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from local.autoscaling import policies
from local.autoscaling.monitor import Monitor
from local.autoscaling.scaler import Scaler
from local.autoscaling.variants import SERVICE_ROLE, Call, Variant, require_supported
from local.sagemaker import shapes
from local.sagemaker.errors import ServiceError, invalid, not_implemented
from local.sagemaker.resources import paginate
from local.sagemaker.store import Record, Store

_SERVICE = "application-autoscaling"
_TARGET = "AnyScaleFrontendService."
_PAGE = 50
Answer: TypeAlias = tuple[int, dict[str, str], bytes]
logger = logging.getLogger(__name__)


class AutoScaling:
    """Scalable targets, policies and scheduled actions of endpoint variants.

    They are kept in the folder `state`. `sagemaker` carries out an operation of SageMaker.
    `period` is what a minute of the alarms of target tracking lasts, in seconds. `call` and
    `handle` may be used from any thread.
    """

    def __init__(self, state: Path, sagemaker: Call, monitor: Monitor, period: float) -> None:
        self._store = Store(state.resolve() / "autoscaling.db")
        self._sagemaker = sagemaker
        self._monitor = monitor
        self._period = period
        self._scaler = Scaler(self._store, sagemaker, monitor, period, self._forget)
        self._handlers: dict[str, Callable[[Record], Record | None]] = {
            "RegisterScalableTarget": self._register,
            "DeregisterScalableTarget": self._deregister,
            "DescribeScalableTargets": lambda request: self._list("ScalableTarget", request),
            "PutScalingPolicy": self._put_policy,
            "DeleteScalingPolicy": self._delete_policy,
            "DescribeScalingPolicies": lambda request: self._list("ScalingPolicy", request),
            "PutScheduledAction": self._put_action,
            "DeleteScheduledAction": self._delete_action,
            "DescribeScheduledActions": lambda request: self._list("ScheduledAction", request),
            "DescribeScalingActivities": lambda request: self._list("ScalingActivity", request),
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._tags,
        }

    def start(self) -> None:
        """Begin to scale; alarms that CloudWatch lost in a crash are made again."""
        for policy in self._store.all("ScalingPolicy"):
            self._put_alarms(policy)
        self._scaler.start()

    def close(self) -> None:
        """Stop scaling; the state stays."""
        self._scaler.close()

    def variants(self, endpoint: str) -> set[str]:
        """Return the names of an endpoint's variants that are scalable targets."""
        found = [Variant.of(target) for target in self._store.all("ScalableTarget")]
        return {variant.name for variant in found if variant.endpoint == endpoint}

    @property
    def operations(self) -> frozenset[str]:
        """The operations that run here."""
        return frozenset(self._handlers)

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer an operation. Raises ServiceError."""
        if shapes.operation_model(operation, _SERVICE) is None:
            raise ServiceError("UnknownOperationException", f"Unknown operation {operation}")
        handler = self._handlers.get(operation)
        if handler is None:
            raise not_implemented(f"Application Auto Scaling's {operation}")
        answer = handler(shapes.parse(operation, request, _SERVICE))
        return shapes.render(operation, answer, _SERVICE)

    async def handle(
        self,
        method: str,  # noqa: ARG002 - the protocol knows only POST
        path: str,  # noqa: ARG002 - and only "/"
        headers: dict[str, str],
        body: bytes,
        query: object = None,  # noqa: ARG002 - and no query
    ) -> Answer:
        """Answer an HTTP request. Header names: lower."""
        try:
            request = json.loads(body or b"{}")
            operation = headers.get("x-amz-target", "").removeprefix(_TARGET)
            answer = await asyncio.to_thread(self.call, operation, request)
            status, content = 200, json.dumps(answer)
        except ServiceError as error:
            status, content = error.status, _error(error.code, error.message)
        except ValueError as error:
            status, content = 400, _error("SerializationException", str(error))
        except Exception as error:  # a request's boundary: AWS answers with a fault
            logger.exception("application-autoscaling")
            status, content = 500, _error("InternalServiceException", repr(error))
        return status, {"Content-Type": "application/x-amz-json-1.1"}, content.encode()

    def _register(self, request: Record) -> Record:
        require_supported(request)
        variant = Variant.of(request)
        found = self._store.get("ScalableTarget", _key(request)) or {}
        members = ("MinCapacity", "MaxCapacity", "RoleARN", "SuspendedState")
        wanted = {**found, **{name: request[name] for name in members if name in request}}
        if "MinCapacity" not in wanted or "MaxCapacity" not in wanted:
            raise invalid("Both MinCapacity and MaxCapacity must be specified for a new target.")
        least, most = wanted["MinCapacity"], wanted["MaxCapacity"]
        if not 0 <= least <= most:
            raise invalid("Maximum capacity cannot be less than minimum capacity.")
        state = variant.read(self._sagemaker)
        if least == 0 and not state.may_be_empty:
            raise invalid(
                "MinCapacity must be at least 1: only variants of asynchronous endpoints can scale "
                "to 0."
            )
        if found:
            if "Tags" in request:
                raise invalid(
                    "The scalable target that you tried to tag already exists. To update tags on "
                    "an existing scalable target, use the TagResource API."
                )
            self._store.update(
                "ScalableTarget", _key(request), lambda record: record.update(wanted)
            )
            return found
        arn = self._arn("application-autoscaling", f"scalable-target/{uuid.uuid4().hex}")
        record = {
            **_of(request),
            "RoleARN": SERVICE_ROLE.format(account=self._monitor.account_id),
            "SuspendedState": {
                "DynamicScalingInSuspended": False,
                "DynamicScalingOutSuspended": False,
                "ScheduledScalingSuspended": False,
            },
            **wanted,
            "CreationTime": time.time(),
            "ScalableTargetARN": arn,
            "_tags": request.get("Tags", {}),
        }
        self._store.insert("ScalableTarget", _key(request), arn, record)
        return record

    def _deregister(self, request: Record) -> None:
        self._require_target(request)
        self._forget(request)

    def _forget(self, target: Record) -> None:
        """Remove a target with its policies and actions."""
        for kind in ("ScalingPolicy", "ScheduledAction"):
            for record in self._store.all(kind):
                if _key(record) == _key(target):
                    self._remove(kind, record)
        self._store.delete("ScalableTarget", _key(target))

    def _put_policy(self, request: Record) -> Record:
        require_supported(request)
        self._require_target(request)
        key = f"{_key(request)}|{request['PolicyName']}"
        found = self._store.get("ScalingPolicy", key)
        others = [
            each
            for each in self._store.all("ScalingPolicy")
            if _key(each) == _key(request) and each["PolicyName"] != request["PolicyName"]
        ]
        policies.check(request, found, others)
        arn = found["PolicyARN"] if found else self._policy_arn(request)
        record = {
            **(found or {"CreationTime": time.time()}),
            **_of(request),
            **{name: request[name] for name in policies.MEMBERS if name in request},
            "PolicyARN": arn,
        }
        before = {alarm["AlarmName"] for alarm in record.get("Alarms", [])}
        record["Alarms"] = self._put_alarms(record)
        kept = {alarm["AlarmName"] for alarm in record["Alarms"]}
        self._monitor.delete_alarms(sorted(before - kept))
        if found:
            self._store.update("ScalingPolicy", key, lambda kept: kept.update(record))
        else:
            self._store.insert("ScalingPolicy", key, arn, record)
        return record

    def _put_alarms(self, policy: Record) -> list[Record]:
        return [
            {"AlarmName": alarm["AlarmName"], "AlarmARN": self._monitor.put_alarm(alarm)}
            for alarm in policies.alarms(policy, self._period)
        ]

    def _delete_policy(self, request: Record) -> None:
        self._remove("ScalingPolicy", self._find("ScalingPolicy", request, "PolicyName"))

    def _put_action(self, request: Record) -> None:
        require_supported(request)
        self._require_target(request)
        name = request["ScheduledActionName"]
        key = f"{_key(request)}|{name}"
        found = self._store.get("ScheduledAction", key)
        record = {**(found or {"CreationTime": time.time()}), **request, "_since": time.time()}
        if "Schedule" not in record or not record.get("ScalableTargetAction"):
            raise invalid("Schedule and ScalableTargetAction are required for a new action.")
        try:
            self._monitor.next_run(record["Schedule"], record.get("Timezone", "UTC"), time.time())
        except ValueError as error:
            raise invalid(f"{error}") from error
        if found:
            self._store.update("ScheduledAction", key, lambda kept: kept.update(record))
            return
        where = f"{uuid.uuid4()}:resource/sagemaker/{request['ResourceId']}"
        arn = self._arn("autoscaling", f"scheduledAction:{where}:scheduledActionName/{name}")
        self._store.insert("ScheduledAction", key, arn, {**record, "ScheduledActionARN": arn})

    def _delete_action(self, request: Record) -> None:
        found = self._find("ScheduledAction", request, "ScheduledActionName")
        self._remove("ScheduledAction", found)

    def _tag(self, request: Record) -> None:
        tagged = self._tagged(request)
        self._set_tags(tagged, {**tagged["_tags"], **request["Tags"]})

    def _untag(self, request: Record) -> None:
        tagged = self._tagged(request)
        kept = {key: tag for key, tag in tagged["_tags"].items() if key not in request["TagKeys"]}
        self._set_tags(tagged, kept)

    def _tags(self, request: Record) -> Record:
        return {"Tags": self._tagged(request)["_tags"]}

    def _set_tags(self, tagged: Record, tags: dict[str, str]) -> None:
        self._store.update("ScalableTarget", _key(tagged), lambda kept: kept.update(_tags=tags))

    def _tagged(self, request: Record) -> Record:
        for record in self._store.all("ScalableTarget"):
            if record["ScalableTargetARN"] == request["ResourceARN"]:
                return record
        message = f"The resource {request['ResourceARN']} doesn't exist."
        raise ServiceError(
            "ResourceNotFoundException", message, ResourceName=request["ResourceARN"]
        )

    def _list(self, kind: str, request: Record) -> Record:
        """Answer a Describe operation: filtered, a page of it, activities newest first."""
        named = {
            "ScalableTarget": ("ResourceIds", "ResourceId"),
            "ScalingPolicy": ("PolicyNames", "PolicyName"),
            "ScheduledAction": ("ScheduledActionNames", "ScheduledActionName"),
        }
        given, member = named.get(kind, ("", ""))
        rows = [
            record
            for record in self._store.all(kind)
            if all(
                record[name] == request[name]
                for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")
                if name in request
            )
            and (not request.get(given) or record[member] in request[given])
        ]
        is_activity = kind == "ScalingActivity"
        when, name = ("StartTime", "ActivityId") if is_activity else ("CreationTime", member)
        page, token = paginate(
            rows, request, lambda record: [record[when], record[name]], is_activity, _PAGE
        )
        plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
        return {plural: page, **({"NextToken": token} if token else {})}

    def _remove(self, kind: str, record: Record) -> None:
        name = record["PolicyName" if kind == "ScalingPolicy" else "ScheduledActionName"]
        self._monitor.delete_alarms([alarm["AlarmName"] for alarm in record.get("Alarms", [])])
        self._store.delete(kind, f"{_key(record)}|{name}")

    def _find(self, kind: str, request: Record, member: str) -> Record:
        found = self._store.get(kind, f"{_key(request)}|{request[member]}")
        if found is None:
            what = {"ScalingPolicy": "scaling policy", "ScheduledAction": "scheduled action"}[kind]
            raise _missing(f"No {what} found", request)
        return found

    def _require_target(self, request: Record) -> None:
        if self._store.get("ScalableTarget", _key(request)) is None:
            raise _missing("No scalable target registered", request)

    def _policy_arn(self, request: Record) -> str:
        where = f"{uuid.uuid4()}:resource/sagemaker/{request['ResourceId']}"
        return self._arn("autoscaling", f"scalingPolicy:{where}:policyName/{request['PolicyName']}")

    def _arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self._monitor.region}:{self._monitor.account_id}:{rest}"


def _of(request: Record) -> Record:
    """Return the members that say what is scaled."""
    return {name: request[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")}


def _key(record: Record) -> str:
    return f"{record['ResourceId']}|{record['ScalableDimension']}"


def _missing(what: str, request: Record) -> ServiceError:
    return ServiceError(
        "ObjectNotFoundException",
        f"{what} for service namespace: {request['ServiceNamespace']}, resource ID: "
        f"{request['ResourceId']}, scalable dimension: {request['ScalableDimension']}",
    )


def _error(code: str, message: str) -> str:
    return json.dumps({"__type": code, "message": message, "Message": message})
