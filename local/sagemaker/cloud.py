"""What the local SageMaker needs of the rest of the local AWS."""

from __future__ import annotations

from typing import Any, Protocol


class Cloud(Protocol):
    """The other services, as SageMaker sees them. Every method may be called from any thread."""

    region: str
    account_id: str
    endpoint_url: str

    def emit(self, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        """Put an event of source `aws.sagemaker` on the default bus."""

    def put_log_events(self, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        """Append `{timestamp: milliseconds, message}` events, making group and stream if absent."""

    def put_metric_data(self, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        """Take CloudWatch `MetricData` entries, as PutMetricData does."""

    def role_credentials(self, role_arn: str, session: str) -> dict[str, str]:
        """Assume a role for SageMaker.

        Returns AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
        Raises `errors.ServiceError` if the role is missing or does not trust SageMaker.
        """
