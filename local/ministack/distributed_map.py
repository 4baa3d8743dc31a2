"""Map states in DISTRIBUTED mode: readers, batches, child executions, tolerance, result writers.

AWS ("Using Map state in Distributed mode", "ItemBatcher", "ResultWriter"): items come from the
input or from S3, may be batched, run as child executions of a Map Run, may fail up to a threshold,
and their results may be written to S3, which leaves the state with the Map Run and the place of
its manifest. Stock MiniStack ignores ItemBatcher, ResultWriter and every JSONata field.
"""

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions as sfn

from local.ministack import branches, guard, loopback, scopes, service_calls

_COUNTS = (
    "pending", "running", "succeeded", "failed", "timedOut", "aborted", "total",
    "resultsWritten", "failuresNotRedrivable", "pendingRedrive",
)  # fmt: skip
_MOST_AT_ONCE = 40  # AWS: 10,000; a laptop's threads end sooner


def install() -> None:
    """Replace the stock Map Run."""
    guard.replace(
        sfn, "_run_distributed_map", "state_def raw_input effective iterator execution ctx", run
    )
    for name in ("_map_runs", "_map_run_view", "_read_map_items"):
        guard.expect(hasattr(sfn, name), f"stepfunctions.{name} is missing")


def run(
    state: dict[str, Any],
    value: Any,
    effective: Any,
    processor: dict[str, Any],
    execution: dict[str, Any],
    ctx: dict[str, Any],
) -> Any:
    """The result of the state, before its Output, Assign or ResultPath."""
    items = _batched(state, value, effective, ctx, _selected(state, value, effective, ctx))
    map_run = MapRun(state, value, ctx, execution, len(items))
    works = [map_run.child(processor, ctx, index, item) for index, item in enumerate(items)]
    concurrency = int(branches.number(state, "MaxConcurrency", value, ctx) or _MOST_AT_ONCE)
    branches.run_each(works, concurrency, map_run.ended)
    results = map_run.results()
    writer = state.get("ResultWriter")
    return _write(writer, value, effective, ctx, map_run) if writer else results


class MapRun:
    """The children of one distributed Map and how they fared."""

    def __init__(
        self,
        state: dict[str, Any],
        value: Any,
        ctx: dict[str, Any],
        execution: dict[str, Any],
        total: int,
    ) -> None:
        names = execution["stateMachineArn"].split(":")
        label = f"{names[6].split('/')[0]}/{state.get('Label') or ctx['State']['Name']}"
        self._where = ":".join(names[3:5])
        self._label = label
        self.machine = f"arn:aws:states:{self._where}:stateMachine:{label}"
        self.arn = f"arn:aws:states:{self._where}:mapRun:{label}:{uuid.uuid4()}"
        self.children: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._count = branches.number(state, "ToleratedFailureCount", value, ctx)
        self._percentage = branches.number(state, "ToleratedFailurePercentage", value, ctx)
        self._outputs: list[Any] = [None] * total
        self._failed = 0
        counts = dict.fromkeys(_COUNTS, 0) | {"total": total, "pending": total}
        self._record = {
            "mapRunArn": self.arn,
            "executionArn": execution["executionArn"],
            "status": "RUNNING",
            "startDate": sfn.now_iso(),
            "maxConcurrency": int(branches.number(state, "MaxConcurrency", value, ctx) or 0),
            "toleratedFailurePercentage": self._percentage or 0,
            "toleratedFailureCount": int(self._count or 0),
            "itemCounts": counts,
            "executionCounts": dict(counts),
            "redriveCount": 0,
            "_stateMachineArn": self.machine,
        }
        sfn._map_runs[self.arn] = self._record

    def child(
        self, processor: dict[str, Any], ctx: dict[str, Any], index: int, item: Any
    ) -> Callable[[], Any]:
        """What runs one item (or batch) as an execution of its own."""

        def work() -> Any:
            child = self._begin(item)
            own = {**ctx, "Map": {"Item": {"Index": index, "Value": item}}}
            try:
                output = sfn._run_sub_machine(
                    processor["States"], processor["StartAt"], item, child, own
                )
            except sfn._ExecutionError as error:
                child.update(status="FAILED", error=error.error, cause=error.cause)
                raise
            else:
                child.update(status="SUCCEEDED", output=json.dumps(output))
                return output
            finally:
                child["stopDate"] = sfn.now_iso()

        return work

    def ended(self, index: int, result: Any, error: Exception | None) -> bool:
        """Count the end of a child; False when too many have failed."""
        self._outputs[index] = result
        self._failed += error is not None
        self._move("running", "failed" if error else "succeeded")
        return not self._exceeded()

    def results(self) -> list[Any]:
        """The outputs in the order of the items; raises when too many have failed."""
        exceeded = self._exceeded()
        self._record.update(status="FAILED" if exceeded else "SUCCEEDED", stopDate=sfn.now_iso())
        if exceeded:
            raise sfn._ExecutionError(
                "States.ExceedToleratedFailureThreshold",
                "The specified tolerated failure threshold was exceeded",
            )
        return self._outputs

    def _exceeded(self) -> bool:
        allowed = [] if self._count is None else [self._count]
        if self._percentage is not None:
            allowed.append(self._percentage / 100 * len(self._outputs))
        return self._failed > min(allowed, default=0)

    def _begin(self, item: Any) -> dict[str, Any]:
        name = str(uuid.uuid4())
        child: dict[str, Any] = {
            "executionArn": f"arn:aws:states:{self._where}:execution:{self._label}:{name}",
            "stateMachineArn": self.machine,
            "name": name,
            "status": "RUNNING",
            "startDate": sfn.now_iso(),
            "stopDate": None,
            "input": json.dumps(item),
            "inputDetails": {"included": True},
            "output": None,
            "outputDetails": {"included": True},
            "mapRunArn": self.arn,
            "events": [],
        }
        sfn._executions[child["executionArn"]] = child
        self.children.append(child)
        self._move("pending", "running")
        return child

    def _move(self, old: str, new: str) -> None:
        with self._lock:
            for counts in (self._record["itemCounts"], self._record["executionCounts"]):
                counts[old] -= 1
                counts[new] += 1


