"""The rest of the local AWS, as our SageMaker sees it (`local.sagemaker.cloud.Cloud`)."""

import json
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, cloudwatch_logs, eventbridge

from local.ministack import guard, iam, instance
from local.sagemaker.errors import ServiceError

_SERVICE = "sagemaker.amazonaws.com"


class LocalCloud:
    """Calls MiniStack's stores directly; its methods may be called from any thread."""

    def __init__(self) -> None:
        settings = instance.settings()
        self.region = settings.region
        self.account_id = settings.account_id
        self.endpoint_url = f"http://127.0.0.1:{settings.port}"
        guard.expect(hasattr(cloudwatch, "record_metric"), "cloudwatch.record_metric is missing")
        guard.expect(hasattr(cloudwatch_logs, "_put_log_events"), "cloudwatch_logs._put_log_events")

    def emit(self, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        """Put an event of source `aws.sagemaker` on the default bus."""
        entry = {
            "Source": "aws.sagemaker",
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
            "Resources": resources,
        }
        with self._scope():
            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    def put_log_events(self, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        """Append `{timestamp: milliseconds, message}` events, making group and stream if absent."""
        where = {"logGroupName": group, "logStreamName": stream}
        with self._scope():
            groups = cloudwatch_logs._log_groups
            if group not in groups:
                cloudwatch_logs._create_log_group({"logGroupName": group})
            if stream not in groups[group]["streams"]:
                cloudwatch_logs._create_log_stream(where)
            cloudwatch_logs._put_log_events({**where, "logEvents": events})

    def put_metric_data(self, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        """Take CloudWatch `MetricData` entries: Value, Values with Counts, or StatisticValues."""
        with self._scope():
            for entry in metric_data:
                names = {each["Name"]: each["Value"] for each in entry.get("Dimensions", [])}
                for value in _values(entry):
                    cloudwatch.record_metric(
                        namespace, entry["MetricName"], value, entry.get("Unit", "None"), names
                    )
            cloudwatch._evaluate_all_alarms()

    def role_credentials(self, role_arn: str, session: str) -> dict[str, str]:
        """Credentials of a role that trusts SageMaker; `ServiceError` for any other."""
        try:
            with self._scope():
                return iam.role_credentials(role_arn, _SERVICE, session)
        except iam.RoleError as error:
            raise ServiceError("ValidationException", str(error)) from error

    def _scope(self) -> Any:
        instance.activity.set()
        return request_scope(self.account_id, self.region)


def _values(entry: dict[str, Any]) -> list[float]:
    if "Value" in entry:
        return [entry["Value"]]
    if "Values" in entry:
        counts = entry.get("Counts") or [1] * len(entry["Values"])
        pairs = zip(entry["Values"], counts, strict=True)
        return [value for value, count in pairs for _ in range(int(count))]
    statistics = entry["StatisticValues"]
    mean = statistics["Sum"] / statistics["SampleCount"]
    return [statistics["Minimum"], statistics["Maximum"], mean][: int(statistics["SampleCount"])]
