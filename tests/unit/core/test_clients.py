"""What AWS refuses for the moment has one name, whichever service it is."""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from headrace.aws.clients import telling_busy
from headrace.errors import AwsBusyError


def make(service: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    once = Config(retries={"total_max_attempts": 1})
    nowhere = "http://127.0.0.1:9"
    client = boto3.client(service, region_name="eu-west-1", config=once, endpoint_url=nowhere)
    return telling_busy(client)


@pytest.mark.parametrize(
    ("service", "method", "request_", "code", "status"),
    [
        ("sagemaker", "describe_endpoint", {"EndpointName": "e"}, "ThrottlingException", 400),
        ("dynamodb", "list_tables", {}, "ProvisionedThroughputExceededException", 400),
        ("s3", "get_object", {"Bucket": "b", "Key": "k"}, "SlowDown", 503),
        ("cloudwatch", "describe_alarms", {}, "InternalFailure", 500),
    ],
)
def test_what_passes_is_told_apart(
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    method: str,
    request_: dict[str, Any],
    code: str,
    status: int,
) -> None:
    client = make(service, monkeypatch)
    with Stubber(client) as stub:
        stub.add_client_error(method, code, http_status_code=status)
        with pytest.raises(AwsBusyError, match=code):
            getattr(client, method)(**request_)
        stub.add_client_error(method, "AccessDeniedException", http_status_code=400)
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(client, method)(**request_)


def test_an_aws_that_cannot_be_reached_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AwsBusyError, match="DescribeEndpoint did not go through"):
        make("sagemaker", monkeypatch).describe_endpoint(EndpointName="e")
