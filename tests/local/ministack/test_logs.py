"""CloudWatch Logs as AWS documents it."""

import time

from tests.local.conftest import LocalAws
from tests.local.ministack.helpers import unique


def test_events_are_filtered_by_the_beginning_of_the_streams_name(aws: LocalAws) -> None:
    logs, group = aws.client("logs"), unique("group")
    logs.create_log_group(logGroupName=group)
    for stream in ("job-a/algo-1", "job-b/algo-1"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        event = {"timestamp": int(time.time() * 1000), "message": stream}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])

    def read(prefix: str) -> list[str]:
        found = logs.filter_log_events(logGroupName=group, logStreamNamePrefix=prefix)
        return [event["message"] for event in found["events"]]

    assert read("job-a/") == ["job-a/algo-1"]
    assert len(read("job-")) == 2
    assert read("job-c") == []