def _selected(state: dict[str, Any], value: Any, effective: Any, ctx: dict[str, Any]) -> list[Any]:
    reader = state.get("ItemReader")
    if reader:
        parameters = _evaluated(reader, value, effective, ctx)
        _authorize("States.ItemReaderFailed", reader["Resource"], parameters)
        config = sfn._apply_jsonata_template(reader.get("ReaderConfig") or {}, value, ctx)
        plain = {**reader, "Parameters": parameters, "ReaderConfig": config}
        items = sfn._read_map_items(plain, effective, ctx)
    else:
        items = branches.items_of(state, value, effective, ctx)
    return [
        branches.select(
            state, value, effective, item, {**ctx, "Map": {"Item": {"Index": index, "Value": item}}}
        )
        for index, item in enumerate(items)
    ]


def _batched(
    state: dict[str, Any], value: Any, effective: Any, ctx: dict[str, Any], items: list[Any]
) -> list[Any]:
    batcher = state.get("ItemBatcher")
    if not batcher:
        return items
    most = int(branches.number(batcher, "MaxItemsPerBatch", value, ctx) or len(items) or 1)
    limit = branches.number(batcher, "MaxInputBytesPerBatch", value, ctx) or 256 * 1024
    shared = {}
    if "BatchInput" in batcher:
        wrapped = {"Arguments": batcher["BatchInput"], "Parameters": batcher["BatchInput"]}
        shared = {"BatchInput": _evaluated(wrapped, value, effective, ctx)}
    batches: list[list[Any]] = []
    size = 0
    for item in items:
        length = len(json.dumps(item).encode())
        if not batches or len(batches[-1]) >= most or size + length > limit:
            batches.append([])
            size = 0
        batches[-1].append(item)
        size += length
    return [{**shared, "Items": batch} for batch in batches]


def _evaluated(part: dict[str, Any], value: Any, effective: Any, ctx: dict[str, Any]) -> Any:
    """Arguments (JSONata) or Parameters (JSONPath) of a reader or writer."""
    if ctx["QueryLanguage"] == "JSONata":
        return sfn._apply_jsonata_template(part.get("Arguments") or {}, value, ctx)
    return sfn._resolve_params_obj(part.get("Parameters") or {}, effective, ctx)


def _authorize(error_name: str, resource: str, request: dict[str, Any]) -> None:
    scope = scopes.current()
    if not scope:
        return
    try:
        service_calls.authorize(scope.role_arn, resource, request)
    except sfn._ExecutionError as error:
        raise sfn._ExecutionError(error_name, error.cause) from error


def _write(
    writer: dict[str, Any], value: Any, effective: Any, ctx: dict[str, Any], map_run: MapRun
) -> dict[str, Any]:
    where = _evaluated(writer, value, effective, ctx)
    bucket = where["Bucket"]
    folder = f"{where.get('Prefix', '').rstrip('/')}/{map_run.arn.rsplit(':', 1)[-1]}".lstrip("/")
    files: dict[str, list[dict[str, Any]]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status in ("FAILED", "SUCCEEDED"):
        ended = [_described(each) for each in map_run.children if each["status"] == status]
        if ended:
            key = f"{folder}/{status}_0.json"
            files[status].append({"Key": key, "Size": _put(bucket, key, ended)})
    key = f"{folder}/manifest.json"
    manifest = {"DestinationBucket": bucket, "MapRunArn": map_run.arn, "ResultFiles": files}
    _put(bucket, key, manifest)
    return {"MapRunArn": map_run.arn, "ResultWriterDetails": {"Bucket": bucket, "Key": key}}


def _put(bucket: str, key: str, content: Any) -> int:
    put, where = "arn:aws:states:::s3:putObject", {"Bucket": bucket, "Key": key}
    _authorize("States.ResultWriterFailed", put, where)
    body = json.dumps(content).encode()
    loopback.client("s3").put_object(**where, Body=body)
    return len(body)


def _described(child: dict[str, Any]) -> dict[str, Any]:
    described = {
        "ExecutionArn": child["executionArn"],
        "Input": child["input"],
        "InputDetails": {"Included": True},
        "Name": child["name"],
        "StartDate": child["startDate"],
        "StateMachineArn": child["stateMachineArn"],
        "Status": child["status"],
        "StopDate": child["stopDate"],
    }
    if child["status"] == "SUCCEEDED":
        return described | {"Output": child["output"], "OutputDetails": {"Included": True}}
    return described | {"Error": child.get("error"), "Cause": child.get("cause")}
