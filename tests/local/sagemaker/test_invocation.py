"""The request path: who may invoke, what a connection may carry, what is refused."""

import datetime as dt
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from local.ministack.signature import matches
from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import Clients

KEYS = Credentials("AKIAEXAMPLE", "secret")
PATH = "/endpoints/e/invocations"


def signed(credentials: Credentials, url: str, body: bytes, **headers: str) -> dict[str, str]:
    """The headers of a signed InvokeEndpoint."""
    request = AWSRequest("POST", url, {"content-type": "text/csv", **headers}, data=body)
    SigV4Auth(credentials, "sagemaker", "us-east-1").add_auth(request)
    host = url.split("/")[2]
    return {"host": host} | {name.lower(): value for name, value in request.headers.items()}


def test_signatures_of_botocore() -> None:
    """ "Create a signed AWS API request": the signature is of these headers and this body."""
    attributes = {"x-amzn-sagemaker-custom-attributes": "two  blanks"}
    headers = signed(KEYS, f"http://127.0.0.1:1{PATH}", b"1,2", **attributes)
    assert matches("secret", PATH, headers, b"1,2")
    assert not matches("other", PATH, headers, b"1,2")
    assert not matches("secret", PATH, headers, b"1,3")
    assert not matches("secret", "/endpoints/f/invocations", headers, b"1,2")
    for name, value in (
        ("content-type", "text/html"),
        ("x-amzn-sagemaker-custom-attributes", "forged"),
        ("x-amz-security-token", "added"),
        ("x-amz-date", "20200101T000000Z"),
        ("authorization", headers["authorization"].replace("host;", "")),
        ("authorization", "AWS4-HMAC-SHA256 nonsense"),
    ):
        changed = {**headers, name: value}
        assert not matches("secret", PATH, changed, b"1,2"), name
    old = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=6)
    stale = {**headers, "x-amz-date": old.strftime("%Y%m%dT%H%M%SZ")}
    assert not matches("secret", PATH, stale, b"1,2")


@pytest.fixture(scope="module")
def endpoint(clients: Clients) -> Iterator[str]:
    name = "request-path"
    clients.config(name, ("main", clients.model(name), 1.0))
    clients.deploy(name, name)
    yield name
    clients.delete(name)


def user(aws: LocalAws, name: str, *statements: dict[str, str]) -> dict[str, str]:
    """An IAM user's keys, as a client takes them."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    allow(aws, name, *statements)
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
    }


def allow(aws: LocalAws, name: str, *statements: dict[str, str]) -> None:
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    iam = aws.client("iam")
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    elif iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName="p")


INVOKE = {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint"}


def test_who_may_invoke(sagemaker_aws: LocalAws, endpoint: str, unique: str) -> None:
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{endpoint}"
    keys = user(sagemaker_aws, unique)
    runtime = sagemaker_aws.client("sagemaker-runtime", **keys)

    def invoke(name: str = endpoint) -> Any:
        return runtime.invoke_endpoint(EndpointName=name, Body=b"x", ContentType="text/csv")

    def denied(name: str = endpoint) -> bool:
        try:
            invoke(name)
        except ClientError as error:
            refusal = error.response
            assert refusal["Error"]["Code"] == "AccessDeniedException", refusal
            message = refusal["Error"]["Message"]
            assert f"user/{unique} is not authorized to perform: sagemaker:Invoke" in message
            assert f" on resource: {arn.rpartition('/')[0]}/{name.lower()} because no" in message
            assert refusal["ResponseMetadata"]["HTTPStatusCode"] == 403
            return True
        return False

    assert all(denied() for _ in range(3)), "a denial stays a denial"
    allow(sagemaker_aws, unique, {**INVOKE, "Resource": arn})
    assert [invoke()["InvokedProductionVariant"] for _ in range(3)] == ["main"] * 3
    assert denied("another-endpoint"), "a verdict is on one endpoint"
    with pytest.raises(ClientError, match="not authorized to perform") as refusal:
        runtime.invoke_endpoint_with_response_stream(EndpointName=endpoint, Body=b"x")
    assert "InvokeEndpointWithResponseStream" in str(refusal.value), "and on one action"

    forged = {**keys, "aws_secret_access_key": "guessed"}
    with pytest.raises(ClientError) as refusal:
        sagemaker_aws.client("sagemaker-runtime", **forged).invoke_endpoint(
            EndpointName=endpoint, Body=b"x"
        )
    assert refusal.value.response["Error"]["Code"] == "SignatureDoesNotMatch" or (
        "signature" in str(refusal.value)
    )
    allow(sagemaker_aws, unique)
    wait_until(denied, seconds=3, what="the revoked permission to be missed")


def test_what_a_connection_may_carry(sagemaker_aws: LocalAws, endpoint: str) -> None:
    """Invocations whole, in pieces and in a row; then anything else, and invocations again."""
    facts = sagemaker_aws.facts
    credentials = Credentials(facts["access_key_id"], facts["secret_access_key"])
    path = f"/endpoints/{endpoint}/invocations"
    headers = signed(credentials, facts["endpoint_url"] + path, b"1,2")
    connection = http.client.HTTPConnection("127.0.0.1", facts["port"], timeout=20)

    def answer() -> tuple[int, bytes]:
        response = connection.getresponse()
        return response.status, response.read()

    def invoke() -> dict[str, Any]:
        connection.request("POST", path, b"1,2", headers)
        status, body = answer()
        assert status == 200, body
        return json.loads(body)

    assert invoke()["body"] == "1,2"
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
    raw = "\r\n".join([*lines, "content-length: 3", "", "1,2"]).encode()
    for start in range(0, len(raw), 97):
        connection.sock.sendall(raw[start : start + 97])
        time.sleep(0.002)
    response = http.client.HTTPResponse(connection.sock)
    response.begin()
    assert json.loads(response.read())["body"] == "1,2"
    connection.sock.sendall(raw + raw)
    stream = connection.sock.makefile("rb")
    found = b""
    while found.count(b'"body": "1,2"') < 2:
        found += stream.readline() if found.count(b"\r\n\r\n") < 2 else stream.read(1)
    stream.close()

    connection.request("GET", "/_ministack/health")
    assert answer()[0] == 200, "handed over"
    assert invoke()["body"] == "1,2", "and still answered"
    unsigned = {"host": headers["host"], "content-type": "text/csv"}
    connection.request("POST", path, b"1,2", unsigned)
    assert answer()[0] == 403
    connection.close()


def test_refusals_of_the_runtime(clients: Clients, endpoint: str) -> None:
    with pytest.raises(ClientError, match="less than or equal to 6291456") as refusal:
        clients.ask(endpoint, "x" * (6 * 2**20 + 1))
    assert refusal.value.response["Error"]["Code"] == "ValidationError"
    for option in ({"SessionId": "NEW_SESSION"}, {"EnableExplanations": "`true`"}):
        with pytest.raises(ClientError, match="is not implemented locally"):
            clients.ask(endpoint, **option)
    for option, reason in (
        ({"TargetModel": "a.tar.gz"}, "is not a multi-model endpoint"),
        ({"TargetContainerHostname": "a"}, "does not support target container hostname"),
    ):
        with pytest.raises(ClientError, match=reason):
            clients.ask(endpoint, **option)
    with pytest.raises(ClientError, match="is not an asynchronous endpoint"):
        clients.runtime.invoke_endpoint_async(EndpointName=endpoint, InputLocation="s3://b/k")
