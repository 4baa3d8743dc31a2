"""A stack of environment `dev` in moto, and what moto lacks answered over real HTTP on loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from headrace.aws.ledger import Ledger
from headrace.records import ModelRecord, Record
from headrace_cli.main import app

REGION = "us-east-1"
OUTPUTS = {
    "DataBucket": "headrace-data",
    "ArtifactsBucket": "headrace-artifacts",
    "QuarantineBucket": "headrace-quarantine",
    "LedgerTable": "headrace-ledger",
    "BusName": "headrace-dev",
    "DatasetsStateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:datasets",
    "TrainingStateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:training",
    "DeploymentStateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:deployment",
    "MonitoringStateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:monitoring",
    "TabularRepository": "headrace-dev/tabular",
    "LogGroupName": "headrace-dev-logs",
}


@dataclass
class Peer:
    """CloudFormation and the endpoints' runtime, as far as the commands ask them."""

    outputs: dict[str, str] | None = field(default_factory=lambda: dict(OUTPUTS))
    status: str = "CREATE_COMPLETE"
    error: tuple[int, str, str] | None = None
    invocations: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[list[dict[str, Any]]], Any] = lambda rows: {
        "predictions": [{"score": 0.5, "label": 1} for _ in rows],
        "model": {"run": "credit-risk-run1"},
    }

    def stacks(self) -> tuple[int, str]:
        if self.error:
            status, code, message = self.error
            return status, _error(code, message)
        if self.outputs is None:
            return 400, _error("ValidationError", "Stack with id headrace-dev does not exist")
        members = "".join(
            f"<member><OutputKey>{k}</OutputKey><OutputValue>{v}</OutputValue></member>"
            for k, v in self.outputs.items()
        )
        return 200, (
            '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">'
            "<DescribeStacksResult><Stacks><member><StackName>headrace-dev</StackName>"
            f"<StackStatus>{self.status}</StackStatus>"
            "<CreationTime>2026-01-01T00:00:00Z</CreationTime>"
            f"<Outputs>{members}</Outputs></member></Stacks></DescribeStacksResult>"
            "</DescribeStacksResponse>"
        )


def _error(code: str, message: str) -> str:
    return (
        '<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error>'
        f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )


@pytest.fixture
def peer() -> Iterator[Peer]:
    """The peer, and a server that speaks for it."""
    found = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/invocations"):
                rows = json.loads(body)["instances"]
                found.invocations.append({"path": self.path, "rows": rows, "bytes": len(body)})
                answer = found.answer(rows)
                failed = "ErrorCode" in answer
                self._reply(
                    424 if failed else 200,
                    json.dumps(answer).encode(),
                    {"x-amzn-ErrorType": "ModelError"}
                    if failed
                    else {"x-Amzn-Invoked-Production-Variant": "main"},
                )
            else:
                status, text = found.stacks()
                self._reply(status, text.encode(), {"Content-Type": "text/xml"})

        def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def aws(peer: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Peer]:
    """An account with everything the outputs name."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_CLOUDFORMATION": peer.url,  # type: ignore[attr-defined]
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": peer.url,  # type: ignore[attr-defined]
        "HEADRACE_HOME": str(tmp_path / "home"),
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "HEADRACE_ENV"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        s3 = boto3.client("s3")
        for output in ("DataBucket", "ArtifactsBucket", "QuarantineBucket"):
            s3.create_bucket(Bucket=OUTPUTS[output])
        boto3.client("dynamodb").create_table(
            TableName=OUTPUTS["LedgerTable"],
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        )
        boto3.client("ecr").create_repository(repositoryName=OUTPUTS["TabularRepository"])
        boto3.client("logs").create_log_group(logGroupName=OUTPUTS["LogGroupName"])
        yield peer


@pytest.fixture
def record(aws: Peer) -> Callable[..., None]:
    """Writes records into the ledger."""
    ledger = Ledger(OUTPUTS["LedgerTable"], boto3.client("dynamodb"))

    def write(*records: Record) -> None:
        for one in records:
            ledger.put(one)

    return write


@pytest.fixture
def model(record: Callable[..., None]) -> ModelRecord:
    """A published model with a package group."""
    found = ModelRecord(
        model="credit-risk",
        project_version="0123456789ab",
        published_at="2026-01-01T00:00:00.000Z",
        endpoint="headrace-dev-credit-risk",
        package_group="headrace-dev-credit-risk",
        approval="manual",
    )
    record(found)
    boto3.client("sagemaker").create_model_package_group(ModelPackageGroupName=found.package_group)
    return found


@pytest.fixture
def package(model: ModelRecord) -> Callable[[], str]:
    """Registers another package that awaits approval; returns its ARN."""

    def register() -> str:
        reply = boto3.client("sagemaker").create_model_package(
            ModelPackageGroupName=model.package_group,
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [{"Image": "image"}],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        )
        return str(reply["ModelPackageArn"])

    return register


@pytest.fixture
def headrace() -> Callable[..., Result]:
    """Runs a command line in environment `dev`."""

    def run(*words: str | Path, env: str = "dev") -> Result:
        command, *rest = map(str, words)
        return CliRunner().invoke(app, [command, "--env", env, *rest])

    return run
