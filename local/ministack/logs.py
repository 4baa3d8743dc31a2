"""CloudWatch Logs filters by the beginning of a stream's name.

AWS (API reference, FilterLogEvents): `logStreamNamePrefix` limits the answer to streams whose names
start with it, which is how one job's log is read. Stock MiniStack ignores it.
"""

from typing import Any

from ministack.services import cloudwatch_logs

from local.ministack import guard


def install() -> None:
    """Replace FilterLogEvents."""
    guard.replace(cloudwatch_logs, "_filter_log_events", "data", filter_log_events)
    for name in ("_log_groups", "_resolve_log_group_name"):
        guard.expect(hasattr(cloudwatch_logs, name), f"cloudwatch_logs.{name} is missing")


def filter_log_events(data: dict[str, Any]) -> Any:
    """Name the streams a prefix means, then do what stock does."""
    prefix = data.get("logStreamNamePrefix")
    group = cloudwatch_logs._log_groups.get(cloudwatch_logs._resolve_log_group_name(data))
    if not prefix or group is None:
        return guard.stock(filter_log_events)(data)
    names = [name for name in group["streams"] if name.startswith(prefix)]
    # Without any name stock would read every stream.
    return guard.stock(filter_log_events)({**data, "logStreamNames": names or [prefix]})
