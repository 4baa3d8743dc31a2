"""Lambda invocations: error names, queueing, metrics from log lines.

AWS ("Lambda function errors", "Embedded metric format", "Understanding concurrency", "Error
handling in Step Functions"): an exception's class name is its errorType, crashes and time-outs
reach Step Functions as Lambda.Unknown, a throttle as Lambda.TooManyRequestsException, and EMF log
lines become metrics. Stock MiniStack calls every exception Runtime.HandlerError and kills the
process, throttles at a cap that a laptop reaches at once (here invocations queue), and makes no
metrics of log lines. Recursion is detected by the lineage in the trace header, as on AWS.
"""

import json
import logging
import re
import secrets
import time
from contextvars import ContextVar
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import cloudwatch, lambda_svc
from ministack.services import stepfunctions as sfn

from local.ministack import environments, guard, instance
from local.ministack.environments import Function, Pool

_log = logging.getLogger(__name__)
_LINEAGE = re.compile(r"Lineage=(\d+):")
_UNKNOWN = ("Sandbox.Timedout", "Runtime.ExitError")

_pools: list[Pool] = []
# Set for invocations that nobody waits for: they queue even when a function made them.
asynchronous: ContextVar[bool] = ContextVar("asynchronous", default=False)


def install(pool: Pool) -> None:
    """Run functions in environments of `pool`."""
    _pools.append(pool)
    svc = lambda_svc
    guard.replace(svc, "_execute_function_warm", "func event request_id", execute)
    guard.replace(svc, "invalidate_worker", "func_name qualifier account region", _forget)
    guard.replace(svc, "_inbound_invoke_depth", "headers", _depth)
    guard.replace(
        svc, "_emit_lambda_metrics", "function_name duration_ms error throttle", _throttles_only
    )
    guard.replace(
        svc, "_emit_lambda_logs", "func request_id log_text error duration_ms log_source", _logged
    )
    guard.replace(sfn, "_call_lambda", "func_ref event", _call_from_task)
    guard.expect(svc._ACCOUNT_CONCURRENCY_CAP == 0, "LAMBDA_ACCOUNT_CONCURRENCY=0 is no longer off")


def execute(func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
    """Invoke the function; `body`, `error` and `log` as lambda_svc expects them."""
    config = func.get("config") or func
    function = _function(config, func.get("code_zip") or b"")
    depth = lambda_svc._invoke_depth.get()
    invocation = {
        "event": event,
        "request_id": request_id,
        "function_arn": config["FunctionArn"],
        "timeout": function.timeout,
        "trace_id": f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};"
        f"Parent={secrets.token_hex(8)};Sampled=0;Lineage={depth}:{secrets.token_hex(4)}:0",
    }
    # Depth 1 is a function called by a client or a service; deeper ones hold their caller's turn.
    with _pools[0].slot(nested=depth > 1 and not asynchronous.get()):
        reply, log = _pools[0].run(function, invocation)
    if "result" in reply:
        return {"body": reply["result"], "log": log}
    return {"body": reply.get("error") or reply["crash"], "error": True, "log": log}


def _function(config: dict[str, Any], code: bytes) -> Function:
    layers = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
    return Function(
        name=config["FunctionName"],
        version=config.get("Version", "$LATEST"),
        handler=config["Handler"],
        code=code,
        layers=tuple(layer for layer in layers if layer),
        environment=tuple(sorted(_environment(config).items())),
        timeout=float(config.get("Timeout", 3)),
    )


def _environment(config: dict[str, Any]) -> dict[str, str]:
    """What "Defined runtime environment variables" lists, and where AWS is (loopback)."""
    name, version = config["FunctionName"], config.get("Version", "$LATEST")
    logging_config, settings = config.get("LoggingConfig") or {}, instance.settings()
    own = (config.get("Environment") or {}).get("Variables") or {}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{settings.port}",
        **{key: str(value) for key, value in own.items()},
        "_HANDLER": config["Handler"],
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime', 'python')}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_LOG_GROUP_NAME": logging_config.get("LogGroup") or f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": _stream(name, version),
        "AWS_LAMBDA_LOG_FORMAT": logging_config.get("LogFormat", "Text"),
        "AWS_LAMBDA_LOG_LEVEL": logging_config.get(
            "ApplicationLogLevel",
            "INFO" if logging_config.get("LogFormat") == "JSON" else "WARNING",
        ),
        **lambda_runtime.execution_credentials(config),
    }


_streams: dict[tuple[str, str], str] = {}


def _stream(name: str, version: str) -> str:
    return _streams.setdefault((name, version), environments.stream_name(version))


def _forget(func_name: str, *_: Any, **__: Any) -> None:
    _pools[0].forget(func_name)


def _depth(headers: dict[str, str]) -> int:
    lineage = _LINEAGE.search(headers.get("x-amzn-trace-id", ""))
    return int(lineage[1]) if lineage else 0


def _throttles_only(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
    """Stock counts synchronous calls only, and asynchronous ones before they ran; see `_logged`."""
    if throttle:
        guard.stock(_throttles_only)(function_name, duration_ms, error, throttle)


def _logged(
    func: dict[str, Any], request_id: str, log_text: str, error: bool, duration_ms: int, **more: Any
) -> None:
    """Every invocation, whoever made it, leaves logs and metrics."""
    guard.stock(_logged)(func, request_id, log_text, error, duration_ms, **more)
    name = (func.get("config") or func)["FunctionName"]
    guard.stock(_throttles_only)(name, duration_ms, error, False)
    _record_embedded_metrics(log_text)
    cloudwatch._evaluate_all_alarms()
    instance.activity.set()


def _record_embedded_metrics(text: str) -> None:
    for line in text.splitlines():
        if '"CloudWatchMetrics"' not in line:
            continue
        try:
            entry = json.loads(line[line.index("{") :])
            directives = entry["_aws"]["CloudWatchMetrics"]
        except (ValueError, KeyError, TypeError):
            continue  # only looks like EMF: AWS keeps the line and makes no metric of it
        for directive in directives:
            _record(directive, entry)


def _record(directive: dict[str, Any], entry: dict[str, Any]) -> None:
    for names in directive.get("Dimensions") or [[]]:
        dimensions = {name: str(entry.get(name, "")) for name in names}
        for metric in directive.get("Metrics", []):
            values = entry.get(metric["Name"], [])
            for value in values if isinstance(values, list) else [values]:
                cloudwatch.record_metric(
                    directive["Namespace"],
                    metric["Name"],
                    float(value),
                    metric.get("Unit", "None"),
                    dimensions,
                )


def _call_from_task(func_ref: str, event: Any) -> Any:
    try:
        return guard.stock(_call_from_task)(func_ref, event)
    except sfn._ExecutionError as error:
        if "TooManyRequestsException" in str(error.cause):
            raise sfn._ExecutionError("Lambda.TooManyRequestsException", error.cause) from None
        if error.error in _UNKNOWN:
            raise sfn._ExecutionError("Lambda.Unknown", error.cause) from None
        raise
