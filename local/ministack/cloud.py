"""The rest of the local AWS, as our SageMaker sees it (`local.sagemaker.cloud.Cloud`)."""

import json
import time
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
        guard.expect(hasattr(cloudwatch, "_store_datum"), "cloudwatch._store_datum is missing")
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
                cloudwatch._store_datum(
                    namespace,
                    entry["MetricName"],
                    {each["Name"]: each["Value"] for each in entry.get("Dimensions", [])},
                    cloudwatch._parse_ts(entry.get("Timestamp")) or time.time(),
                    entry.get("Unit", "None"),
                    entry.get("Value"),
                    entry.get("Values"),
                    entry.get("Counts"),
                    entry.get("StatisticValues"),
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
