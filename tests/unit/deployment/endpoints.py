"""SageMaker's endpoints and Step Functions' tokens, as far as a deployment sees them.

A small model of the documented behaviour whose clock the tests hold: changes end only when told
to, well or badly, and a token works once. moto's endpoints are in service at once.
"""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from botocore.exceptions import ClientError


class Endpoint:
    """One endpoint, of any name."""

    class exceptions:  # noqa: N801 — boto3's spelling
        ClientError = ClientError

    def __init__(self) -> None:
        self.status: str | None = None
        self.config = ""
        self.pending: str | None = None
        self.reason: str | None = None
        self.changed = datetime(2026, 1, 1, tzinfo=UTC)
        self.served: list[str] = []
        self.approvals: dict[str, str] = {}

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803 — boto3's
        if self.status is None:
            _refuse("DescribeEndpoint", f'Could not find endpoint "{EndpointName}".')
        summary = {"EndpointConfigName": self.pending} if self.status == "Updating" else None
        return {
            "EndpointStatus": self.status,
            "EndpointConfigName": self.config,
            "LastModifiedTime": self.changed,
            "PendingDeploymentSummary": summary,
            "FailureReason": self.reason,
        }

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:  # noqa: N803 — boto3's
        return {
            "ModelPackageArn": ModelPackageName,
            "ModelPackageGroupName": "headrace-credit-risk",
            "ModelPackageVersion": int(ModelPackageName.rpartition("/")[2]),
            "ModelApprovalStatus": self.approvals.get(ModelPackageName, "Approved"),
            "ApprovalDescription": "too slow",
            "CreationTime": self.changed,
            "InferenceSpecification": {"Containers": [{"Image": "i", "ModelDataUrl": "s3://m"}]},
        }

    def describe_endpoint_config(self, **_: Any) -> dict[str, Any]:
        return {"ProductionVariants": []}

    def create_endpoint(self, EndpointConfigName: str, **_: Any) -> None:  # noqa: N803 — boto3's
        if self.status is not None:
            _refuse("CreateEndpoint", "Cannot create already existing endpoint.")
        self._become("Creating", config=EndpointConfigName)

    def update_endpoint(self, EndpointConfigName: str, busy: bool = False, **_: Any) -> None:  # noqa: N803 — boto3's
        if self.status != "InService" or busy:
            _refuse("UpdateEndpoint", "Cannot update in-progress endpoint.")
        self._become("Updating", pending=EndpointConfigName)

    def delete_endpoint(self, **_: Any) -> None:
        if self.status not in ("InService", "Failed"):
            _refuse("DeleteEndpoint", "Cannot update in-progress endpoint.")
        self._become("Deleting")

    def touch(self) -> None:
        """Change something else: instances, by autoscaling."""
        self.changed += timedelta(seconds=1)

    @property
    def moving(self) -> bool:
        return self.status in ("Creating", "Updating", "Deleting")

    def settle(self, *, well: bool) -> None:
        """End what is going on, as SageMaker does: a failed update serves what served before."""
        if self.status == "Creating":
            self._become("InService" if well else "Failed", reason=None if well else "no ping")
        elif self.status == "Updating":
            config = self.pending if well else self.config
            self._become("InService", config=config, reason=None if well else "no ping")
        elif self.status == "Deleting":
            self._become(None)
        if self.status == "InService":
            self.served.append(self.config)

    def _become(
        self,
        status: str | None,
        config: str | None = None,
        pending: str | None = None,
        reason: str | None = None,
    ) -> None:
        self.status, self.pending, self.reason = status, pending, reason
        self.config = self.config if config is None else config
        self.changed += timedelta(seconds=1)


class Tokens:
    """Step Functions' tasks that wait for a token."""

    class exceptions:  # noqa: N801 — boto3's spelling
        class TaskTimedOut(Exception): ...  # noqa: N818 — AWS's name

        class TaskDoesNotExist(Exception): ...  # noqa: N818 — AWS's name

        class InvalidToken(Exception): ...  # noqa: N818 — AWS's name

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.outcomes: dict[str, str] = {}

    def send_task_success(self, taskToken: str, output: str) -> None:  # noqa: N803 — boto3's
        if taskToken not in self.open:
            raise self.exceptions.TaskTimedOut(taskToken)
        self.open.remove(taskToken)
        self.outcomes[taskToken] = json.loads(output)["outcome"]


class Runtime:
    """An endpoint that answers as the judged model did, or not."""

    class exceptions:  # noqa: N801 — boto3's spelling
        class ModelError(Exception): ...

    def __init__(self, predictions: list[Any]) -> None:
        self.predictions = predictions
        self.asked: list[Any] = []
        self.answer: bytes | Exception | None = None

    def invoke_endpoint(self, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803 — boto3's

        self.asked.append(json.loads(Body))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return {"Body": io.BytesIO(self.answer)}
        return {"Body": io.BytesIO(json.dumps({"predictions": self.predictions}).encode())}


def _refuse(operation: str, message: str) -> NoReturn:
    raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, operation)
